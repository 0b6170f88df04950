package conf_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

var update = flag.Bool("update", false, "write the golden files anew")

// settings has a field of every type that Decode knows.
type settings struct {
	Listen    string         `yaml:"listen"`
	Timeout   time.Duration  `yaml:"timeout"`
	Retention time.Duration  `yaml:"retention"`
	Keep      conf.Percent   `yaml:"keep"`
	Memory    conf.Size      `yaml:"memory"`
	Verbose   bool           `yaml:"verbose"`
	Rate      float64        `yaml:"rate"`
	Replicas  int            `yaml:"replicas"`
	Port      uint16         `yaml:"port"`
	Nodes     []node         `yaml:"nodes"`
	Limits    map[string]int `yaml:"limits"`
	Extra     *extra         `yaml:"extra"`
	Empty     string         `yaml:"empty"`
	Hidden    string         `yaml:"-"`
	private   int            //nolint:unused // what has no tag is left alone
}

type node struct {
	Name   string            `yaml:"name"`
	Labels map[string]string `yaml:"labels"`
	Tags   []string          `yaml:"tags"`
	Weight int               `yaml:"weight"`
}

func (n *node) SetDefaults() { n.Weight = 10 }

type extra struct {
	Now int `yaml:"now"`
}

func (extra) KeyHint(key string) string {
	if key == "later" {
		return "a later version will have it"
	}
	return ""
}

func parse(t *testing.T, text string) *conf.Doc {
	t.Helper()
	doc, err := conf.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestEveryMistakeOfAFileIsShownAtOnceInItsPlace(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "mistakes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conf.Parse("mistakes.yaml", data)
	var got strings.Builder
	got.WriteString("# conf.Parse\n" + err.(conf.Problems).Render() + "\n\n# Doc.Decode, without the duplicate key\n")

	once := strings.Replace(string(data), "verbose: true\n", "", 1)
	doc, err := conf.Parse("mistakes.yaml", []byte(once))
	if err != nil {
		t.Fatal(err)
	}
	var s settings
	got.WriteString(doc.Decode(&s).Render() + "\n")
	golden(t, "mistakes.golden", got.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestDecode(t *testing.T) {
	tests := map[string]struct {
		text string
		want settings
	}{
		"an empty file keeps what was set before":  {"", settings{Listen: "before"}},
		"so does a file of comments":               {"# nothing\n\n# here", settings{Listen: "before"}},
		"so does one that says nothing":            {"~", settings{Listen: "before"}},
		"and a lone document mark":                 {"---\n", settings{Listen: "before"}},
		"a value replaces what was set before":     {"listen: x", settings{Listen: "x"}},
		"a byte order mark is no part of the key":  {"\ufefflisten: x", settings{Listen: "x"}},
		"lines may end as on Windows":              {"listen: x\r\nreplicas: 2\r\n", settings{Listen: "x", Replicas: 2}},
		"quotes make text of a number":             {`listen: "9900"`, settings{Listen: "9900"}},
		"a block of text keeps its lines":          {"listen: |\n  a\n  b\n", settings{Listen: "a\nb\n"}},
		"durations have units":                     {"timeout: 1m30s\nretention: 15d\nlisten: x", settings{Listen: "x", Timeout: 90 * time.Second, Retention: 360 * time.Hour}},
		"a percentage is a share of one":           {"keep: 12.5%\nlisten: x", settings{Listen: "x", Keep: 0.125}},
		"a size is in bytes":                       {"memory: 1.5GiB\nlisten: x", settings{Listen: "x", Memory: 3 << 29}},
		"true is true":                             {"verbose: true\nlisten: x", settings{Listen: "x", Verbose: true}},
		"numbers may be negative or have a point":  {"replicas: -3\nrate: 0.5\nport: 80\nlisten: x", settings{Listen: "x", Replicas: -3, Rate: 0.5, Port: 80}},
		"elements of lists have their defaults":    {"nodes: [{name: a}]\nlisten: x", settings{Listen: "x", Nodes: []node{{Name: "a", Weight: 10}}}},
		"mappings from names to values":            {"limits: {a: 1, b: 2}\nlisten: x", settings{Listen: "x", Limits: map[string]int{"a": 1, "b": 2}}},
		"a pointer tells absent from zero":         {"extra: {now: 0}\nlisten: x", settings{Listen: "x", Extra: &extra{}}},
		"an alias stands for its anchor":           {"listen: &x a\nempty: *x", settings{Listen: "a", Empty: "a"}},
		"a merge key brings in what is not there":  {"nodes:\n- &n {name: a, weight: 1}\n- {<<: *n, name: b}\nlisten: x", settings{Listen: "x", Nodes: []node{{Name: "a", Weight: 1}, {Name: "b", Weight: 1}}}},
		"of several merged, the first counts most": {"nodes:\n- &n {name: a}\n- &m {name: c, weight: 2}\n- {<<: [*n, *m]}\nlisten: x", settings{Listen: "x", Nodes: []node{{Name: "a", Weight: 10}, {Name: "c", Weight: 2}, {Name: "a", Weight: 2}}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := settings{Listen: "before"}
			if problems := parse(t, tt.text).Decode(&got); len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFileThatIsNotTakenSaysWhy(t *testing.T) {
	lines := func(line string, n int) string { return strings.Repeat(line, n) }
	tests := map[string]struct{ text, want string }{
		"a tab cannot indent":         {"a:\n\tb: 1", "test.yaml:2:1: a tab cannot indent, use spaces"},
		"a bracket left open":         {"a: [1, 2\nb: 3", "test.yaml:2:1: ',' or ']' must be specified"},
		"a line that is not in line":  {"a:\n- b\n- c\nd", "test.yaml:4:1: non-map value is specified, look at the indentation here and on the line above"},
		"a quote left open":           {"a: \"b", "test.yaml:1:4: could not find end character of double-quoted text"},
		"a second document":           {"a: 1\n---\nb: 2", "test.yaml:2:1: has a second document, remove ---, or put each document in a file of its own"},
		"more after the end":          {"a: 1\n...\nb: 2", "test.yaml:3:1: goes on after its end, remove the line ..."},
		"a directive":                 {"%YAML 1.2\n---\na: 1", "test.yaml:1:1: has a directive, remove the line that starts with %, or quote the value"},
		"a tag":                       {"a: !!str 5", "test.yaml:1:4: has the tag \"!!str\", remove it; types follow from the key"},
		"a duplicate key":             {"a: 1\nb: 2\na: 3", "test.yaml:3:1: duplicate key \"a\", it is also on line 1; remove one"},
		"a duplicate key in braces":   {"a: {b: 1, b: 2}", "test.yaml:1:11: duplicate key \"b\", it is also on line 1; remove one"},
		"a key that is a list":        {"? [a, b]\n: c", "test.yaml"},
		"only a word":                 {"hello", "test.yaml:1:1: is not a mapping but \"hello\", write keys and values, like \"key: value\""},
		"a lone quoted word":          {"'a", "test.yaml:1:1: could not find end character of single-quoted text"},
		"only a list":                 {"- a", "test.yaml:1:1: is not a mapping but a list, write keys and values, like \"key: value\""},
		"a control character":         {"a: b\x00c", "test.yaml:1:5: has the control character U+0000, remove it, or write it as an escape in double quotes"},
		"bytes that are no text":      {"ok: 1\na: 値\xff", "test.yaml:2:5: is not UTF-8, save it as UTF-8"},
		"an alias of nothing":         {"a: *b", "test.yaml:1:4: no anchor \"b\" above, define it with &b"},
		"a value that holds itself":   {"a: &b [*b]", "test.yaml:1:8: no anchor \"b\" above, define it with &b"},
		"a merge of what is no map":   {"a: {<<: [1]}", "test.yaml:1:5: << takes a mapping, not the number 1, give it an alias of one, like <<: *name"},
		"more than 1 MiB":             {lines("# padding\n", 110_000), "test.yaml: has 1100000 bytes, more than the 1048576 a configuration may have, is this the right file?"},
		"lists in lists in lists":     {lines("[", 10_000), "test.yaml:1:65: is nested too deep, more than 64 levels"},
		"dashes behind dashes":        {lines("- ", 10_000), "test.yaml:1:129: is nested too deep, more than 64 levels"},
		"blocks in blocks in blocks":  {nested(70), "test.yaml:65:66: is nested too deep, more than 64 levels"},
		"a mapping without end":       {lines("a: 1\n", 3000), "test.yaml:2001:2: has a mapping that is too large, more than 2000 keys; split it"},
		"a list without end":          {lines("-\n", 200_000), "test.yaml: is too large, more than 100000 words and signs; split it"},
		"a bomb of aliases":           {bomb(9), "test.yaml:6:10: aliases expand to too much, more than 100000 values"},
		"a bomb of merges":            {mergeBomb(20), "aliases expand to too much"},
		"an anchor that names no one": {"a: &", "test.yaml"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := conf.Parse("test.yaml", []byte(tt.text))
			var problems conf.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error %v, want problems", err)
			}
			if got := problems.Error(); !strings.HasPrefix(got, tt.want) && !strings.Contains(got, ": "+tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// nested is a mapping in a mapping, n deep.
func nested(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String() + strings.Repeat(" ", n) + "b"
}

// bomb is a list of nine aliases to a list of nine aliases and so on.
func bomb(levels int) string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range levels {
		alias := "*a" + string(rune('0'+i))
		next := "a" + string(rune('1'+i))
		text += next + ": &" + next + " [" + strings.Join([]string{alias, alias, alias, alias, alias, alias, alias, alias, alias}, ", ") + "]\n"
	}
	return text
}

// mergeBomb doubles a mapping by merging it into two others, again and again.
func mergeBomb(levels int) string {
	text := "a: &a {x: 1}\n"
	for i := range levels {
		old, next := string(rune('a'+i)), string(rune('b'+i))
		text += next + ": &" + next + " {p: {<<: *" + old + "}, q: {<<: *" + old + "}}\n"
	}
	return text
}

func TestTheLargestFileThatIsTakenIsReadFast(t *testing.T) {
	text := strings.Builder{}
	for i := range 17 {
		text.WriteString(fmt.Sprintf("m%d:\n", i))
		for j := range 1900 {
			text.WriteString(fmt.Sprintf("  key%d: 1\n", j))
		}
	}
	before := spent(t)
	if _, err := conf.Parse("test.yaml", []byte(text.String())); err != nil {
		t.Fatal(err)
	}
	if took := spent(t) - before; took > 10*time.Second {
		t.Errorf("took %v of CPU time", took)
	}
}

// spent is the CPU time of this process, which no other makes longer.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestAtFindsThePlaceOfAValue(t *testing.T) {
	doc := parse(t, "apps:\n- name: web\n  target: {service: shop}\n  out:\n    rate: 1\na.b:\n  c.d: 5\nlast: [x, y]\n")
	tests := map[string]string{
		"apps[0].name":           "test.yaml:2:9",
		"apps[0]":                "test.yaml:2:3",
		"apps[0].target":         "test.yaml:3:3",
		"apps[0].target.service": "test.yaml:3:21",
		"apps[0].out.rate":       "test.yaml:5:11",
		"apps[0].max":            "test.yaml:2:3", // not there: the app it is missing from
		"apps[7].name":           "test.yaml:1:1",
		"apps[x]":                "test.yaml:1:1",
		"a.b.c.d":                "test.yaml:7:8",
		"last[1]":                "test.yaml:8:11",
		"last[0].deeper":         "test.yaml:8:8",
		"nowhere":                "test.yaml:1:1",
		"":                       "test.yaml:1:1",
	}
	for path, want := range tests {
		got := doc.At(path, conf.Mistake{What: "is odd"}).Error()
		if path != "" {
			want += ": " + path
		}
		if want += ": is odd"; got != want {
			t.Errorf("at %q: %s, want %s", path, got, want)
		}
		missing := slices.Contains([]string{"apps[0].max", "apps[7].name", "apps[x]", "last[0].deeper", "nowhere"}, path)
		if doc.Has(path) == missing {
			t.Errorf("has %q: %v", path, !missing)
		}
	}
}

func TestAProblemOfAnEmptyFileHasNoPlace(t *testing.T) {
	got := parse(t, "").At("version", conf.Mistake{What: "is missing", Hint: "add version: 1"}).Render()
	if want := "test.yaml: version: is missing, add version: 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLeavesAreWhatFlagsCouldBeGiven(t *testing.T) {
	leaves, problems := parse(t, `
storage:
  tsdb: {path: /data, retention.time: 15d}
web.listen-address: ["127.0.0.1:9900", ':9901']
log: {level: debug, verbose: true}
nothing: []
`).Leaves()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []conf.Leaf{
		{"storage.tsdb.path", []string{"/data"}, 3, 16},
		{"storage.tsdb.retention.time", []string{"15d"}, 3, 39},
		{"web.listen-address", []string{"127.0.0.1:9900", ":9901"}, 4, 21},
		{"log.level", []string{"debug"}, 5, 14},
		{"log.verbose", []string{"true"}, 5, 30},
		{"nothing", nil, 6, 10},
	}
	if diff := cmp.Diff(want, leaves); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatNoFlagCanHoldIsAProblem(t *testing.T) {
	_, problems := parse(t, "a: {b: 1}\na.b: 2\nc: [{d: 1}]\ne:\n").Leaves()
	want := `test.yaml:2:1: a.b: is given twice, it is also on line 1; remove one
test.yaml:3:5: c: must be a single value or a list of them, got a mapping
test.yaml:4:1: e: has no value, give it one, or remove the key`
	if diff := cmp.Diff(want, problems.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoProblemsAreNoError(t *testing.T) {
	if err := (conf.Problems{}).Err(); err != nil {
		t.Errorf("error %v, want none", err)
	}
	if err := (conf.Problems{{What: "x"}}).Err(); err == nil {
		t.Error("no error, want one")
	}
}

func TestProblemsBeyondFiftyAreCounted(t *testing.T) {
	text := strings.Repeat("- {zzz: 1}\n", 60)
	var s settings
	problems := parse(t, "nodes:\n"+text).Decode(&s)
	if got := problems.Error(); !strings.HasSuffix(got, "\n… and 10 more") || len(problems) != 60 {
		t.Errorf("%d problems, ending in %q", len(problems), got[len(got)-40:])
	}
}

func TestALongLineIsShownAroundTheMistake(t *testing.T) {
	var s settings
	text := "nodes: [" + strings.Repeat("{name: a}, ", 200) + "{nmae: b}, " + strings.Repeat("{name: c}, ", 200) + "]"
	rendered := parse(t, text).Decode(&s).Render()
	lines := strings.Split(rendered, "\n")
	caret := strings.Index(lines[2], "^")
	shown := []rune(lines[1])
	if len(shown) > 140 || string(shown[caret:caret+4]) != "nmae" {
		t.Errorf("rendered:\n%s", rendered)
	}
}

func TestDecodeRefusesWhatNoFileCanFill(t *testing.T) {
	for name, into := range map[string]any{"a struct": settings{}, "a pointer to a number": new(int)} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			parse(t, "a: 1").Decode(into)
		})
	}
}

func TestAFileCannotSteerTheTerminal(t *testing.T) {
	_, err := conf.Parse("test.yaml", []byte("a: \x1b[2Jboo"))
	if got := err.(conf.Problems).Render(); strings.Contains(got, "\x1b") || !strings.Contains(got, "a: \ufffd[2Jboo") {
		t.Errorf("rendered: %q", got)
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "mistakes.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, seed := range []string{"", "a: &x {b: 1}\nc: {<<: *x}\n", "- |\n  a\n", "? a\n: b", "a: !t b", "{a: [1, 'x', \"\\u0041\"]}", "---\na\n...\n", "\ufeffa: 1\r\n", "&a *a", "a:\n- b\n-\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := conf.Parse("fuzz.yaml", data)
		if err != nil {
			if rendered := err.(conf.Problems).Render(); rendered == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		var s settings
		for _, p := range doc.Decode(&s) {
			if p.Render(); p.Line == 0 || p.What == "" {
				t.Errorf("problem without place or words: %+v", p)
			}
		}
		leaves, _ := doc.Leaves()
		for _, l := range leaves {
			doc.At(l.Path, conf.Mistake{}).Render()
		}
	})
}

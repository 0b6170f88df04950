package place_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

func TestANodeIsFoundByTheWayToIt(t *testing.T) {
	f, problems := place.Parse("f.yml", []byte("a:\n  - b: &x {c: one}\n  - *x\n  - c: 'two'\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	tests := map[string]struct {
		steps []any
		want  conf.Problem
	}{
		"in a mapping in a list":            {[]any{"a", 0, "b", "c"}, conf.Problem{File: "f.yml", Line: 2, Col: 15, Path: "a[0].b.c", What: "one"}},
		"through an alias, where it stands": {[]any{"a", 1, "c"}, conf.Problem{File: "f.yml", Line: 2, Col: 15, Path: "a[1].c", What: "one"}},
		"in quotes":                         {[]any{"a", 2, "c"}, conf.Problem{File: "f.yml", Line: 4, Col: 8, Path: "a[2].c", What: "two"}},
		"not there":                         {[]any{"a", 3, "c"}, conf.Problem{File: "f.yml"}},
		"no list":                           {[]any{0}, conf.Problem{File: "f.yml"}},
		"no mapping":                        {[]any{"a", "b"}, conf.Problem{File: "f.yml"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := f.At(tt.steps...)
			if n.Exists() != (tt.want.Line > 0) {
				t.Errorf("exists: %t", n.Exists())
			}
			if got := f.Problem(n, n.Text, ""); got.Error() != tt.want.Error() {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAMistakeIsShownWithItsLine(t *testing.T) {
	f, problems := place.Parse("f.yml", []byte("a:\n- b: two words\n  c: 1\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for want, p := range map[string]conf.Problem{
		"f.yml:2:6: a[0].b: wrong\n    2 | - b: two words\n      |      ^^^^^^^^^": f.Problem(f.At("a", 0, "b"), "wrong", ""),
		"f.yml:2:3: a[0]: lacks d\n    2 | - b: two words\n      |   ^":            f.MissingFrom(f.At("a", 0), "lacks d", ""),
	} {
		if got := p.Render(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
}

func TestTheWalkMeetsEverythingOnce(t *testing.T) {
	f, problems := place.Parse("f.yml", []byte("a: &a\n  b: [1, *a]\nc: *a\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var paths []string
	for n := range f.At().All() {
		paths = append(paths, n.Path)
	}
	if diff := cmp.Diff([]string{"", "a", "a.b", "a.b[0]", "a.b[1]", "c"}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestAMistakeInATextIsShownInside(t *testing.T) {
	tests := map[string]struct {
		file      string
		line, col int // of the first "!"
	}{
		"plain":                             {"k: ab!\n", 1, 6},
		"single quotes":                     {"k: 'ab!'\n", 1, 7},
		"double quotes":                     {`k: "ab!"` + "\n", 1, 7},
		"behind letters of several bytes":   {"ключ: [ü, 'öä!']\n", 1, 14},
		"escapes, so only where it begins":  {`k: "a\tb!"` + "\n", 1, 4},
		"a literal block":                   {"k: |\n      a\n       b!\n", 3, 9},
		"a literal block in a list":         {"k:\n  - |\n    a!\n", 3, 6},
		"a folded block, where it begins":   {"k: >\n  a\n  b!\n", 1, 4},
		"several lines, where they begin":   {"k: a\n  b!\n", 1, 4},
		"a literal block with a final mark": {"k: |-\n  ab!", 2, 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, problems := place.Parse("f.yml", []byte(tt.file))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			var n place.Node
			for below := range f.At().All() {
				n = below // the last is the text
			}
			p := f.InText(n, slices.Index([]byte(n.Text), '!'), "", "")
			if p.Line != tt.line || p.Col != tt.col {
				t.Errorf("%d:%d, want %d:%d", p.Line, p.Col, tt.line, tt.col)
			}
		})
	}
}

// FuzzParse asks of any file that places lie within it.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a: [1, {b: c}]\n"), "line 1: field b not found in type x", 1)
	f.Add([]byte("a: &a\n  - *a\n  - |\n    up == 1\n"), `undefined receiver "up" in group_wait`, 3)
	f.Add([]byte("? [a]\n: 'b'\n"), "yaml: unmarshal errors:\n  line 99: key \"a\" already set in map", -1)
	f.Fuzz(func(t *testing.T, data []byte, message string, offset int) {
		file, problems := place.Parse("f.yml", data)
		problems = append(problems, file.Refused(errors.New(message))...)
		if len(problems) == 0 {
			t.Error("an error without a problem")
		}
		for n := range file.At().All() {
			p := file.InText(n, offset, "", "")
			if p.Line < 1 || p.Col < 1 {
				t.Errorf("%s is at %d:%d", n.Path, p.Line, p.Col)
			}
		}
		place.Sorted(problems)
	})
}

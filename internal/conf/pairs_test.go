package conf_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

func pair(name, value string, steps ...any) conf.Pair {
	return conf.Pair{Name: name, Value: value, Steps: steps}
}

func flow(name, value string, steps ...any) conf.Pair {
	return conf.Pair{Name: name, Value: value, Steps: steps, Flow: true}
}

func TestPairsAreReadAsAFileIs(t *testing.T) {
	doc, problems := conf.FromPairs("labels", []conf.Pair{
		pair("a", "8080", "listen"), // text, though it looks like a number
		pair("b", "5s", "timeout"),
		pair("c", "true", "verbose"),
		pair("d", "1.5", "rate"),
		pair("e", "3", "replicas"),
		pair("f", "two", "nodes", 1, "name"),
		pair("g", "one", "nodes", 0, "name"),
		flow("h", "[x, 'y z']", "nodes", 0, "tags"),
		flow("i", "{a: 1, b: 2}", "limits"),
		pair("j", "70%", "keep"),
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got settings
	if problems := doc.Decode(&got); len(problems) > 0 {
		t.Fatal(problems)
	}
	want := parse(t, `
listen: "8080"
timeout: 5s
verbose: true
rate: 1.5
replicas: 3
nodes: [{name: one, tags: [x, y z]}, {name: two}]
limits: {a: 1, b: 2}
keep: 70%
`)
	var same settings
	if problems := want.Decode(&same); len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(same, got, cmp.AllowUnexported(settings{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheMistakesOfPairsAreShownInTheirs(t *testing.T) {
	tests := []struct {
		pairs []conf.Pair
		want  string
	}{
		{[]conf.Pair{pair("x.replicas", "many", "replicas")}, "labels:1:12: replicas: must be a whole number, got \"many\"\n    1 | x.replicas=many\n      |            ^^^^"},
		{[]conf.Pair{pair("x.verbose", "yes", "verbose")}, "labels:1:11: verbose: must be true or false, got \"yes\"\n    1 | x.verbose=yes\n      |           ^^^"},
		{[]conf.Pair{pair("x.a", "1", "replicas"), pair("x.b", "2", "replicas")}, "labels:2:5: x.b: is given twice, or as a whole and in parts, remove one of them\n    2 | x.b=2\n      |     ^"},
		{[]conf.Pair{pair("x.a", "1", "extra"), pair("x.b", "2", "extra", "now")}, "labels:2:5: x.b: is given twice, or as a whole and in parts, remove one of them\n    2 | x.b=2\n      |     ^"},
		{[]conf.Pair{pair("x.b", "2", "extra", "now"), pair("x.a", "1", "extra")}, "labels:2:5: x.a: is given twice, or as a whole and in parts, remove one of them\n    2 | x.a=1\n      |     ^"},
		{[]conf.Pair{flow("x.a", "{now: 1}", "extra"), pair("x.b", "2", "extra", "now")}, "labels:2:5: x.b: is given twice, or as a whole and in parts, remove one of them\n    2 | x.b=2\n      |     ^"},
		{[]conf.Pair{flow("x.a", "[{name: a}]", "nodes"), pair("x.b", "b", "nodes", 1, "name")}, "labels:2:5: x.b: is given twice, or as a whole and in parts, remove one of them\n    2 | x.b=b\n      |     ^"},
		{[]conf.Pair{pair("x.1", "a", "nodes", 1, "name")}, "labels: nodes[0]: is missing, though there are other items, count them from 0"},
		{[]conf.Pair{pair("x.0", "a", "nodes", 0, "tags", 2)}, "labels: nodes[0].tags[0]: is missing, though there are other items, count them from 0"},
		{[]conf.Pair{flow("x.l", "{a: x}", "limits")}, "labels:1:9: limits.a: must be a whole number, got \"x\"\n    1 | x.l={a: x}\n      |         ^"},
		{[]conf.Pair{flow("x.l", "{a: x", "limits")}, "labels:1:5: x.l: \"{a: x\" is neither a list nor a mapping, write it like [{replicas: 1, per: 60s}] or {hold: 2m}\n    1 | x.l={a: x\n      |     ^^^^^"},
		{[]conf.Pair{flow("x.l", "a\nb: c", "limits")}, "labels:1:5: x.l: \"a\\nb: c\" is neither a list nor a mapping, write it like [{replicas: 1, per: 60s}] or {hold: 2m}\n    1 | x.l=a b: c\n      |     ^^^^^^"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			var s settings
			doc, problems := conf.FromPairs("labels", tt.pairs)
			if len(problems) == 0 {
				problems = doc.Decode(&s)
			}
			if got := problems.Render(); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestNoPairsAreAnEmptyFile(t *testing.T) {
	doc, problems := conf.FromPairs("labels", nil)
	if len(problems) > 0 || doc.Has("a") {
		t.Error(problems)
	}
}

func TestAMappingMayHaveMoreKeysByOtherPairs(t *testing.T) {
	doc, problems := conf.FromPairs("labels", []conf.Pair{
		flow("a", "{name: one, weight: 3}", "nodes", 0), pair("b", "2", "nodes", 0, "labels", "x"), flow("c", "{}", "extra"), pair("d", "7", "extra", "now"),
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got settings
	if problems := doc.Decode(&got); len(problems) > 0 {
		t.Fatal(problems)
	}
	want := settings{Nodes: []node{{Name: "one", Weight: 3, Labels: map[string]string{"x": "2"}}}, Extra: &extra{Now: 7}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

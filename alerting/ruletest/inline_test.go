package ruletest

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func TestRecordedNamesAreReplacedWhereThatIsTheSame(t *testing.T) {
	l := loaded{parser: parser.NewParser(parser.Options{}), names: []string{"f"}, groups: map[string]*rulefmt.RuleGroups{"f": {Groups: []rulefmt.RuleGroup{
		{Name: "a", Rules: []rulefmt.Rule{
			{Record: "r:x", Expr: "sum(x) # of all"},
			{Record: "r:y", Expr: "r:x * 2"},
			{Record: "r:loop", Expr: "r:loop + 1"},
			{Record: "r:labelled", Expr: "x", Labels: map[string]string{"a": "b"}},
			{Record: "r:twice", Expr: "x"},
			{Record: "r:twice", Expr: "y"},
		}},
		{Name: "b", Interval: model.Duration(time.Minute), Rules: []rulefmt.Rule{{Record: "r:slow", Expr: "x"}}},
	}}}}
	in := newInliner(l, []string{"r:stored", "r:twice"}, 15*time.Second)
	for query, want := range map[string]string{ // "" for what cannot be replayed
		"x > 1":                    "x > 1",
		"r:x > 1":                  "(sum(x)) > 1",
		"r:y / r:x":                "((sum(x)) * 2) / (sum(x))",
		"rate(r:x[5m])":            "rate((sum(x))[5m:15s])",
		"rate(r:slow[5m])":         "rate((x)[5m:1m])",
		"r:stored > r:x":           "r:stored > (sum(x))",
		`r:x{a="b"} > 1`:           "",
		"r:x offset 5m > 1":        "",
		"r:x @ 0 > 1":              "",
		"r:labelled > 1":           "",
		"rate(r:labelled[5m])":     "",
		"r:loop > 1":               "",
		"r:twice > 1":              "r:twice > 1",
		"r:x > 1 and r:labelled":   "",
		"absent(r:x) or vector(1)": "absent((sum(x))) or vector(1)",
	} {
		got, err := in.inline(query)
		if want == "" {
			if err == nil {
				t.Errorf("%s: is taken for %s", query, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%s: got %v, error %v; want %s", query, got, err, want)
		}
	}
}

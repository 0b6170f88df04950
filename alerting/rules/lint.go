package rules

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Lint returns all that is wrong with the rule files that match the patterns:
// mistakes, for which a collector refuses them, and apart from those what it
// takes and yet is hardly meant. known are the metrics that there are besides
// those that the files themselves and the pack record; interval is that of
// groups that name none.
func Lint(patterns []string, known Catalogue, interval time.Duration) (mistakes, warnings conf.Problems) {
	files, mistakes := expand(patterns)
	type good struct {
		place.File
		groups *rulefmt.RuleGroups
	}
	var all []good
	var recorded []string
	seen := &duplicates{}
	for _, name := range files {
		f, groups, problems := parse(name, os.ReadFile)
		if len(problems) > 0 {
			mistakes = append(mistakes, problems...)
			continue
		}
		mistakes = append(mistakes, seen.check(f, groups, nil)...)
		recorded = append(recorded, records(groups)...)
		all = append(all, good{f, groups})
	}
	for _, name := range Bundled() {
		if _, groups, problems := parse(name, bundled.ReadFile); len(problems) == 0 {
			recorded = append(recorded, records(groups)...)
		}
	}
	known = known.With(recorded...)
	for _, f := range all {
		l := &linter{File: f.File, known: known, interval: interval, recorded: recorded}
		l.groups(f.groups)
		warnings = append(warnings, l.found...)
	}
	return place.Sorted(mistakes), place.Sorted(warnings)
}

// records are the names that rules record.
func records(groups *rulefmt.RuleGroups) (names []string) {
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				names = append(names, r.Record)
			}
		}
	}
	return names
}

// linter looks for what is hardly meant in a file without mistakes.
type linter struct {
	place.File
	known    Catalogue
	interval time.Duration
	recorded []string
	found    conf.Problems
}

func (l *linter) warn(n place.Node, what, hint string) {
	l.found = append(l.found, l.Problem(n, what, hint))
}

func (l *linter) groups(groups *rulefmt.RuleGroups) {
	promql := parser.NewParser(parser.Options{})
	for i, g := range groups.Groups {
		interval := l.interval
		if g.Interval != 0 {
			interval = time.Duration(g.Interval)
		}
		for j, r := range g.Rules {
			n := l.At("groups", i, "rules", j)
			expr, err := promql.ParseExpr(r.Expr)
			if err != nil {
				continue // it would be a mistake
			}
			least := l.query(n.At("expr"), expr)
			if r.Alert == "" {
				continue
			}
			if r.Labels["severity"] == "" && g.Labels["severity"] == "" {
				l.found = append(l.found, l.MissingFrom(n, fmt.Sprintf("alert %s has no severity", r.Alert),
					"add labels: {severity: warning}; routes and inhibitions go by it"))
			}
			if r.Annotations["summary"] == "" {
				l.found = append(l.found, l.MissingFrom(n, fmt.Sprintf("alert %s has no summary", r.Alert),
					"add annotations: {summary: …}; messages and the console show it"))
			}
			l.waits(n, r, interval, least)
			l.comparison(n.At("expr"), expr)
			l.templates(n, r, expr)
		}
	}
}

// waits looks at how long an alert waits before it fires. every is how often
// the scarcest metric of its query has a value, 0 if that is not known.
func (l *linter) waits(n place.Node, r rulefmt.Rule, interval, every time.Duration) {
	wait := time.Duration(r.For)
	switch {
	case wait <= 0:
	case wait < interval:
		l.warn(n.At("for"), fmt.Sprintf("is shorter than the %v between two evaluations", interval),
			fmt.Sprintf("the alert waits for %v all the same; write that, or give the group a shorter interval", interval))
	case wait < every:
		l.warn(n.At("for"), fmt.Sprintf("is shorter than the %v between two values of what the query asks for", every),
			fmt.Sprintf("one value alone decides; wait for more than %v, or leave it away", every))
	}
}

// comparison finds alerts that fire whatever the values are. Only metrics that
// are always there count: a recorded one may be there only when it should fire.
func (l *linter) comparison(n place.Node, expr parser.Expr) {
	filters, selectors := false, 0
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch e := node.(type) {
		case *parser.BinaryExpr:
			filters = filters || e.Op.IsSetOperator() || e.Op.IsComparisonOperator() && !e.ReturnBool
		case *parser.AggregateExpr:
			filters = filters || slices.Contains([]parser.ItemType{parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO}, e.Op)
		case *parser.Call:
			filters = filters || strings.HasPrefix(e.Func.Name, "absent")
		case *parser.VectorSelector:
			selectors++
			m, _ := l.known.Find(e.Name)
			filters = filters || m.Kind == "" || m.Kind == "unknown" || slices.Contains(l.recorded, e.Name) || strings.HasPrefix(e.Name, "ALERTS")
			for _, m := range e.LabelMatchers { // such as {state="failed"}, which may be a state that only comes with trouble
				filters = filters || m.Name != "__name__"
			}
		}
		return nil
	})
	if !filters && selectors > 0 {
		l.warn(n, "compares with nothing, so the alert fires for every series that there is", "compare the value, as in … > 0.9; with bool it compares and fires all the same")
	}
}

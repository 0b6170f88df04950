package rules

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/plimsoll-io/plimsoll/alerting/place"
)

// query looks at the selectors of a query and returns how often the scarcest of
// their metrics has a value, 0 if that is not known.
func (l *linter) query(n place.Node, expr parser.Expr) (every time.Duration) {
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		l.contradiction(n, v)
		m, named := l.metric(n, v)
		if !named {
			return nil
		}
		every = max(every, m.Every)
		l.inFunction(n, v, m, path)
		return nil
	})
	return every
}

// at is a finding about a part of a query.
func (l *linter) at(n place.Node, part parser.Node, what, hint string) {
	l.found = append(l.found, l.InText(n, int(part.PositionRange().Start), what, hint))
}

// metric finds out what a selector selects, and complains if that is nothing.
func (l *linter) metric(n place.Node, v *parser.VectorSelector) (Metric, bool) {
	const ask = "correct it; if an application exposes it, name a collector that has it with --url, or it with --metric"
	if v.Name != "" {
		m, ok := l.known.Find(v.Name)
		if !ok {
			hint := ask
			if near := l.known.Nearest(v.Name); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			l.at(n, v, fmt.Sprintf("nobody is known to export the metric %s", v.Name), hint)
		}
		return m, ok
	}
	var names []*labels.Matcher
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			names = append(names, m)
		}
	}
	good := func(name string) bool {
		return !slices.ContainsFunc(names, func(m *labels.Matcher) bool { return !m.Matches(name) })
	}
	if len(names) > 0 && !l.known.Matches(good) {
		l.at(n, v, fmt.Sprintf("nobody is known to export a metric with %s", names[0]), ask)
	}
	return Metric{}, false
}

// contradiction finds selectors that no series can satisfy.
func (l *linter) contradiction(n place.Node, v *parser.VectorSelector) {
	for _, is := range v.LabelMatchers {
		if is.Type != labels.MatchEqual {
			continue
		}
		for _, other := range v.LabelMatchers {
			if other.Name == is.Name && !other.Matches(is.Value) {
				l.at(n, v, fmt.Sprintf("no series has both %s and %s", is, other), "remove one of them, or write x=~\"a|b\" for either")
				return
			}
		}
	}
}

// needTwo are functions that say nothing of a single value.
var needTwo = []string{"rate", "increase", "irate", "delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing"}

// inFunction looks at what is done with the values of a metric.
func (l *linter) inFunction(n place.Node, v *parser.VectorSelector, m Metric, path []parser.Node) {
	if len(path) < 2 {
		return
	}
	matrix, ranged := path[len(path)-1].(*parser.MatrixSelector)
	call, called := path[len(path)-2].(*parser.Call)
	if !ranged || !called {
		return
	}
	f := call.Func.Name
	if slices.Contains(needTwo, f) && m.Every > 0 && matrix.Range > 0 && matrix.Range <= m.Every {
		l.at(n, v, fmt.Sprintf("%s has a value each %v, so there are never two within %v, and %s gives nothing", v.Name, m.Every, matrix.Range, f),
			fmt.Sprintf("make it [%v] or more", 4*m.Every))
	}
	if m.Kind == "gauge" && slices.Contains([]string{"rate", "increase", "irate"}, f) {
		l.at(n, v, fmt.Sprintf("%s of %s takes each fall of this gauge for a restart", f, v.Name), "use delta or deriv, or a counter")
	}
}

// has tells whether elements of a result may have a label.
type has func(label string) bool

func anything(string) bool { return true }
func nothing(string) bool  { return false }

// resultLabels says which labels the elements of a query's result may have. It
// never says no to one that is possible.
func resultLabels(expr parser.Expr) has {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return resultLabels(e.Expr)
	case *parser.StepInvariantExpr:
		return resultLabels(e.Expr)
	case *parser.UnaryExpr:
		return resultLabels(e.Expr)
	case *parser.SubqueryExpr:
		return resultLabels(e.Expr)
	case *parser.NumberLiteral, *parser.StringLiteral:
		return nothing
	case *parser.AggregateExpr:
		return aggregated(e)
	case *parser.BinaryExpr:
		return combined(e)
	case *parser.Call:
		return called(e)
	}
	return anything
}

func aggregated(e *parser.AggregateExpr) has {
	inner := resultLabels(e.Expr)
	switch e.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return inner
	}
	added := ""
	if text, ok := e.Param.(*parser.StringLiteral); ok && e.Op == parser.COUNT_VALUES {
		added = text.Val
	}
	return func(label string) bool {
		kept := slices.Contains(e.Grouping, label) != e.Without
		return label == added || kept && inner(label)
	}
}

func combined(e *parser.BinaryExpr) has {
	left, right := resultLabels(e.LHS), resultLabels(e.RHS)
	either := func(label string) bool { return left(label) || right(label) }
	m := e.VectorMatching
	switch {
	case m == nil: // a scalar on one side
		return either
	case e.Op == parser.LAND, e.Op == parser.LUNLESS:
		return left
	case e.Op == parser.LOR:
		return either
	}
	switch m.Card {
	case parser.CardOneToOne:
		return func(label string) bool { return slices.Contains(m.MatchingLabels, label) == m.On && either(label) }
	case parser.CardManyToOne:
		return func(label string) bool { return left(label) || slices.Contains(m.Include, label) }
	case parser.CardOneToMany:
		return func(label string) bool { return right(label) || slices.Contains(m.Include, label) }
	}
	return anything
}

func called(e *parser.Call) has {
	switch e.Func.Name {
	case "absent", "absent_over_time", "info":
		return anything // labels may come from matchers or elsewhere
	case "label_replace", "label_join":
		inner := resultLabels(e.Args[0])
		to, ok := e.Args[1].(*parser.StringLiteral)
		return func(label string) bool { return !ok || label == to.Val || inner(label) }
	}
	for _, arg := range e.Args {
		if t := arg.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			return resultLabels(arg)
		}
	}
	return nothing // vector(1), hour()
}

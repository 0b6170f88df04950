package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// queryFacts reads the queries of policies.
func queryFacts() func(query string) (policy.Facts, error) {
	promql := parser.NewParser(parser.Options{})
	return func(query string) (policy.Facts, error) {
		expr, err := promql.ParseExpr(query)
		if err != nil {
			return policy.Facts{}, queryError(err)
		}
		return policy.Facts{Back: lookBack(expr), Many: !single(expr), Bare: bareCounters(expr)}, nil
	}
}

// tokens are how the parser names what it met.
var tokens = regexp.MustCompile(`<[a-z]+:(.+?)>`)

// queryError is the first error of a parser, with its place.
func queryError(err error) error {
	var all parser.ParseErrors
	if !errors.As(err, &all) || len(all) == 0 {
		return err
	}
	first := all[0]
	return &policy.QueryError{At: int(first.PositionRange.Start), What: "parse error: " + tokens.ReplaceAllString(first.Err.Error(), "$1")}
}

// lookBack is how far an expression looks back at most: the ranges in it. An
// offset moves what it looks at, and @ ties it to a time; neither has more of what
// was just missed in it.
func lookBack(n parser.Node) time.Duration {
	var below time.Duration
	for child := range parser.ChildrenIter(n) {
		below = max(below, lookBack(child))
	}
	switch n := n.(type) {
	case *parser.MatrixSelector:
		if v, ok := n.VectorSelector.(*parser.VectorSelector); ok && v.Timestamp != nil {
			return 0
		}
		return n.Range
	case *parser.SubqueryExpr:
		if n.Timestamp != nil {
			return 0
		}
		return below + n.Range
	}
	return below
}

// bareCounters are the counters in an expression whose value is taken as it is.
// Where they are counted or compared with an earlier value, nothing is wrong with
// that.
func bareCounters(expr parser.Expr) []string {
	var found []string
	parser.Inspect(expr, func(n parser.Node, above []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if ok && strings.HasSuffix(s.Name, "_total") && !slices.ContainsFunc(above, excuses) && !slices.Contains(found, s.Name) {
			found = append(found, s.Name)
		}
		return nil
	})
	return found
}

func excuses(n parser.Node) bool {
	switch n := n.(type) {
	case *parser.MatrixSelector, *parser.SubqueryExpr:
		return true
	case *parser.AggregateExpr:
		return n.Op == parser.COUNT || n.Op == parser.GROUP
	case *parser.Call:
		return strings.HasPrefix(n.Func.Name, "absent") || n.Func.Name == "timestamp"
	case *parser.BinaryExpr:
		return n.Op == parser.SUB || n.Op.IsComparisonOperator()
	}
	return false
}

// single tells whether an expression gives one series at most, as far as that
// shows without asking it.
func single(e parser.Expr) bool {
	if e.Type() == parser.ValueTypeScalar {
		return true
	}
	switch e := e.(type) {
	case *parser.ParenExpr:
		return single(e.Expr)
	case *parser.UnaryExpr:
		return single(e.Expr)
	case *parser.StepInvariantExpr:
		return single(e.Expr)
	case *parser.SubqueryExpr:
		return single(e.Expr)
	case *parser.AggregateExpr:
		return singleAggregate(e)
	case *parser.BinaryExpr:
		return singleBinary(e)
	case *parser.Call:
		return singleCall(e)
	}
	return false // a selector
}

func singleAggregate(e *parser.AggregateExpr) bool {
	switch e.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK:
		n, ok := e.Param.(*parser.NumberLiteral)
		return ok && n.Val <= 1 && len(e.Grouping) == 0 && !e.Without || single(e.Expr)
	case parser.COUNT_VALUES, parser.LIMIT_RATIO:
		return false
	}
	return len(e.Grouping) == 0 && !e.Without || single(e.Expr)
}

func singleBinary(e *parser.BinaryExpr) bool {
	left, right := single(e.LHS), single(e.RHS)
	switch {
	case e.VectorMatching == nil: // one of them is a scalar
		return left && right
	case e.Op == parser.LOR:
		return left && right
	case e.Op == parser.LAND || e.Op == parser.LUNLESS:
		return left
	case e.VectorMatching.Card == parser.CardOneToOne:
		return left || right
	}
	return left && right
}

func singleCall(e *parser.Call) bool {
	if strings.HasPrefix(e.Func.Name, "absent") {
		return true
	}
	for _, arg := range e.Args {
		if t := arg.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeMatrix {
			continue
		}
		a, ok := arg.(*parser.AggregateExpr)
		if byBucket := ok && !a.Without && len(a.Grouping) == 1 && a.Grouping[0] == "le"; e.Func.Name == "histogram_quantile" && byBucket {
			return true
		}
		return single(arg)
	}
	return true
}

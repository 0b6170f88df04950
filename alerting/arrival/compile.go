package arrival

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// A Rule is one of a group's, in the order of the group.
type Rule struct {
	Record string // the name of what it records; empty for an alert
	Expr   parser.Expr
	Labels labels.Labels // that it sets
}

// Check tells why an expression cannot be followed and is left to the clock; nil
// if it can.
func Check(expr parser.Expr) error {
	_, err := compiler{group: &group{}}.alert(expr)
	return err
}

// compiler makes nodes of the expressions of a group.
type compiler struct {
	group     *group
	recorded  map[string]Rule // by the group's rules before this one
	selectors *[]*node        // that were made
	depth     int             // of recorded series made of recorded series
}

// alert compiles the expression of an alert, and returns the selectors in it.
func (c compiler) alert(expr parser.Expr) ([]*node, error) {
	var selectors []*node
	c.selectors = &selectors
	if _, err := c.vector(expr); err != nil {
		return nil, err
	}
	return selectors, nil
}

// vector compiles what has label sets.
func (c compiler) vector(expr parser.Expr) (*node, error) {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return c.vector(e.Expr)
	case *parser.StepInvariantExpr:
		return c.vector(e.Expr)
	case *parser.VectorSelector:
		return c.selector(e)
	case *parser.UnaryExpr:
		if e.Op == parser.ADD {
			return c.vector(e.Expr)
		}
		return c.maps(e.Expr, func(x float64, _ time.Time) (float64, bool) { return -x, true }, dropName)
	case *parser.Call:
		return c.call(e)
	case *parser.AggregateExpr:
		return c.gather(e)
	case *parser.BinaryExpr:
		return c.binary(e)
	}
	return nil, fmt.Errorf("%s is not followed", expr)
}

func (c compiler) selector(e *parser.VectorSelector) (*node, error) {
	if e.OriginalOffset != 0 || e.OriginalOffsetExpr != nil || e.Timestamp != nil || e.StartOrEnd != 0 || e.Anchored || e.Smoothed {
		return nil, fmt.Errorf("%s is about another time", e)
	}
	name := metric(e.LabelMatchers)
	if name == "" {
		return nil, fmt.Errorf("%s does not name a metric", e)
	}
	if r, ok := c.recorded[name]; ok {
		return c.inline(r, e.LabelMatchers)
	}
	n := &node{kind: selects, group: c.group, matchers: e.LabelMatchers}
	*c.selectors = append(*c.selectors, n)
	return n, nil
}

// inline compiles what a rule of the same group records, which an evaluation of
// the group will have recorded anew before it comes to the alert.
func (c compiler) inline(r Rule, matchers []*labels.Matcher) (*node, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, errors.New("it is made of too many recorded series")
	}
	in, err := c.vector(r.Expr)
	if err != nil {
		return nil, fmt.Errorf("recorded series %s: %w", r.Record, err)
	}
	n := c.above(&node{kind: records, matchers: matchers}, in)
	n.shape = func(lb *labels.Builder) {
		lb.Set(model.MetricNameLabel, r.Record)
		r.Labels.Range(func(l labels.Label) { lb.Set(l.Name, l.Value) })
	}
	return n, nil
}

// maxDepth is how many recorded series may be made of one another.
const maxDepth = 16

func (c compiler) maps(expr parser.Expr, apply func(float64, time.Time) (float64, bool), shape func(*labels.Builder)) (*node, error) {
	in, err := c.vector(expr)
	if err != nil {
		return nil, err
	}
	return c.above(&node{kind: maps, apply: apply, shape: shape}, in), nil
}

func (c compiler) call(e *parser.Call) (*node, error) {
	f, ok := function(e.Func.Name)
	if !ok {
		return nil, fmt.Errorf("%s() is not followed", e.Func.Name)
	}
	return c.maps(e.Args[0], func(x float64, _ time.Time) (float64, bool) { return f(x), true }, dropName)
}

func (c compiler) gather(e *parser.AggregateExpr) (*node, error) {
	reduce := reducer(e.Op)
	if reduce == nil {
		return nil, fmt.Errorf("%s() is not followed", e.Op)
	}
	in, err := c.vector(e.Expr)
	if err != nil {
		return nil, err
	}
	n := c.above(&node{kind: gathers, reduce: reduce, on: !e.Without, names: sorted(e.Grouping), keyed: map[uint64]*cell{}}, in)
	n.shape = func(lb *labels.Builder) {
		if n.on {
			lb.Keep(n.names...)
		} else {
			lb.Del(n.names...).Del(model.MetricNameLabel)
		}
	}
	return n, nil
}

func (c compiler) binary(e *parser.BinaryExpr) (*node, error) {
	left, right := e.LHS.Type(), e.RHS.Type()
	switch {
	case left == parser.ValueTypeScalar && right == parser.ValueTypeScalar:
		return nil, fmt.Errorf("%s has no labels", e)
	case left == parser.ValueTypeScalar:
		return c.withNumber(e, e.RHS, e.LHS, true)
	case right == parser.ValueTypeScalar:
		return c.withNumber(e, e.LHS, e.RHS, false)
	}
	m := e.VectorMatching
	if len(m.Include) > 0 || m.FillValues.LHS != nil || m.FillValues.RHS != nil {
		return nil, fmt.Errorf("%s takes labels or values from the other side, which is not followed", e)
	}
	n := &node{on: m.On, names: sorted(m.MatchingLabels), keyed: map[uint64]*cell{}}
	one := e.RHS
	switch e.Op {
	case parser.LAND:
		n.kind = intersects
	case parser.LUNLESS:
		n.kind = excepts
	case parser.LOR:
		n.kind, one = unites, e.LHS
	default:
		op, ok := operator(e.Op)
		if !ok {
			return nil, fmt.Errorf("%s is not followed", e.Op)
		}
		n.kind = pairs
		if m.Card == parser.CardOneToMany {
			one = e.LHS
		}
		n.join = joiner(e, op, m.Card == parser.CardOneToMany)
		n.shape = shaper(e)
	}
	return c.both(n, e, one)
}

// both compiles the two sides of n.
func (c compiler) both(n *node, e *parser.BinaryExpr, one parser.Expr) (*node, error) {
	for _, side := range []parser.Expr{e.LHS, e.RHS} {
		in, err := c.vector(side)
		if err != nil {
			return nil, err
		}
		in.one = side == one
		c.above(n, in)
	}
	return n, nil
}

// withNumber compiles a vector and a number; swapped if the number is the left.
func (c compiler) withNumber(e *parser.BinaryExpr, vector, scalar parser.Expr, swapped bool) (*node, error) {
	op, ok := operator(e.Op)
	if !ok {
		return nil, fmt.Errorf("%s is not followed", e.Op)
	}
	number, err := scalarOf(scalar)
	if err != nil {
		return nil, err
	}
	var shape func(*labels.Builder)
	if !e.Op.IsComparisonOperator() || e.ReturnBool {
		shape = dropName
	}
	apply := func(x float64, now time.Time) (float64, bool) {
		a, b := x, number(now)
		if swapped {
			a, b = b, a
		}
		v, keep := op(a, b)
		switch {
		case e.ReturnBool:
			return truth(keep), true
		case e.Op.IsComparisonOperator():
			return x, keep
		}
		return v, keep
	}
	return c.maps(vector, apply, shape)
}

// joiner is how two values become one; swapped if the many side is the right.
func joiner(e *parser.BinaryExpr, op func(a, b float64) (float64, bool), swapped bool) func(many, one float64) (float64, bool) {
	return func(many, one float64) (float64, bool) {
		a, b := many, one
		if swapped {
			a, b = b, a
		}
		v, keep := op(a, b)
		if e.ReturnBool {
			return truth(keep), true
		}
		return v, keep
	}
}

// shaper is what labels the engine gives to pairs.
func shaper(e *parser.BinaryExpr) func(*labels.Builder) {
	m := e.VectorMatching
	nameless := !e.Op.IsComparisonOperator() || e.ReturnBool
	return func(lb *labels.Builder) {
		if nameless {
			lb.Del(model.MetricNameLabel)
		}
		switch {
		case m.Card != parser.CardOneToOne:
		case m.On:
			lb.Keep(m.MatchingLabels...)
		default:
			lb.Del(m.MatchingLabels...)
		}
	}
}

// above puts n on top of one of its inputs.
func (c compiler) above(n, in *node) *node {
	n.group = c.group
	in.parent = n
	n.level = max(n.level, in.level+1)
	return n
}

func dropName(lb *labels.Builder) { lb.Del(model.MetricNameLabel) }

// metric is what series matchers are about; empty if that is not a single name.
func metric(matchers []*labels.Matcher) string {
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

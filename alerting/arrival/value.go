package arrival

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// operator is arithmetic as PromQL knows it, or a comparison that keeps the left
// value or nothing.
func operator(op parser.ItemType) (func(a, b float64) (v float64, keep bool), bool) {
	compare := func(is func(a, b float64) bool) func(a, b float64) (float64, bool) {
		return func(a, b float64) (float64, bool) { return a, is(a, b) }
	}
	compute := func(f func(a, b float64) float64) func(a, b float64) (float64, bool) {
		return func(a, b float64) (float64, bool) { return f(a, b), true }
	}
	switch op {
	case parser.ADD:
		return compute(func(a, b float64) float64 { return a + b }), true
	case parser.SUB:
		return compute(func(a, b float64) float64 { return a - b }), true
	case parser.MUL:
		return compute(func(a, b float64) float64 { return a * b }), true
	case parser.DIV:
		return compute(func(a, b float64) float64 { return a / b }), true
	case parser.MOD:
		return compute(math.Mod), true
	case parser.POW:
		return compute(math.Pow), true
	case parser.EQLC:
		return compare(func(a, b float64) bool { return a == b }), true
	case parser.NEQ:
		return compare(func(a, b float64) bool { return a != b }), true
	case parser.GTR:
		return compare(func(a, b float64) bool { return a > b }), true
	case parser.LSS:
		return compare(func(a, b float64) bool { return a < b }), true
	case parser.GTE:
		return compare(func(a, b float64) bool { return a >= b }), true
	case parser.LTE:
		return compare(func(a, b float64) bool { return a <= b }), true
	}
	return nil, false
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// function is a function of each value by itself.
func function(name string) (func(float64) float64, bool) {
	switch name {
	case "abs":
		return math.Abs, true
	case "ceil":
		return math.Ceil, true
	case "floor":
		return math.Floor, true
	case "sqrt":
		return math.Sqrt, true
	case "exp":
		return math.Exp, true
	case "ln":
		return math.Log, true
	case "log2":
		return math.Log2, true
	case "log10":
		return math.Log10, true
	}
	return nil, false
}

// scalarOf is a number that only time changes. It is looked at when a sample
// comes; what time alone makes true is left to the clock.
func scalarOf(expr parser.Expr) (func(now time.Time) float64, error) {
	switch e := expr.(type) {
	case *parser.NumberLiteral:
		return func(time.Time) float64 { return e.Val }, nil
	case *parser.ParenExpr:
		return scalarOf(e.Expr)
	case *parser.StepInvariantExpr:
		return scalarOf(e.Expr)
	case *parser.UnaryExpr:
		x, err := scalarOf(e.Expr)
		if err != nil || e.Op == parser.ADD {
			return x, err
		}
		return func(now time.Time) float64 { return -x(now) }, nil
	case *parser.Call:
		if e.Func.Name == "time" {
			return func(now time.Time) float64 { return float64(now.UnixMilli()) / 1000 }, nil
		}
	case *parser.BinaryExpr:
		return scalarBinary(e)
	}
	return nil, fmt.Errorf("%s is not followed", expr)
}

func scalarBinary(e *parser.BinaryExpr) (func(time.Time) float64, error) {
	a, err := scalarOf(e.LHS)
	if err != nil {
		return nil, err
	}
	b, err := scalarOf(e.RHS)
	if err != nil {
		return nil, err
	}
	op, ok := operator(e.Op)
	if !ok {
		return nil, fmt.Errorf("%s is not followed", e.Op)
	}
	return func(now time.Time) float64 {
		v, keep := op(a(now), b(now))
		if e.Op.IsComparisonOperator() {
			return truth(keep)
		}
		return v
	}, nil
}

// reducer is an aggregation; nil if it is not followed.
func reducer(op parser.ItemType) func([]*cell) (float64, bool) {
	switch op {
	case parser.SUM:
		return sum
	case parser.AVG:
		return func(inputs []*cell) (float64, bool) {
			v, ok := sum(inputs)
			n, _ := count(inputs)
			return v / n, ok
		}
	case parser.COUNT:
		return count
	case parser.GROUP:
		return func(inputs []*cell) (float64, bool) {
			_, ok := count(inputs)
			return 1, ok
		}
	case parser.MIN:
		return func(inputs []*cell) (float64, bool) {
			return best(inputs, func(x, than float64) bool { return x < than })
		}
	case parser.MAX:
		return func(inputs []*cell) (float64, bool) {
			return best(inputs, func(x, than float64) bool { return x > than })
		}
	}
	return nil
}

func sum(inputs []*cell) (total float64, present bool) {
	for _, in := range inputs {
		if in.present {
			total, present = total+in.value, true
		}
	}
	return total, present
}

func count(inputs []*cell) (n float64, present bool) {
	for _, in := range inputs {
		if in.present {
			n++
		}
	}
	return n, n > 0
}

// best is the one that is better than all others; not a number loses.
func best(inputs []*cell, better func(x, than float64) bool) (v float64, present bool) {
	for _, in := range inputs {
		if in.present && (!present || better(in.value, v) || math.IsNaN(v)) {
			v, present = in.value, true
		}
	}
	return v, present
}

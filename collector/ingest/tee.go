package ingest

import (
	"github.com/prometheus/prometheus/model/labels"
)

// Tee is a Watch that shows both what they want. Their epochs must only grow.
func Tee(a, b Watch) Watch {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return tee{a, b}
}

type tee struct{ a, b Watch }

// both is what stands for a series; either may be nil.
type both struct{ a, b any }

func (t tee) Epoch() uint64 { return t.a.Epoch() + t.b.Epoch() }

func (t tee) Series(ls labels.Labels) any {
	if x := (both{t.a.Series(ls), t.b.Series(ls)}); x.a != nil || x.b != nil {
		return x
	}
	return nil
}

func (t tee) Stored(at int64, series []any, values []float64) {
	show := func(w Watch, of func(both) any) {
		shown, its := make([]any, 0, len(series)), make([]float64, 0, len(series))
		for i, s := range series {
			if x := of(s.(both)); x != nil {
				shown, its = append(shown, x), append(its, values[i])
			}
		}
		if len(shown) > 0 {
			w.Stored(at, shown, its)
		}
	}
	show(t.a, func(x both) any { return x.a })
	show(t.b, func(x both) any { return x.b })
}

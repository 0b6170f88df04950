package rollup

import (
	"testing"

	"github.com/prometheus/prometheus/storage"
)

// Each plan is read as: what asks, what there is, who answers what.
func TestPlans(t *testing.T) {
	const h = 12 * window
	rate := func(start, end, span, step int64) *storage.SelectHints {
		return &storage.SelectHints{Start: start, End: end, Range: span, Step: step, Func: "rate"}
	}
	for name, tt := range map[string]struct {
		hints            *storage.SelectHints
		rawFrom, covered int64
		edge, seam       int64
		doubled          bool
	}{
		"no rollups yet":                      {rate(1, 100*h, h, h), 1, 0, 0, 0, false},
		"whole windows, samples at the end":   {rate(h+1, 100*h, h, h), 1, 50 * h, h, 50 * h, true},
		"steps that are not whole windows":    {rate(h+1, 100*h, h, h+1), 1, 50 * h, h, h, false},
		"a range that begins within a window": {rate(h+2, 100*h, 99*h-1, 0), 1, 50 * h, h + window, 50 * h, true},
		"that ends within one":                {rate(h+1, 40*h+3, 39*h+3, 0), 1, 50 * h, h, 40 * h, true},
		"older than the samples":              {rate(h+2, 10*h, h, h), 20 * h, 50 * h, h + 1, 10 * h, false},
		"older in part":                       {rate(h+2, 30*h, h, 7), 20*h + 5, 50 * h, h + 1, 20*h + window, false},
		"a short one":                         {rate(h+1, 2*h-1, h, h), 1, 50 * h, h, h, false},
		"labels only":                         {&storage.SelectHints{Start: h + 1, End: 30 * h, Func: "series"}, 20 * h, 50 * h, h, 20 * h, false},
		"samples that rollups have not got":   {rate(h+2, 90*h, h, 7), 60 * h, 50 * h, h + 1, 60*h - window, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := decide(tt.hints.Start, tt.hints.End, tt.hints, tt.rawFrom, tt.covered)
			if p.edge != tt.edge || p.seam != tt.seam || p.doubled != tt.doubled {
				t.Errorf("edge %d seam %d doubled %v, want %d, %d, %v", p.edge, p.seam, p.doubled, tt.edge, tt.seam, tt.doubled)
			}
		})
	}
}

package forecast

import (
	"math"
	"strings"
	"time"
)

// before expects what was a season ago.
type before struct{ season time.Duration }

func (m before) name() string { return "the same as in earlier " + seasonal(m.season) }

func (m before) warm(h History) int { return h.steps(m.season) }

func (m before) roll(h History, horizon int) [][]float64 {
	season := h.steps(m.season)
	all := make([][]float64, horizon)
	for i := range all {
		all[i] = make([]float64, len(h.Values))
		for t := range h.Values {
			all[i][t] = h.at(t + i + 1 - season)
		}
	}
	return all
}

// recent expects the mean of a time back from now: of one step, what is now.
type recent struct{ back time.Duration }

func (m recent) name() string {
	if m.back == 0 {
		return "the same as now"
	}
	return "the mean of the last " + strings.TrimSuffix(m.back.String(), "0m0s")
}

func (m recent) warm(h History) int { return h.steps(m.back) }

func (m recent) roll(h History, horizon int) [][]float64 {
	back := h.steps(m.back)
	now := make([]float64, len(h.Values))
	last := math.NaN()
	for t := range now {
		if v := h.mean(t-back+1, t+1); !math.IsNaN(v) {
			last = v
		}
		now[t] = last
	}
	all := make([][]float64, horizon)
	for i := range all {
		all[i] = now
	}
	return all
}

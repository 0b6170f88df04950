package forecast

import (
	"math"
	"time"
)

// holt is damped additive Holt-Winters (Gardner and McKenzie, 1989): a level, a
// trend that fades, and a value for each step of the season.
//
//	l = α(y − s[t−m]) + (1−α)(l + φb)
//	b = β(l − l′) + (1−β)φb
//	s[t] = γ(y − l) + (1−γ)s[t−m]
//	ŷ[t+h] = l + (φ + φ² + … + φʰ)b + s[t+h−m]
type holt struct {
	season                  time.Duration
	alpha, beta, gamma, phi float64
}

func (m holt) name() string { return "Holt-Winters over " + seasonal(m.season) }

func (m holt) warm(h History) int { return 2 * h.steps(m.season) }

func (m holt) roll(h History, horizon int) [][]float64 {
	all := make([][]float64, horizon)
	for i := range all {
		all[i] = unknown(len(h.Values))
	}
	season := h.steps(m.season)
	level, shape := m.begin(h, season)
	if math.IsNaN(level) {
		return all
	}
	trend := 0.0
	for t := season; t < len(h.Values); t++ {
		slot := t % season
		expected := level + m.phi*trend + shape[slot]
		y := h.at(t)
		if math.IsNaN(y) || h.least(t) && y < expected {
			// It teaches nothing; time goes on.
			level, trend = level+m.phi*trend, m.phi*trend
		} else {
			before := level
			level = m.alpha*(y-shape[slot]) + (1-m.alpha)*(level+m.phi*trend)
			trend = m.beta*(level-before) + (1-m.beta)*m.phi*trend
			shape[slot] = m.gamma*(y-level) + (1-m.gamma)*shape[slot]
		}
		ahead, damped := 0.0, 1.0
		for i := range all {
			damped *= m.phi
			ahead += damped * trend
			all[i][t] = max(level+ahead+shape[(t+i+1)%season], 0)
		}
	}
	return all
}

// begin takes the first season for the level and the shape.
func (m holt) begin(h History, season int) (level float64, shape []float64) {
	level, shape = h.mean(0, season), make([]float64, season)
	for i := range shape {
		if y := h.at(i); !math.IsNaN(y) {
			shape[i] = y - level
		}
	}
	return level, shape
}

// tuned searches the constants one after the other, twice, for the least loss.
func (m holt) tuned(loss func(model) float64) holt {
	m.alpha, m.beta, m.gamma, m.phi = 0.2, 0.01, 0.2, 0.95
	best := loss(m)
	for range 2 {
		for _, c := range []struct {
			at    func(*holt) *float64
			tries []float64
		}{
			{func(m *holt) *float64 { return &m.alpha }, []float64{0.02, 0.05, 0.1, 0.2, 0.4, 0.7}},
			{func(m *holt) *float64 { return &m.gamma }, []float64{0.05, 0.1, 0.2, 0.4, 0.7}},
			{func(m *holt) *float64 { return &m.beta }, []float64{0, 0.005, 0.02, 0.1}},
			{func(m *holt) *float64 { return &m.phi }, []float64{0.8, 0.9, 0.98}},
		} {
			for _, v := range c.tries {
				other := m
				*c.at(&other) = v
				if l := loss(other); l < best {
					best, m = l, other
				}
			}
		}
	}
	return m
}

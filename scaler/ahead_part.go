package scaler

import (
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/forecast"
)

// part is a piece of history in the making: its sums at each peek.
type part struct {
	forecast.History
	sums []float64
	full []bool // by peek
}

const peeks = int(aheadStep / historyPeek)

func newPart(from, to time.Time) *part {
	n := int(to.Sub(from) / aheadStep)
	p := &part{History: forecast.History{Start: from, Step: aheadStep}}
	p.sums, p.full = make([]float64, n*peeks), make([]bool, n*peeks)
	for i := range p.sums {
		p.sums[i] = math.NaN()
	}
	return p
}

// at is the peek at a time, -1 if it is none of the part's.
func (p *part) at(t time.Time) int {
	i := int(t.Sub(p.Start)/historyPeek) - 1
	if i < 0 || i >= len(p.sums) {
		return -1
	}
	return i
}

// factors are by how much the value of a peek is to be multiplied.
type factors map[int]float64

func (p *part) factors(lines []Series) factors {
	f := factors{}
	for _, s := range lines {
		for _, v := range s.Samples {
			f[p.at(v.At)] = v.Value
		}
	}
	return f
}

// add adds up what series have at each peek, times what it is to be multiplied by:
// a mean that speaks for all replicas by their number, of which nothing is known
// where that is not. Nil is once.
func (p *part) add(lines []Series, times factors) {
	for _, s := range lines {
		for _, v := range s.Samples {
			i := p.at(v.At)
			if i < 0 {
				continue
			}
			if times != nil {
				f, known := times[i]
				if !known {
					continue
				}
				v.Value *= f
			}
			if math.IsNaN(p.sums[i]) {
				p.sums[i] = 0
			}
			p.sums[i] += v.Value
		}
	}
}

// once lets nothing count of a peek at which there are several where one is meant.
func (p *part) once(lines []Series) {
	seen := make(map[int]bool)
	for _, s := range lines {
		for _, v := range s.Samples {
			if i := p.at(v.At); i >= 0 && seen[i] {
				p.sums[i] = math.Inf(1)
			}
			seen[p.at(v.At)] = true
		}
	}
}

// censor marks where the mean was so high that more would not have been seen.
func (p *part) censor(means []Series, above float64) {
	for _, s := range means {
		for _, v := range s.Samples {
			if i := p.at(v.At); i >= 0 && v.Value >= above {
				p.full[i] = true
			}
		}
	}
}

// fold makes minutes of the peeks: the most of each.
func (p *part) fold() forecast.History {
	h := p.History
	for i := 0; i < len(p.sums); i += peeks {
		most, full := math.NaN(), false
		for k := i; k < i+peeks; k++ {
			if v := p.sums[k]; v >= 0 && !math.IsInf(v, 1) && !(v <= most) {
				most = v
			}
			full = full || p.full[k]
		}
		h.Values, h.Censored = append(h.Values, most), append(h.Censored, full)
	}
	return h
}

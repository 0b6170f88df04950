package forecast

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// History is a load at even steps, oldest first, in whatever unit the policy's
// target has.
type History struct {
	Start  time.Time     // of the first value
	Step   time.Duration // from one to the next; a divisor of a day, a minute by habit
	Values []float64     // NaN, ±Inf and what is below zero stand for not known
	// Censored tells where there was at least so much load, and maybe more: all
	// replicas were busy. Nil stands for nowhere.
	Censored []bool
}

const day = 24 * time.Hour

func (h History) check() error {
	switch {
	case h.Step <= 0 || day%h.Step != 0:
		return fmt.Errorf("a step of %s: a day must be a multiple of it", h.Step)
	case h.Censored != nil && len(h.Censored) != len(h.Values):
		return fmt.Errorf("%d values, and %d that say whether they are censored", len(h.Values), len(h.Censored))
	case len(h.Values) == 0:
		return errors.New("no history")
	}
	return nil
}

// at is the value of a step; NaN if it is not known.
func (h History) at(i int) float64 {
	if i < 0 || i >= len(h.Values) {
		return math.NaN()
	}
	if v := h.Values[i]; v >= 0 && !math.IsInf(v, 1) {
		return v
	}
	return math.NaN()
}

// least tells whether the value of a step is a lower bound.
func (h History) least(i int) bool { return h.Censored != nil && h.Censored[i] }

// known is the share of the steps from..to-1 with a value, 0 to 1.
func (h History) known(from, to int) float64 {
	n := 0
	for i := from; i < to; i++ {
		if !math.IsNaN(h.at(i)) {
			n++
		}
	}
	return float64(n) / float64(max(to-from, 1))
}

// mean is that of what is known of the steps from..to-1; NaN if nothing is.
func (h History) mean(from, to int) float64 {
	sum, n := 0.0, 0
	for i := from; i < to; i++ {
		if v := h.at(i); !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

// steps is how many of them a time has, at least one.
func (h History) steps(d time.Duration) int { return int(max((d+h.Step-1)/h.Step, 1)) }

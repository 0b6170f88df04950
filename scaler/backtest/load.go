package backtest

import (
	"fmt"
	"math"
	"time"
)

// Load is what was asked of a whole workload at even steps, oldest first.
type Load struct {
	Start  time.Time     // of the first value
	Step   time.Duration // for which a value holds
	Values []float64     // NaN, ±Inf and what is below zero stand for not known
	// Censored tells where there was at least so much, and maybe more: all replicas
	// were busy. Nil stands for nowhere.
	Censored []bool
}

// End is when the last value ceases to hold.
func (l Load) End() time.Time { return l.Start.Add(time.Duration(len(l.Values)) * l.Step) }

// Known tells how much of the load is known, 0 to 1.
func (l Load) Known() float64 {
	n := 0
	for _, v := range l.Values {
		if known(v) {
			n++
		}
	}
	return float64(n) / float64(max(1, len(l.Values)))
}

func known(v float64) bool { return v >= 0 && !math.IsInf(v, 1) }

func (l Load) check() error {
	switch {
	case l.Step <= 0:
		return fmt.Errorf("a load with steps of %s", l.Step)
	case len(l.Values) == 0:
		return fmt.Errorf("a load without values")
	case l.Censored != nil && len(l.Censored) != len(l.Values):
		return fmt.Errorf("a load of %d values, of which %d are told whether they are censored", len(l.Values), len(l.Censored))
	}
	return nil
}

// cursor reads a load forwards.
type cursor struct {
	load  Load
	until time.Duration // since the beginning of the run, when the value ceases to hold
	next  int           // index of the value after it
	value float64       // NaN if not known
	least bool          // it is a lower bound
}

func (l Load) from(begin time.Time) cursor {
	c := cursor{load: l, value: math.NaN(), until: l.Start.Sub(begin)}
	if c.until <= 0 {
		c.next = int(-c.until / l.Step)
		c.until += time.Duration(c.next) * l.Step
	}
	return c
}

// to moves on to a moment since the beginning of the run.
func (c *cursor) to(at time.Duration) {
	for at >= c.until {
		c.value, c.least = math.NaN(), false
		if c.next >= len(c.load.Values) {
			c.until = math.MaxInt64
			return
		}
		if v := c.load.Values[c.next]; known(v) {
			c.value = v
		}
		c.least = c.load.Censored != nil && c.load.Censored[c.next]
		c.next++
		c.until += c.load.Step
	}
}

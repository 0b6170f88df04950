package backtest

import (
	"fmt"
	"math"
	"time"
)

// Kind is how what a signal reads follows from the load.
type Kind string

// The kinds of lanes.
const (
	Whole  Kind = "whole"  // the load of the workload as it is: requests in a second
	Shared Kind = "shared" // what each replica uses: its part of the load, up to what it has
	Given  Kind = "given"  // the load's values, whatever the number of replicas
)

// Lane is the load behind one signal.
type Lane struct {
	// Signal is its name in the policy; empty if no signal reads it, and it only says
	// what demand is.
	Signal string
	Kind   Kind
	Load   Load
	// Full is what one replica can carry at most, in the unit of the load. 0 if there
	// is no such bound. What is more is neither served nor seen.
	Full float64
	// Good is what one replica is to carry, in the unit of the load: demand is the
	// number of replicas that have no more than that. 0 if this lane says nothing
	// about demand.
	Good float64
	// MayIdle tells that a load of up to Idle asks for no replica at all.
	MayIdle bool
	Idle    float64
	// Unit is the load of which a reading of 1 speaks: the limit, where readings are
	// shares of it. 0 stands for 1.
	Unit float64
	// Window is the time over which readings are averaged; 0 for none.
	Window time.Duration
}

func (l Lane) check(step time.Duration) error {
	if err := l.Load.check(); err != nil {
		return fmt.Errorf("lane %s: %w", l.Signal, err)
	}
	for _, v := range []float64{l.Full, l.Good, l.Unit} {
		if !known(v) {
			return fmt.Errorf("lane %s: full %v, good %v, unit %v: each is 0 or more", l.Signal, l.Full, l.Good, l.Unit)
		}
	}
	switch l.Kind {
	case Whole, Shared, Given:
	default:
		return fmt.Errorf("lane %s: kind %q is none of whole, shared and given", l.Signal, l.Kind)
	}
	if l.Window < 0 || l.Window > remembered*step/2 {
		return fmt.Errorf("lane %s: a window of %s: up to %s are possible", l.Signal, l.Window, remembered*step/2)
	}
	return nil
}

// remembered is how many steps back a lane can be read. A power of two.
const remembered = 8192

// moment is what is measured in a step.
type moment struct {
	use   float64 // of one replica; NaN if nothing was measured
	whole float64 // of the workload
	last  int     // the step after the last one that was measured before; -1 if there is none
}

// track is a lane in a run.
type track struct {
	Lane
	unit   float64
	window int // steps, at least 1
	cursor cursor
	past   []moment // a ring, by step
	queue  float64  // load times seconds that waits

	lost, all float64 // of the load, and the load, times seconds, while it is scored
}

func newTrack(l Lane, begin time.Time, step time.Duration) *track {
	t := &track{Lane: l, unit: l.Unit, cursor: l.Load.from(begin), past: make([]moment, remembered)}
	if t.unit == 0 {
		t.unit = 1
	}
	t.window = max(1, int(l.Window/step))
	t.past[0].last = -1
	return t
}

func (t *track) at(i int) *moment { return &t.past[i&(remembered-1)] }

// demand is how many replicas the load of now asks for, at least 1 unless it may be
// none; false if that is not known.
func (t *track) demand() (float64, bool) {
	if math.IsNaN(t.cursor.value) {
		return 0, false
	}
	if t.MayIdle && t.cursor.value <= t.Idle {
		return 0, true
	}
	return max(1, math.Ceil(t.cursor.value/t.Good-1e-9)), true
}

// step lets the replicas work from step i to the next.
func (t *track) step(i int, dt float64, ready int, mute bool, queue float64, scored bool) {
	now, next := t.at(i), t.at(i+1)
	now.use, now.whole, next.last = math.NaN(), math.NaN(), now.last
	v := t.cursor.value
	if math.IsNaN(v) {
		t.queue = 0
		return
	}
	served := v
	if t.Full > 0 {
		can := t.Full * float64(ready)
		offered := v + t.queue/dt
		served = min(offered, can)
		left := (offered - served) * dt
		t.queue = min(left, queue*can)
		if scored {
			t.lost += left - t.queue
			t.all += v * dt
		}
	}
	if mute {
		return
	}
	now.use, now.whole, next.last = served/float64(max(ready, 1)), v, i+1
}

// seen is the step up to which the lane has been measured, as it can be read at
// step i; false if there is nothing to read.
func (t *track) seen(i, age, cadence int) (last int, ok bool) {
	i -= age
	if i <= 0 {
		return 0, false
	}
	last = t.at(i - i%cadence).last
	return last, last > 0 && i-last < remembered/2
}

// mean is the value of a lane over its window up to a step, for a replica that has
// been ready from a step on; for Whole and Given lanes whatever that is. The time
// before counts as idle, as it does in a rate, so that all replicas together have used
// what they used. Sums are made anew each time: a running one would drift, and with
// it a ceiling.
func (t *track) mean(last, ready int) (float64, bool) {
	shared := t.Kind == Shared
	if shared && ready >= last {
		return 0, false
	}
	sum, n := 0.0, 0
	for i := max(last-t.window, 0); i < last; i++ {
		m := t.at(i)
		if math.IsNaN(m.use) {
			continue
		}
		n++
		switch {
		case !shared:
			sum += m.whole
		case i >= ready:
			sum += m.use
		}
	}
	return sum / float64(n) / t.unit, n > 0
}

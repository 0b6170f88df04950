package backtest

import (
	"errors"
	"math"
	"time"
)

// Recorded judges replicas that there really were, by the same rules as a Run. Where
// it is not known how many were ready, nothing is judged; what was there before is paid
// for. Desired may be without values; what was ready is taken for it then.
func Recorded(o Options, desired, ready Load) (Result, error) {
	if err := ready.check(); err != nil {
		return Result{}, errors.New("how many replicas there were was not recorded")
	}
	if len(desired.Values) == 0 {
		desired = ready
	}
	r, err := newRun(o)
	if err != nil {
		return Result{}, err
	}
	wanted, there := desired.from(r.From), ready.from(r.From)
	dt, queue := r.Step.Seconds(), r.Plant.Queue.Seconds()
	var trace []Point
	begun := false
	for ; r.i < r.end; r.i++ {
		r.now = time.Duration(r.i) * r.Step
		wanted.to(r.now)
		there.to(r.now)
		for _, t := range r.tracks {
			t.cursor.to(r.now)
		}
		n, asked, demand := there.value, wanted.value, r.demand()
		if math.IsNaN(n) {
			n, demand = float64(r.score.ready), math.NaN()
		}
		if math.IsNaN(asked) {
			asked = n
		}
		up, paid := int(n), int(max(n, asked))
		r.fleet.desired = int(asked)
		if !begun {
			r.score.start(demand, up, r.fleet.desired)
			if begun = !math.IsNaN(there.value); !begun {
				paid = 0
			}
		}
		scored := r.i >= r.warm
		for _, t := range r.tracks {
			t.step(r.i, dt, up, true, queue, scored && !math.IsNaN(demand))
		}
		if scored {
			r.score.step(moments{at: r.now, dt: r.Step, demand: demand, ready: up, desired: r.fleet.desired, paid: paid, censored: r.censored()}, nil)
		} else {
			r.score.warm(demand, up, r.fleet.desired)
		}
		if r.Trace {
			trace = r.trace(trace, demand, up)
		}
	}
	result := Result{Trace: trace}
	result.Scores, result.Worst = r.score.result(r.From)
	result.Scores.LostPercent = r.lost()
	return result, nil
}

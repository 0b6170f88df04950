package decide

import (
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// stalest is how long after the time it is about a forecast still counts.
const stalest = 5 * time.Minute

// forecast lifts the number to what the load ahead takes. It is what a signal would
// ask for by then, and so all that holds a signal back holds it too; only a panic
// does not begin on its word.
func (t *turn) forecast(n int) int {
	a := t.obs.Ahead
	if a == nil {
		return n
	}
	s := named(t.policy, a.Signal)
	load := min(a.Load, a.Most)
	floor, known := carriers(s, load, t.ceiling())
	if late := t.obs.Now.Sub(a.At); !known || late > stalest {
		t.gate(a.Signal, because(CodeAheadUnknown, word(a.Model)))
		return n
	}
	if t.sleeps() && load <= t.policy.AllowZero.Activation {
		floor = 0
	}
	if t.obs.Updating && t.policy.DuringUpdate == policy.HoldAll {
		floor = min(floor, t.from)
	}
	to := max(n, floor)
	in := max(0, a.At.Sub(t.obs.Now))
	t.stage("forecast", n, to, to != n, because(CodeAhead, word(a.Signal), amount(policy.Amount{Value: load, Unit: s.Target.Unit}), span(in), word(a.Model), count(floor)))
	if to > n && to > t.from {
		t.speakAlone()
	}
	return to
}

// event is the highest floor of the events that are on, and whose. One whose load
// is not known lifts nothing, and says so.
func (t *turn) event() (floor int, name string) {
	s := tracked(t.policy)
	for i := range t.policy.Events {
		e := &t.policy.Events[i]
		if !during(t.policy, e, &t.obs) {
			continue
		}
		n, known := 0, false
		if base := t.obs.base(e.Name); e.Factor > 0 && !math.IsNaN(base) {
			n, known = carriers(s, base*e.Factor, t.ceiling())
		}
		if !known {
			t.gate("", because(CodeEventUnknown, word(e.Name), word(e.Base)))
			continue
		}
		if n > floor {
			floor, name = n, e.Name
		}
	}
	return floor, name
}

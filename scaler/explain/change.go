package explain

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// What would change a decision is found by deciding again, with other readings and
// at later times. Decisions are cheap, but not for nothing.
const (
	mostTimes = 16   // the load
	mostTicks = 2000 // that one look ahead takes
	searches  = 7    // halvings of a share of the load
)

// change tells what would have to change for the workload to grow or to
// shrink, if the decision does neither.
func change(b *strings.Builder, e journal.Entry) {
	if e.App == nil || e.State == nil || e.Observation.Err != "" || e.Decision.From != e.Decision.To {
		return
	}
	if e.Observation.Desired == 0 && e.App.AllowZero == nil {
		return // a person will have to
	}
	w := newWhatIf(e)
	b.WriteString("\nWhat would change it\n")
	t := table{indent: 2}
	t.row("out", w.out())
	if e.Observation.Desired > 0 {
		t.row("in", w.in())
	}
	b.WriteString(t.String())
}

// whatIf decides as the entry's policy would have, had things been different.
type whatIf struct {
	input decide.Input
	step  time.Duration // between two ticks of a look ahead
	ticks int           // of a look ahead
}

func newWhatIf(e journal.Entry) *whatIf {
	in := decide.Input{Policy: *e.App, State: *e.State, Observation: e.Observation}
	in.Policy.Mode = policy.Advise // what is asked for, not what may be done
	in.Observation.Hand.Pause = "" // a pause is told as what is in the way
	span := in.Policy.In.Window + in.Policy.In.Cooldown + 2*time.Minute
	step := max(in.Policy.Interval, time.Second)
	return &whatIf{in, step, int(min(int64(span/step)+1, mostTicks))}
}

// times is the observation with each reading of a signal, or of all, so many times
// as high, at a later time.
func (w *whatIf) times(factor float64, signal string, later time.Duration) decide.Observation {
	o := w.input.Observation
	o.Now = o.Now.Add(later)
	o.Signals = slices.Clone(o.Signals)
	for i, r := range o.Signals {
		r.Samples = slices.Clone(r.Samples)
		for k := range r.Samples {
			r.Samples[k].At = r.Samples[k].At.Add(later)
			if signal == "" || r.Signal == signal {
				r.Samples[k].Value *= factor
			}
		}
		o.Signals[i] = r
	}
	return o
}

// now decides at the time of the entry.
func (w *whatIf) now(factor float64, signal string) decide.Decision {
	_, d := decide.Next(w.input.Policy, w.input.State, w.times(factor, signal, 0))
	return d
}

// ahead decides tick by tick, with readings that stay, until it moves in a
// direction. It returns the last decision and when that was.
func (w *whatIf) ahead(factor float64, toward decide.Action) (d decide.Decision, at time.Time, moved bool) {
	state := w.input.State
	for tick := range w.ticks {
		o := w.times(factor, "", time.Duration(tick)*w.step)
		state, d = decide.Next(w.input.Policy, state, o)
		at = o.Now
		if d.Action == toward {
			return d, at, true
		}
	}
	return d, at, false
}

// out is what would make the workload grow.
func (w *whatIf) out() string {
	if zero := w.input.Policy.AllowZero; w.input.Observation.Desired == 0 && zero != nil {
		return fmt.Sprintf("if any signal that is one number for the whole workload reads more than %g", zero.Activation)
	}
	if d, at, ok := w.ahead(1, decide.Grow); ok {
		return w.soon(d, at)
	}
	var found []string
	for _, s := range w.input.Policy.Signals {
		if factor, ok := w.least(s.Name); ok {
			found = append(found, w.reading(s, factor))
		}
	}
	if len(found) > 0 {
		return "if " + strings.Join(found, ", or ")
	}
	return "not even with twice the load: " + hindrance(w.now(2, ""), "no signal asks for that")
}

// least is how many times as high a signal alone must read for the workload to
// grow. Far too high it would be refused, so it is looked for from below.
func (w *whatIf) least(signal string) (factor float64, ok bool) {
	grows := func(factor float64) bool { return w.now(factor, signal).Action == decide.Grow }
	low, high := 1.0, 1.1
	for !grows(high) {
		if low, high = high, high*1.1; high > mostTimes {
			return 0, false
		}
	}
	for range searches {
		if mid := (low + high) / 2; grows(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high, true
}

// soon is a decision that comes by itself.
func (w *whatIf) soon(d decide.Decision, at time.Time) string {
	text := fmt.Sprintf("to %d at %s, if the load stays as it is", d.To, stamp(w.input.Observation.Now, at))
	for _, g := range d.Gates {
		if g.Name == decide.GateFloor || g.Name == decide.GateCeiling { // a clock's doing
			return text + ": " + g.Reason.String()
		}
	}
	return text
}

// in is what would make the workload shrink.
func (w *whatIf) in() string {
	if d, at, ok := w.ahead(1, decide.Shrink); ok {
		return w.soon(d, at)
	}
	shrinks := func(factor float64) (decide.Decision, time.Time, bool) { return w.ahead(factor, decide.Shrink) }
	d, at, ok := shrinks(0)
	if !ok {
		return fmt.Sprintf("not within %s, even without any load: %s", policy.Short(time.Duration(w.ticks-1)*w.step), hindrance(d, "no signal asks for less"))
	}
	low, high := 0.0, 1.0
	for range searches {
		mid := (low + high) / 2
		if less, when, ok := shrinks(mid); ok {
			low, d, at = mid, less, when
		} else {
			high = mid
		}
	}
	var readings []string
	for _, s := range w.input.Policy.Signals {
		readings = append(readings, w.reading(s, low))
	}
	return fmt.Sprintf("to %d at %s, if until then %s", d.To, stamp(w.input.Observation.Now, at), strings.Join(readings, " and "))
}

// reading is what a signal would have to read.
func (w *whatIf) reading(s policy.Signal, factor float64) string {
	unit := s.Target.Unit
	if s.Type == policy.Threshold {
		unit = s.Max.Unit
	}
	for _, r := range w.input.Observation.Signals {
		if r.Signal != s.Name || len(r.Samples) == 0 {
			continue
		}
		sum := 0.0
		for _, sample := range r.Samples {
			sum += sample.Value
		}
		now := sum / float64(len(r.Samples))
		if math.IsNaN(now) || math.IsInf(now, 0) {
			break
		}
		text := fmt.Sprintf("%s were %s, now %s", s.Name, policy.Amount{Value: now * factor, Unit: unit}, policy.Amount{Value: now, Unit: unit})
		if len(r.Samples) > 1 {
			text += " on the mean"
		}
		return text
	}
	return s.Name + " were heard"
}

// hindrance is what stood in the way of a decision, or else what is said if nothing
// did.
func hindrance(d decide.Decision, otherwise string) string {
	var whys []string
	for _, g := range d.Gates {
		if g.Name == decide.GateAdvise {
			continue
		}
		text := g.Reason.String()
		if g.Signal != "" {
			text = g.Signal + " " + text
		}
		whys = append(whys, text)
	}
	if len(whys) == 0 {
		return otherwise
	}
	return strings.Join(whys, "; ")
}

// Package decide answers one question: how many replicas, and why. It reads no
// clock and does no I/O, so a year of load replays in a moment, and any
// decision can be made again from its inputs, to the bit.
//
// A number passes these stages, in this order, each of which leaves a line in
// the decision:
//
//	signal     what each signal asks for
//	combine    out if any asks for more, in if all agree on less
//	fallback   what to do when nothing is heard
//	panic      past windows and rates where far more is asked for than there is
//	range      never below min or the floor of a schedule, never above max or a ceiling
//	record     what was asked for, for as long as a window looks back
//	stabilise  the least of the out window, the most of the in window
//	rate       no faster than the rate limits
//	care       not down again so soon, and not up and down without end
//	bounds     min and max once more, and no number beyond the ceiling
//	mode       whether anyone may act on it
//
// What is not known never shrinks anything: a signal without fresh, whole and
// finite readings can only be outvoted upwards, and before the in window is
// full, after a start, a gap or a clock that went back, nothing shrinks at all.
package decide

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Next decides, and returns the state to hand to the next call. Whether the
// last decision was carried out it sees from what the platform was asked for.
//
// The caller hands in the State of the same policy; after an edit of the
// policy, a zero State makes sure that nothing shrinks on old readings.
func Next(p policy.App, s State, o Observation) (State, Decision) {
	if o.Err != "" {
		return s, unseen(s, o)
	}
	o.Now = wall(o.Now)
	t := turn{policy: p, obs: o, from: o.Desired, state: s.resume(p, o)}
	t.decision = Decision{
		Action: Hold, From: t.from, To: t.from,
		Stages: make([]Stage, 0, len(p.Signals)+7),
	}
	if o.Desired == 0 {
		return t.state, t.stopped()
	}
	proposals := t.signals()
	n := t.combine(proposals)
	n = t.fallback(n, proposals)
	n = t.panics(n)
	n = t.limit(n)
	t.record(n)
	n = t.stabilise(n)
	n = t.rate(n)
	n = t.care(n)
	n = t.bound(n)
	t.mode(n)
	return t.state, t.decision
}

// turn is one decision in the making.
type turn struct {
	policy   policy.App
	obs      Observation
	from     int   // replicas asked for now
	state    State // as the next call will see it
	decision Decision

	because string // what speaks for the number combine found
	agreed  bool   // whether every signal would let the workload shrink
	refused bool   // whether a signal asked for something absurd
}

func (t *turn) stage(name string, in, out int, bound bool, reason string) {
	t.decision.Stages = append(t.decision.Stages, Stage{Name: name, In: in, Out: out, Bound: bound, Reason: reason})
}

func (t *turn) gate(name, signal, why string) {
	t.decision.Gates = append(t.decision.Gates, Gate{Name: name, Signal: signal, Why: why})
}

// unseen is the decision when the platform could not be asked. The state stays
// as it was, so the gap shows once the platform answers again.
func unseen(s State, o Observation) Decision {
	why := "the platform could not be asked: " + o.Err
	return Decision{
		Action: Hold, From: s.Desired, To: s.Desired,
		Gates: []Gate{{Name: GatePlatform, Why: why}},
		Why:   "hold: " + why,
	}
}

// stopped is the decision for a workload without replicas. No policy asks for
// none, so a person did, and means it. What was asked for before counts no more:
// the windows begin when the workload does.
func (t *turn) stopped() Decision {
	const why = "scaled to 0 by hand; scale it to 1 or more to let the policy go on"
	t.state.Most, t.state.Least, t.state.Counters = Window{Since: t.obs.Now}, Window{Since: t.obs.Now}, nil
	t.state.Surge, t.state.Silent = Surge{}, time.Time{}
	t.gate(GateStopped, "", why)
	t.decision.Why = "hold 0: " + why
	return t.decision
}

// ceiling is the number of replicas beyond which a signal is taken for broken.
func (t *turn) ceiling() int {
	if t.policy.Ceiling > 0 {
		return t.policy.Ceiling
	}
	return policy.DefaultCeiling
}

// span is how many replicas may be asked for now, and who says so.
type span struct {
	least, most   int
	lifts, limits string
	floored       bool // by a schedule, not by min
	capped        bool // by a schedule, not by max
}

// span is between the policy's min and max, within what its schedules say of this
// moment, in order and within reason even if nobody has checked the policy. Where
// a floor and a ceiling meet, the floor wins: too many cost less than too few.
func (t *turn) span() span {
	floor, lifts, ceiling, holds := t.policy.Scheduled(t.obs.Now)
	s := span{least: max(1, t.policy.Min), most: t.policy.Max}
	s.lifts, s.limits = "min", "max"
	if floor > s.least {
		s.least, s.lifts, s.floored = floor, "the floor of schedule "+lifts, true
	}
	if ceiling > 0 && ceiling < s.most {
		s.most, s.limits, s.capped = ceiling, "the ceiling of schedule "+holds, true
	}
	// A floor is no way around max.
	s.least = min(s.least, max(1, t.policy.Min, t.policy.Max), t.ceiling())
	s.most = max(s.least, min(s.most, t.ceiling()))
	return s
}

func (s span) low() string  { return fmt.Sprintf("%s %d", s.lifts, s.least) }
func (s span) high() string { return fmt.Sprintf("%s %d", s.limits, s.most) }

func (s span) lower() string {
	if s.floored {
		return GateFloor
	}
	return GateMin
}

func (s span) upper() string {
	if s.capped {
		return GateCeiling
	}
	return GateMax
}

// limit keeps what is asked for within the span. A workload above it, put there by
// hand, by an edit of the policy or as a schedule has ended, comes down like any
// other: when all signals can be trusted, for the length of the in window, at the
// in rate.
func (t *turn) limit(n int) int {
	s := t.span()
	switch {
	case n < s.least:
		t.gate(s.lower(), "", fmt.Sprintf("%d asked for, %s is %d", n, s.lifts, s.least))
		t.stage("range", n, s.least, true, s.low())
		return s.least
	case n > s.most && t.from > s.most && !t.agreed:
		t.gate(s.upper(), "", fmt.Sprintf("%d replicas are above %s, but not every signal can be trusted", t.from, s.high()))
		t.stage("range", n, t.from, n != t.from, "above "+s.high()+", held")
		return t.from
	case n > s.most:
		t.gate(s.upper(), "", fmt.Sprintf("%d asked for, %s is %d", n, s.limits, s.most))
		t.stage("range", n, s.most, true, s.high())
		return s.most
	}
	t.stage("range", n, n, false, s.low()+", "+s.high())
	return n
}

// bound is the last word on the number. The least is a promise that needs no data:
// it lifts at once, whatever the windows and rates say. Max never grows anything.
func (t *turn) bound(n int) int {
	s := t.span()
	to := max(n, s.least)
	if to > s.most {
		to = max(s.most, min(n, t.from))
	}
	reason := "within"
	if to != n {
		reason = s.lifts + " is a promise"
		if to > n && !slices.ContainsFunc(t.decision.Gates, func(g Gate) bool { return g.Name == s.lower() }) {
			t.gate(s.lower(), "", fmt.Sprintf("%d would be next, %s is %d", n, s.lifts, s.least))
		}
	}
	t.stage("bounds", n, to, to != n, fmt.Sprintf("%s: %s, %s, ceiling %d", reason, s.low(), s.high(), t.ceiling()))
	return to
}

// mode says what becomes of the number, and puts the decision into words.
func (t *turn) mode(n int) {
	d := &t.decision
	to, reason := n, string(t.policy.Mode)
	switch t.policy.Mode {
	case policy.Paused:
		to = t.from
		if n != t.from {
			t.gate(GatePaused, "", fmt.Sprintf("%d would be next, but the policy is paused", n))
		}
	case policy.Active:
		d.Apply = n != t.from
	case policy.Standby:
		if n != t.from {
			t.gate(GateStandby, "", fmt.Sprintf("%d would be next, which is for the collector that leads to do", n))
		}
	default:
		if n != t.from {
			t.gate(GateAdvise, "", fmt.Sprintf("%d would be next, but the policy only advises; mode: active lets it act", n))
		}
	}
	t.stage("mode", n, to, to != n, reason)
	d.To = to
	switch {
	case to > t.from:
		d.Action = Grow
		d.Why = fmt.Sprintf("%d → %d: %s", t.from, to, t.because)
	case to < t.from:
		d.Action = Shrink
		d.Why = fmt.Sprintf("%d → %d: %s", t.from, to, t.because)
	case t.refused:
		d.Action = Refuse
		d.Why = fmt.Sprintf("refuse, stay at %d: ", t.from)
	default:
		d.Why = fmt.Sprintf("hold %d: %s", t.from, t.because)
	}
	for i, g := range d.Gates {
		if i > 0 || d.Action != Refuse {
			d.Why += "; "
		}
		d.Why += g.text()
	}
}

// text is the gate as a decision's one line has it.
func (g Gate) text() string {
	if g.Signal == "" {
		return g.Why
	}
	return g.Signal + " " + g.Why
}

// wall is a time without its monotonic reading, which a journal cannot keep.
func wall(t time.Time) time.Time { return t.Round(0).UTC() }

// replicas rounds a number of replicas up, forgiving the last bits of a
// division. It is only called with numbers that fit.
func replicas(n float64) int { return int(math.Ceil(n - 1e-9)) }

func short(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(time.Second)
	}
	return policy.Short(d)
}

// Package decide answers one question: how many replicas, and why. It reads no
// clock and does no I/O, so a year of load replays in a moment, and any
// decision can be made again from its inputs, to the bit.
//
// A number passes these stages, in this order, each of which leaves a line in
// the decision:
//
//	signal     what each signal asks for
//	combine    out if any asks for more, in if all agree on less
//	zero       none where there is nothing to do, one as soon as there is
//	fallback   what to do when nothing is heard
//	panic      past windows and rates where far more is asked for than there is
//	forecast   what the load that is expected will take
//	range      never below min or a floor of a schedule, an event or a person, never
//	           above max or a ceiling
//	record     what was asked for, for as long as a window looks back
//	stabilise  the least of the out window, the most of the in window
//	rate       no faster than the rate limits
//	care       not down again so soon, not up and down without end, and not up where
//	           nothing comes of it
//	bounds     min and max once more, and no number beyond the ceiling
//	hand       a person has paused it
//	mode       whether anyone may act on it
//
// What is not known never shrinks anything: a signal without fresh, whole and
// finite readings can only be outvoted upwards, it must be heard for a while before
// it may speak for shrinking again, and before the in window is full, after a start,
// a gap or a clock that went back, nothing shrinks at all.
//
// A floor is a promise of a number that someone chose, and lifts past all that holds
// the signals back, but for max, a person's ceiling and a pause. A forecast is none:
// it only asks, like a signal.
package decide

import (
	"math"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// decide passes the number through its stages.
func (t *turn) decide() {
	t.signals()
	n := t.combine()
	n = t.zero(n)
	n = t.fallback(n)
	n = t.panics(n)
	n = t.forecast(n)
	n = t.limit(n)
	t.record(n)
	n = t.stabilise(n)
	n = t.rate(n)
	n = t.care(n)
	n = t.bound(n)
	n = t.hand(n)
	t.mode(n)
}

// unseen is the decision when the platform could not be asked. The state stays
// as it was, so the gap shows once the platform answers again.
func (t *turn) unseen() {
	t.decision.From, t.decision.To = t.state.Desired, t.state.Desired
	t.gate("", because(CodePlatform, word(t.obs.Err)))
}

// stopped is the decision for a workload without replicas, where the policy never
// asks for none: a person did, and means it, or nobody saw who did. What was asked for
// before counts no more: the windows begin when the workload does.
func (t *turn) stopped() {
	t.state.forget(t.obs.Now)
	t.state.Asked = 0
	code := CodeStopped
	if t.state.None != Stopped {
		code = CodeStoppedBefore
	}
	t.gate("", because(code))
}

// ceiling is the number of replicas beyond which a signal is taken for broken.
func (t *turn) ceiling() int {
	if t.policy.Ceiling > 0 {
		return t.policy.Ceiling
	}
	return policy.DefaultCeiling
}

// reach is how many replicas may be asked for now, and who says so.
type reach struct {
	least, most   int
	lifts, limits bound
}

// bound is who sets a limit: min or max, or a schedule, an event or a person of that
// name.
type bound struct {
	code  Code
	doubt Code // where it cannot be obeyed for want of signals
	name  string
}

// within is the reach between the policy's min and max, within what its schedules,
// its events and people say of this moment, in order and within reason even if
// nobody has checked the policy. Where a floor and a ceiling meet, the floor wins:
// too many cost less than too few. Only a person's ceiling stands above the floors
// that were set before: it is about today.
func (t *turn) within() reach {
	s := reach{
		least: max(1, t.policy.Min), lifts: bound{code: CodeMin},
		most: t.policy.Max, limits: bound{code: CodeMax, doubt: CodeMaxDoubt},
	}
	if t.sleeps() {
		s.lifts.code = CodeAwake
		if !t.woken && (t.from == 0 || !t.state.Idle.IsZero()) {
			s.least = 0
		}
	}
	kept, capped := t.obs.Hand.bounds(&t.obs)
	promise := max(s.least, kept)
	floor, lifts, ceiling, holds := t.policy.Scheduled(t.obs.Now, t.obs.Boot)
	s.lift(floor, bound{code: CodeFloor, name: lifts})
	floor, lifts = t.event()
	s.lift(floor, bound{code: CodeFloorEvent, name: lifts})
	s.lift(kept, bound{code: CodeFloorHand, name: t.obs.Hand.By})
	if ceiling > 0 && ceiling < s.most {
		s.most, s.limits = ceiling, bound{code: CodeCeiling, doubt: CodeCeilingDoubt, name: holds}
	}
	if capped > 0 && capped < s.most {
		s.most, s.limits = capped, bound{code: CodeCeilingHand, doubt: CodeCeilingHandDoubt, name: t.obs.Hand.By}
	}
	if most := max(capped, promise); capped > 0 && most < s.least {
		s.least, s.lifts = most, bound{code: CodeFloorCut, name: t.obs.Hand.By}
	}
	// A floor is no way around max.
	s.least = min(s.least, max(1, t.policy.Min, t.policy.Max), t.ceiling())
	if s.most = min(s.most, t.ceiling()); s.most < s.least {
		s.most = s.least
		if s.limits.code != CodeMax {
			s.limits.code, s.limits.doubt = CodeCeilingRaised, CodeCeilingRaisedDoubt
		}
	}
	return s
}

// lift raises the least to a floor, if that is higher.
func (s *reach) lift(floor int, by bound) {
	if floor > s.least {
		s.least, s.lifts = floor, by
	}
}

// limit keeps what is asked for within reach. A workload above it, put there by
// hand, by an edit of the policy or as a schedule has ended, comes down like any
// other: when all signals can be trusted, for the length of the in window, at the
// in rate.
func (t *turn) limit(n int) int {
	t.reach = t.within()
	s := &t.reach
	to, r := n, because(CodeWithin, count(s.least), count(s.most))
	switch {
	case n < s.least:
		to, r = s.least, because(s.lifts.code, count(n), count(s.least), word(s.lifts.name))
		t.gate("", r)
	case n > s.most && t.from > s.most && !t.agreed:
		to, r = t.from, because(s.limits.doubt, count(t.from), count(s.most), word(s.limits.name))
		t.gate("", r)
	case n > s.most:
		to, r = s.most, because(s.limits.code, count(n), count(s.most), word(s.limits.name))
		t.gate("", r)
	}
	t.stage("range", n, to, to != n, r)
	return to
}

// bound is the last word on the number. The least is a promise that needs no data:
// it lifts at once, whatever the windows and rates say. Max never grows anything.
func (t *turn) bound(n int) int {
	s := &t.reach
	to := max(n, s.least)
	if to > s.most {
		to = max(s.most, min(n, t.from))
	}
	r := because(CodeWithin, count(s.least), count(s.most))
	switch {
	case to > n:
		r = because(s.lifts.code, count(n), count(s.least), word(s.lifts.name))
		if !t.gated(s.lifts.code.Gate()) {
			t.gate("", r)
		}
	case to < n:
		r = because(s.limits.code, count(n), count(s.most), word(s.limits.name))
	}
	t.stage("bounds", n, to, to != n, r)
	return to
}

// mode says what becomes of the number.
func (t *turn) mode(n int) {
	d := &t.decision
	to := n
	switch t.policy.Mode {
	case policy.Paused:
		to = t.from
		if n != t.from {
			t.gate("", because(CodePaused, count(n)))
		}
	case policy.Active:
		d.Apply = n != t.from
	case policy.Standby:
		if n != t.from {
			t.gate("", because(CodeStandby, count(n)))
		}
	default:
		if n != t.from {
			t.gate("", because(CodeAdvise, count(n)))
		}
	}
	t.stage("mode", n, to, to != n, because(CodeMode, word(t.policy.Mode)))
	d.To = to
	t.state.Asked = t.from
	if d.Apply {
		t.state.Asked = to
	}
	switch {
	case to > t.from:
		d.Action = Grow
	case to < t.from:
		d.Action = Shrink
	case t.refused:
		d.Action = Refuse
	}
}

// replicas rounds a number of replicas up, forgiving the last bits of a
// division. It is only called with numbers that fit.
func replicas(n float64) int { return int(math.Ceil(n - 1e-9)) }

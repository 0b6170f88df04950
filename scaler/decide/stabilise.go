package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// lull is the in window. It has two intervals at least, even if nobody has checked
// the policy: one look, however long it counts, is no lull.
func lull(p *policy.App) time.Duration { return max(p.In.Window, 2*p.Interval) }

// record keeps the number that was asked for, after min and max: a window that
// saw the number before them would flap at the bounds.
func (t *turn) record(n int) {
	now, in, out := t.obs.Now, lull(t.policy), t.policy.Out.Window
	t.state.Most.add(now, n, in, func(older, newer int) bool { return older <= newer })
	t.state.Least.add(now, n, out, func(older, newer int) bool { return older >= newer })
	t.stage("record", n, n, false, because(CodeRecorded,
		count(t.state.Least.first().Replicas), span(out), count(t.state.Most.first().Replicas), span(in)))
}

// stabilise does the least that was asked for within the out window, or the
// most within the in window, whichever side of the present number they are on.
func (t *turn) stabilise(n int) int {
	now, window := t.obs.Now, lull(t.policy)
	least, most := t.state.Least.first(), t.state.Most.first()
	seen := now.Sub(t.state.Most.Since)
	to, r := n, because(CodeUnchanged)
	switch rush, on := t.rush(n); {
	case on && rush > least.Replicas:
		to, r = rush, because(CodePanicNow)
		if asked := min(n, t.state.Surge.Most); rush < asked {
			t.gate("", because(CodePanicMost, count(asked), count(t.policy.Panic.MaxAdd)))
		} else if asked < n {
			t.gate("", because(CodeOutWindow, count(n), count(least.Replicas), span(now.Sub(least.At)), span(t.policy.Out.Window)))
		}
	case least.Replicas > t.from:
		to, r = least.Replicas, because(CodeOutSeen, count(least.Replicas), span(t.policy.Out.Window))
	case n > t.from:
		to, r = t.from, because(CodeOutWindow, count(n), count(least.Replicas), span(now.Sub(least.At)), span(t.policy.Out.Window))
		t.gate("", r)
	case n < t.from && (seen < window || seen <= 0):
		to, r = t.from, because(CodeInUnseen, count(n), span(seen), span(window))
		t.gate("", r)
	case n < t.from && most.Replicas >= t.from:
		to, r = t.from, because(CodeInWindow, count(n), count(most.Replicas), span(now.Sub(most.At)), span(window))
		t.gate("", r)
	case n < t.from:
		to, r = most.Replicas, because(CodeInSeen, count(most.Replicas), span(window))
	}
	t.stage("stabilise", n, to, to != n, r)
	return to
}

package decide

import (
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// fallback is what is done once no signal could be heard for long enough.
func (t *turn) fallback(n int, proposals []proposal) int {
	for _, p := range proposals {
		if p.okOut {
			t.state.Silent = time.Time{}
			return n
		}
	}
	if t.state.Silent.IsZero() {
		t.state.Silent = t.obs.Now
	}
	f := t.policy.Fallback
	if f == nil {
		return n
	}
	silent := t.obs.Now.Sub(t.state.Silent)
	if silent < f.After {
		t.stage("fallback", n, n, false, fmt.Sprintf("no signal was heard for %s, the fallback is after %s", short(silent), short(f.After)))
		return n
	}
	to := min(f.Replicas, t.ceiling())
	if f.Action != policy.Exactly || !f.AllowIn {
		to = max(to, n)
	}
	t.because = fmt.Sprintf("no signal was heard for %s, the fallback is %s %d", short(silent), f.Action, f.Replicas)
	t.stage("fallback", n, to, to != n, t.because)
	return to
}

// care keeps a workload from shrinking so soon after a change, and from going up
// and down without end. Growth is none of its business.
func (t *turn) care(n int) int {
	if n >= t.from {
		return n
	}
	to, reason := n, "no limit"
	if last, cool := t.state.lastChange(), t.policy.In.Cooldown; cool > 0 && !last.IsZero() && t.obs.Now.Sub(last) < cool {
		to, reason = t.from, fmt.Sprintf("the last change was %s ago, within the cooldown of %s", short(t.obs.Now.Sub(last)), short(cool))
		t.gate(GateCooldown, "", fmt.Sprintf("%d would do, but %s", n, reason))
	}
	if b := t.policy.Budget; b != nil && to < t.from {
		since := t.obs.Now.Add(-b.Window)
		spent := t.state.moved(since, +1) + t.state.moved(since, -1)
		if left := max(0, b.Changes-spent); t.from-to > left {
			to = t.from - left
			reason = fmt.Sprintf("%d replicas came or went in %s, the budget is %d", spent, short(b.Window), b.Changes)
			t.gate(GateBudget, "", fmt.Sprintf("%d would do, but %s", n, reason))
		}
	}
	t.stage("care", n, to, to != n, reason)
	return to
}

// lastChange is when the newest was seen; zero if none is remembered.
func (s *State) lastChange() (at time.Time) {
	for _, c := range s.Changes {
		if c.At.After(at) {
			at = c.At
		}
	}
	return at
}

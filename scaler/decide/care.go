package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// fallback is what is done once no signal could be heard for long enough.
func (t *turn) fallback(n int) int {
	for i := range t.proposals {
		if t.proposals[i].okOut {
			t.state.Silent = time.Time{}
			return n
		}
	}
	if t.state.Silent.IsZero() || t.state.Silent.After(t.obs.Now) {
		t.state.Silent = t.obs.Now
	}
	f := t.policy.Fallback
	if f == nil {
		return n
	}
	silent := t.obs.Now.Sub(t.state.Silent)
	if silent < f.After {
		t.stage("fallback", n, n, false, because(CodeSilence, span(silent), span(f.After)))
		return n
	}
	to := t.held(n, min(f.Replicas, t.ceiling()))
	if f.Action != policy.Exactly || !f.AllowIn || !t.blind() {
		to = max(to, n)
	}
	t.stage("fallback", n, to, to != n, because(CodeFallback, span(silent), word(f.Action), count(f.Replicas)))
	t.speakAlone()
	return to
}

// blind tells whether nothing is known that could speak against shrinking: no signal
// hears some of the replicas, some are ready, no rollout is under way, and no agent is
// lost.
func (t *turn) blind() bool {
	return !t.gated(GatePartial) && t.obs.Ready > 0 && !t.obs.Updating && len(t.obs.Lost) == 0
}

// held is to, or if a rollout holds all growth, no more than n and what there is.
func (t *turn) held(n, to int) int {
	most := max(n, t.from)
	if to <= most || !t.obs.Updating || t.policy.DuringUpdate != policy.HoldAll {
		return to
	}
	t.gate("", because(CodeUpdateHolds, count(to)))
	return most
}

// care keeps a workload from shrinking so soon after a change, or while too much is
// unknown, and from going up and down without end. It keeps one from growing where
// nothing comes of it.
func (t *turn) care(n int) int {
	switch {
	case n == t.from:
		return n
	case n > t.from:
		return t.progress(n)
	}
	to, r := n, because(CodeNoLimit)
	if about, why := t.stay(n); why.Code != "" {
		to, r = t.from, why
		t.gate(about, why)
	}
	if b := t.policy.Budget; b != nil && to < t.from {
		since := t.obs.Now.Add(-b.Window)
		spent := t.state.moved(since, +1) + t.state.moved(since, -1)
		if left := max(0, b.Changes-spent); t.from-to > left {
			to, r = t.from-left, because(CodeBudget, count(n), count(spent), span(b.Window), count(b.Changes))
			t.gate("", r)
		}
	}
	to, r = t.drowsy(to, r)
	t.stage("care", n, to, to != n, r)
	return to
}

// stay is why nothing may shrink, and the signal that it is about, if it is about
// one; the empty Reason if nothing is in the way.
func (t *turn) stay(n int) (signal string, why Reason) {
	now := t.obs.Now
	if t.obs.Frozen != "" {
		return "", because(CodeFrozen, count(n), word(t.obs.Frozen))
	}
	if s := t.state.Surge; s.on(now) {
		return "", because(CodePanicStays, count(n), span(s.Until.Sub(now)))
	}
	if last, cool := t.state.lastChange(), t.policy.In.Cooldown; cool > 0 && !last.IsZero() && now.Sub(last) < cool {
		return "", because(CodeCooldown, count(n), span(now.Sub(last)), span(cool))
	}
	// What a signal says counts all the while, so that both times run at once.
	var last *proposal
	for i := range t.proposals {
		if p := &t.proposals[i]; p.early > 0 && (last == nil || p.early > last.early || p.early == last.early && p.signal < last.signal) {
			last = p
		}
	}
	if last != nil {
		return last.signal, because(CodeRecovering, count(n), span(last.early))
	}
	return "", Reason{}
}

// progress holds growth while what was added before does not come up: more of what
// fails helps nobody.
func (t *turn) progress(n int) int {
	g := t.state.Growth
	if !g.Stuck {
		return n
	}
	r := because(CodeStuck, count(n), count(max(0, g.To-t.obs.Ready)), count(g.To), span(t.obs.Now.Sub(g.At)), count(t.obs.Failing))
	t.gate("", r)
	t.stage("care", n, t.from, true, r)
	return t.from
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

package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// sleeps tells whether the policy may ask for no replica at all.
func (t *turn) sleeps() bool { return sleeps(t.policy) }

func sleeps(p *policy.App) bool { return p.AllowZero != nil && p.Min <= 0 }

// zero asks for no replica while there is nothing to do, and for one as soon as
// there is. Only signals that speak for the whole workload tell: without replicas
// no other can.
//
// How long there must have been nothing to do is for care to say. The windows see
// the 0 from the beginning, so that both times run at once.
func (t *turn) zero(n int) int {
	if !t.sleeps() {
		t.state.Idle = time.Time{}
		return n
	}
	limit := t.policy.AllowZero.Activation
	tells, busy := 0, (*proposal)(nil)
	for i := range t.proposals {
		p := &t.proposals[i]
		if !p.tells {
			continue
		}
		tells++
		if p.load > limit && (busy == nil || p.signal < busy.signal) {
			busy = p
		}
	}
	idle := t.from > 0 && n <= 1 && t.agreed && tells > 0 && busy == nil
	if !idle {
		t.state.Idle = time.Time{}
	}
	switch {
	case t.from == 0 && busy != nil:
		t.woken = true
		to := max(n, 1)
		t.stage("zero", n, to, to != n, because(CodeWoken, word(busy.signal), decimal(busy.load), decimal(limit)))
		t.speakToo()
		return to
	case t.from == 0:
		t.stage("zero", n, 0, n != 0, because(CodeAsleep, decimal(limit)))
		t.speakAlone()
		return 0
	case !idle:
		return n
	}
	if t.state.Idle.IsZero() || t.state.Idle.After(t.obs.Now) {
		t.state.Idle = t.obs.Now
	}
	t.stage("zero", n, 0, false, because(CodeIdle, span(t.obs.Now.Sub(t.state.Idle)), decimal(limit)))
	t.speakAlone()
	return 0
}

// drowsy keeps one replica until there has been nothing to do for long enough.
func (t *turn) drowsy(n int, r Reason) (int, Reason) {
	if n > 0 || t.from == 0 || !t.sleeps() {
		return n, r
	}
	idle, of := time.Duration(0), t.policy.AllowZero.IdleFor
	if !t.state.Idle.IsZero() {
		idle = t.obs.Now.Sub(t.state.Idle)
	}
	if idle >= of && !t.state.Idle.IsZero() {
		return n, r
	}
	r = because(CodeIdleWait, span(idle), span(of))
	t.gate("", r)
	return 1, r
}

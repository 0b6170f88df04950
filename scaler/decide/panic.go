package decide

import "time"

// Surge is a panic: far more is asked for than there is.
type Surge struct {
	Until time.Time `json:"until"` // it is over, if it is not asked for again
	From  int       `json:"from"`  // replicas that were asked for when it began
	Most  int       `json:"most"`  // that it has asked for
}

// panics begins a panic, or goes on with one: until it is over, nothing asks for
// less than the most that was asked for in it.
func (t *turn) panics(n int) int {
	p := t.policy.Panic
	s := &t.state.Surge
	if p == nil {
		*s = Surge{}
		return n
	}
	if ready := max(1, t.obs.Ready); n > t.from && float64(n) >= p.Threshold*float64(ready) {
		if !s.on(t.obs.Now) {
			*s = Surge{From: t.from}
		}
		s.Until, s.Most = t.obs.Now.Add(p.Hold), max(s.Most, n)
	}
	if longest := t.obs.Now.Add(p.Hold); s.Until.After(longest) {
		s.Until = longest // the clock went back
	}
	if !s.on(t.obs.Now) {
		*s = Surge{}
		t.stage("panic", n, n, false, because(CodeCalm, decimal(p.Threshold), count(t.obs.Ready)))
		return n
	}
	to := max(n, t.held(n, s.Most))
	left := s.Until.Sub(t.obs.Now)
	t.stage("panic", n, to, to != n, because(CodePanic, span(left), count(s.Most)))
	if to != n {
		t.gate("", because(CodePanicHolds, count(n), count(s.Most), span(left)))
	}
	return to
}

func (s Surge) on(now time.Time) bool { return now.Before(s.Until) }

// rush is how far a panic goes past what the rates let through: no further than it was
// asked for itself.
func (t *turn) rush(n int) (to int, rushed bool) {
	s := t.state.Surge
	if !s.on(t.obs.Now) || n <= t.from {
		return n, false
	}
	n = min(n, max(t.from, s.Most))
	if most := t.policy.Panic.MaxAdd; most > 0 {
		return min(n, max(t.from, s.From+most)), true
	}
	return n, true
}

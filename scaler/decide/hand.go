package decide

import "cmp"

// hand is a person's pause: it stands above all that the policy says, its floors
// included, as if the policy were paused.
func (t *turn) hand(n int) int {
	out, in := t.obs.Hand.stops(&t.obs)
	if !(out && n > t.from || in && n < t.from) {
		return n
	}
	h := &t.obs.Hand
	r := because(CodeHeld, count(n), word(cmp.Or(h.PauseBy, "someone")), word(h.Pause), span(h.PauseUntil.Sub(t.obs.Now)))
	t.gate("", r)
	t.stage("hand", n, t.from, true, r)
	return t.from
}

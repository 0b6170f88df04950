package decide

import (
	"fmt"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// combine makes one number of all proposals. Out: the most that any signal asks
// for. In: the most that any is content with, if every one may be heard.
func (t *turn) combine(proposals []proposal) int {
	want, content := t.from, 0
	var grow, hold *proposal
	trusted := len(proposals) > 0
	for i := range proposals {
		p := &proposals[i]
		trusted = trusted && p.okIn
		if p.okOut && (p.out > want || grow != nil && p.out == want && p.signal < grow.signal) {
			want, grow = p.out, p
		}
		if hold == nil || p.in > content || p.in == content && p.signal < hold.signal {
			content, hold = p.in, p
		}
	}
	t.agreed = trusted && !t.obs.Updating
	n := t.from
	switch {
	case grow != nil && t.obs.Updating && t.policy.DuringUpdate == policy.HoldAll:
		t.because = grow.signal + ": " + grow.reason
		t.gate(GateUpdating, "", fmt.Sprintf("%d asked for, but the platform is rolling out a change; the policy holds until it is done", want))
	case grow != nil:
		n, t.because = want, grow.signal+": "+grow.reason
	case trusted:
		t.because = hold.signal + ": " + hold.reason
		if t.agreed {
			n = min(content, t.from)
		}
	default:
		t.because = why(proposals)
	}
	if t.obs.Updating && grow == nil {
		t.gate(GateUpdating, "", "the platform is rolling out a change; nothing shrinks until it is done")
	}
	t.stage("combine", t.from, n, false, t.because)
	return n
}

// why is the reason to stay where not all signals could be heard.
func why(proposals []proposal) string {
	heard := 0
	for _, p := range proposals {
		if p.okIn {
			heard++
		}
	}
	return fmt.Sprintf("no signal asks for more, %d of %d can be trusted to shrink", heard, len(proposals))
}

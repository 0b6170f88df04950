package decide

import "github.com/plimsoll-io/plimsoll/scaler/policy"

// combine makes one number of all proposals. Out: the most that any signal asks
// for. In: the most that any is content with, if every one may be heard.
func (t *turn) combine() int {
	want, content := t.from, 0
	var grow, hold *proposal
	heard := 0
	for i := range t.proposals {
		p := &t.proposals[i]
		if p.okIn {
			heard++
		}
		if p.okOut && (p.out > want || grow != nil && p.out == want && p.signal < grow.signal) {
			want, grow = p.out, p
		}
		if hold == nil || p.in > content || p.in == content && p.signal < hold.signal {
			content, hold = p.in, p
		}
	}
	trusted := heard > 0 && heard == len(t.proposals)
	t.agreed = trusted && !t.obs.Updating && len(t.obs.Lost) == 0
	n, r := t.from, because(CodeDoubt, count(heard), count(len(t.proposals)))
	switch {
	case grow != nil:
		r = because(CodeAsked, word(grow.signal))
		t.speak(grow.first, grow.end)
		if t.obs.Updating && t.policy.DuringUpdate == policy.HoldAll {
			t.gate("", because(CodeUpdateHolds, count(want)))
		} else {
			n = want
		}
	case trusted:
		r = because(CodeAgreed, word(hold.signal))
		t.speak(hold.first, hold.end)
		if t.agreed {
			n = min(content, t.from)
		}
	}
	if t.obs.Updating && grow == nil {
		t.gate("", because(CodeUpdating))
	}
	if lost := t.obs.Lost; len(lost) > 0 && grow == nil {
		t.gate("", because(CodeAgentsLost, word(lost[0]), count(len(lost))))
	}
	t.stage("combine", t.from, n, false, r)
	if r.Code == CodeDoubt {
		t.speakAlone()
	}
	return n
}

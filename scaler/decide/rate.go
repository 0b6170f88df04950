package decide

import (
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// rate holds a change to what the rate limits leave of it. Each limit counts
// the changes of its own direction within its time, whoever made them, and all
// limits hold.
func (t *turn) rate(n int) int {
	to, r := n, because(CodeUnchanged)
	rushed := false
	switch {
	case n > t.from:
		to, r = t.fastest(n, t.policy.Out.Rate, +1)
		if rush, on := t.rush(n); on && rush > to {
			if rush < n {
				t.gate("", r)
			}
			to, rushed = rush, true
			r = because(CodePanicRate, count(rush))
		}
	case n < t.from:
		to, r = t.fastest(n, t.policy.In.Rate, -1)
	}
	t.stage("rate", n, to, to != n, r)
	switch {
	case rushed:
		t.speakToo()
	case to != n:
		t.gate("", r)
	}
	return to
}

// fastest is how far towards n the rates let the workload go; sign is +1 on the
// way out and −1 on the way in.
func (t *turn) fastest(n int, rates []policy.Rate, sign int) (to int, r Reason) {
	to, r = n, because(CodeInRate)
	for i := range rates {
		rate := &rates[i]
		moved := t.state.moved(t.obs.Now.Add(-rate.Per), sign)
		base := t.from - sign*moved // replicas there were, but for these changes
		left := max(0, allowance(*rate, base, sign)-moved)
		if sign*(to-t.from) > left {
			to = t.from + sign*left
			r = because(CodeRate, count(n), count(rate.Replicas), percent(rate.Percent), span(rate.Per), count(left+moved), count(moved))
		}
	}
	return to, r
}

// allowance is how many replicas a rate lets come or go, of base. A share is
// rounded so that growth is never held back by it and shrinking never helped; on the
// way out it is one of one replica at least, or nothing would ever leave 0.
func allowance(r policy.Rate, base, sign int) int {
	share := float64(r.Percent) * float64(base)
	if sign > 0 {
		share = math.Ceil(float64(float64(r.Percent)*float64(max(1, base))) - 1e-9)
	} else {
		share = math.Floor(share + 1e-9)
	}
	return max(r.Replicas, int(share))
}

// Change is a change of the number of replicas, whoever made it, or several of one
// direction, put together.
type Change struct {
	At   time.Time `json:"at"` // when it was seen, or the last of them
	From int       `json:"from"`
	To   int       `json:"to"`
	// Since is when the first of several was seen.
	Since time.Time `json:"since,omitzero"`
}

// moved is how many replicas came (sign +1) or went (sign −1) after since.
func (s *State) moved(since time.Time, sign int) int {
	n := 0
	for _, c := range s.Changes {
		if c.At.After(since) {
			n += max(0, sign*(c.To-c.From))
		}
	}
	return n
}

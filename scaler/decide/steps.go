package decide

import "github.com/plimsoll-io/plimsoll/scaler/policy"

// steps asks for what the row says that the reading is on: of several, the one that
// asks for most or is content with least, so that more load never means fewer
// replicas.
func (t *turn) steps(s *policy.Signal, v values) proposal {
	p := proposal{out: t.from, in: t.from}
	now := policy.Amount{Value: v.mean(), Unit: s.Unit()}
	reason := because(CodeNoRow, amount(now))
	for i := range s.Rows {
		switch r := &s.Rows[i]; {
		case r.Above.Unit != policy.Absent && now.Value > r.Above.Value:
			if n := t.up(r); p.out <= n {
				p.out, p.in = n, n
				reason = because(CodeRowAbove, amount(now), amount(r.Above), count(n))
			}
		case r.Below.Unit != policy.Absent && now.Value < r.Below.Value:
			left := t.down(r)
			after := policy.Amount{Value: now.Value * float64(t.from) / float64(left), Unit: now.Unit}
			if brink := s.Brink(); after.Value > brink*policy.Crossing {
				if p.in == t.from {
					reason = because(CodeRowTooNear, amount(now), amount(r.Below), count(left), amount(after), amount(policy.Amount{Value: brink, Unit: now.Unit}))
				}
				continue
			}
			if left <= p.in {
				p.in = left
				reason = because(CodeRowBelow, amount(now), amount(r.Below), count(t.from-left))
			}
		}
	}
	t.says(s, t.from, p.out, reason)
	return p
}

// up is what a row asks for. It counts from the replicas that are ready: those that
// are on their way were asked for by the same reading, and those beyond what is asked
// for are about to end.
func (t *turn) up(r *policy.Row) int {
	n := r.Set
	if n == 0 {
		ready := min(t.obs.Ready, t.from)
		n = ready + r.Add.Of(ready)
	}
	return min(max(n, t.from), t.ceiling())
}

// down is what a row leaves, one at least.
func (t *turn) down(r *policy.Row) int {
	n := r.Set
	if n == 0 {
		by := r.Remove.Value
		if r.Remove.Unit == policy.Share {
			by = float64(r.Remove.Value*float64(t.from)) + 1e-9
		}
		n = t.from - max(1, int(by))
	}
	return min(max(n, 1), t.from)
}

// desired asks for the reading.
func (t *turn) desired(s *policy.Signal, v values) (p proposal, refused Reason) {
	if !(v.sum <= float64(t.ceiling())) {
		return p, because(CodeOverCeiling, decimal(v.sum), count(t.ceiling()))
	}
	n := replicas(v.sum)
	t.says(s, t.from, n, because(CodeDesiredRead, count(n)))
	return proposal{out: n, in: n}, Reason{}
}

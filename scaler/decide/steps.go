package decide

import (
	"fmt"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// steps asks for what the row says that the reading is on: of several, the one that
// asks for most or is content with least, so that more load never means fewer
// replicas.
func (t *turn) steps(s *policy.Signal, v values) proposal {
	p := proposal{out: t.from, in: t.from}
	now := policy.Amount{Value: v.mean(), Unit: s.Unit()}
	p.reason = now.String() + ", on no row"
	for i := range s.Rows {
		switch r := &s.Rows[i]; {
		case r.Above.Unit != policy.Absent && now.Value > r.Above.Value:
			if n := t.up(r); p.out <= n {
				p.out, p.in = n, n
				p.reason = fmt.Sprintf("%s, above %s: %d replicas", now, r.Above, n)
			}
		case r.Below.Unit != policy.Absent && now.Value < r.Below.Value:
			left := t.down(r)
			after := policy.Amount{Value: now.Value * float64(t.from) / float64(left), Unit: now.Unit}
			if brink := s.Brink(); after.Value > brink*policy.Crossing {
				if p.in == t.from {
					p.reason = fmt.Sprintf("%s, below %s, but with %d replicas it would be %s, too near %s",
						now, r.Below, left, after, policy.Amount{Value: brink, Unit: now.Unit})
				}
				continue
			}
			if left <= p.in {
				p.in = left
				p.reason = fmt.Sprintf("%s, below %s: %d less would do", now, r.Below, t.from-left)
			}
		}
	}
	return p
}

// up is what a row asks for. It counts from the replicas that are ready: those that
// are on their way were asked for by the same reading.
func (t *turn) up(r *policy.Row) int {
	n := r.Set
	if n == 0 {
		n = t.obs.Ready + r.Add.Of(t.obs.Ready)
	}
	return min(max(n, t.from), t.ceiling())
}

// down is what a row leaves, one at least.
func (t *turn) down(r *policy.Row) int {
	n := r.Set
	if n == 0 {
		by := r.Remove.Value
		if r.Remove.Unit == policy.Share {
			by = r.Remove.Value*float64(t.from) + 1e-9
		}
		n = t.from - max(1, int(by))
	}
	return min(max(n, 1), t.from)
}

// desired asks for the reading.
func (t *turn) desired(v values) (p proposal, refused string) {
	if !(v.sum <= float64(t.ceiling())) {
		return p, fmt.Sprintf("asks for %.4g replicas, more than the ceiling of %d", v.sum, t.ceiling())
	}
	n := replicas(v.sum)
	return proposal{out: n, in: n, reason: fmt.Sprintf("asks for %d replicas", n)}, ""
}

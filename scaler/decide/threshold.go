package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Counter is how far a threshold signal has got: the averages of its last
// windows, and the window that is still open. It starts anew when the number of
// replicas changes, and when a tick has nothing to go by.
type Counter struct {
	Signal string    `json:"signal"`
	Since  time.Time `json:"since"` // start of the open window
	Sum    float64   `json:"sum"`   // of its readings
	Count  int       `json:"count"` // how many those are
	Means  []float64 `json:"means"` // of the closed windows, oldest first
}

// threshold asks for a step once enough windows in a row lie beyond max or min.
// The step in is left out if it would by itself bring the reading back to max:
// what c replicas carry now, c−step will carry then.
func (t *turn) threshold(s *policy.Signal, v values) proposal {
	c := t.state.counter(s.Name).with(t.obs.Now, v.mean(), s)
	t.state.setCounter(c)

	amount := func(v float64) policy.Amount { return policy.Amount{Value: v, Unit: s.Max.Unit} }
	p := proposal{out: t.from, in: t.from}
	if len(c.Means) < max(1, s.Samples) {
		p.reason = fmt.Sprintf("%s now, %d of %d windows of %s", amount(v.mean()), len(c.Means), s.Samples, short(s.Window))
		return p
	}
	low, high := slices.Min(c.Means), slices.Max(c.Means)
	last := c.Means[len(c.Means)-1]
	windows := fmt.Sprintf("%s to %s over %d windows of %s", amount(low), amount(high), len(c.Means), short(s.Window))
	switch {
	case low > s.Max.Value:
		p.out = min(t.from+max(1, s.StepOut), t.ceiling())
		p.in = p.out
		p.reason = fmt.Sprintf("%s, above %s: %d more", windows, s.Max, p.out-t.from)
	case high < s.Min.Value:
		left := max(1, t.from-max(1, s.StepIn))
		after := last * float64(t.from) / float64(left)
		if after > s.Max.Value*policy.Crossing {
			p.reason = fmt.Sprintf("%s, below %s, but with %d replicas it would be %s, too near %s", windows, s.Min, left, amount(after), s.Max)
			break
		}
		p.in = left
		p.reason = fmt.Sprintf("%s, below %s: %d less would do", windows, s.Min, t.from-left)
	default:
		p.reason = fmt.Sprintf("%s, between %s and %s", windows, s.Min, s.Max)
	}
	return p
}

// with is the counter with one more reading.
func (c Counter) with(now time.Time, v float64, s *policy.Signal) Counter {
	if c.Since.IsZero() {
		c.Since = now
	}
	c.Sum, c.Count = c.Sum+v, c.Count+1
	if now.Sub(c.Since) >= s.Window {
		means := append(slices.Clone(c.Means), c.Sum/float64(c.Count))
		c.Means = means[max(0, len(means)-max(1, s.Samples)):]
		c.Since, c.Sum, c.Count = now, 0, 0
	}
	return c
}

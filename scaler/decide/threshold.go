package decide

import (
	"math"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Counter is how far a threshold signal has got: the averages of its last
// windows, and the window that is still open. It starts anew when the number of
// replicas changes, and when there was nothing to go by for longer than a reading
// counts: a single miss ends nothing.
type Counter struct {
	Signal string    `json:"signal"`
	Since  time.Time `json:"since"`           // start of the open window
	Last   time.Time `json:"last,omitzero"`   // the newest reading
	Sum    float64   `json:"sum"`             // of its readings
	Count  int       `json:"count"`           // how many those are
	Means  []float64 `json:"means,omitempty"` // of the closed windows, oldest first
}

// threshold asks for a step once enough windows in a row lie beyond max or min.
// The step in is left out if it would by itself bring the reading back to max:
// what c replicas carry now, c−step will carry then.
func (t *turn) threshold(s *policy.Signal, v values) proposal {
	c := t.state.counter(s.Name)
	c.count(t.obs.Now, v.mean(), s, max(s.MaxAge, 2*t.policy.Interval))

	level := func(v float64) arg { return amount(policy.Amount{Value: v, Unit: s.Max.Unit}) }
	p := proposal{out: t.from, in: t.from}
	if len(c.Means) < max(1, s.Samples) {
		t.says(s, t.from, t.from, because(CodeCounting, level(v.mean()), count(len(c.Means)), count(s.Samples), span(s.Window)))
		return p
	}
	low, high, windows := slices.Min(c.Means), slices.Max(c.Means), len(c.Means)
	last := c.Means[len(c.Means)-1]
	switch {
	case low > s.Max.Value:
		p.out = min(t.from+max(1, s.StepOut), t.ceiling())
		p.in = p.out
		t.says(s, t.from, p.out, because(CodeAboveMax, level(low), level(high), count(windows), span(s.Window), amount(s.Max), count(p.out-t.from)))
	case high < s.Min.Value:
		left := max(1, t.from-max(1, s.StepIn))
		after := last * float64(t.from) / float64(left)
		if after > s.Max.Value*policy.Crossing {
			t.says(s, t.from, p.out, because(CodeBelowMinNear, level(low), level(high), count(windows), span(s.Window), amount(s.Min)))
			t.says(s, t.from, t.from, because(CodeTooNear, count(left), level(after), amount(s.Max)))
			break
		}
		p.in = left
		t.says(s, t.from, p.out, because(CodeBelowMin, level(low), level(high), count(windows), span(s.Window), amount(s.Min), count(t.from-left)))
	default:
		t.says(s, t.from, p.out, because(CodeBetween, level(low), level(high), count(windows), span(s.Window), amount(s.Min), amount(s.Max)))
	}
	return p
}

// count takes one more reading in, which is anew if there was none for too long. An
// absurd one must not make the sum infinite, which no state can be kept with.
func (c *Counter) count(now time.Time, v float64, s *policy.Signal, bridge time.Duration) {
	if c.Since.IsZero() || now.Before(c.Last) || now.Sub(c.Last) > bridge {
		*c = Counter{Signal: c.Signal, Since: now, Means: c.Means[:0]}
	}
	c.Last = now
	c.Sum, c.Count = min(c.Sum+v, math.MaxFloat64), c.Count+1
	if now.Sub(c.Since) < s.Window {
		return
	}
	c.Means = append(c.Means, c.Sum/float64(c.Count))
	if surplus := len(c.Means) - max(1, s.Samples); surplus > 0 {
		c.Means = c.Means[:copy(c.Means, c.Means[surplus:])]
	}
	c.Since, c.Sum, c.Count = now, 0, 0
}

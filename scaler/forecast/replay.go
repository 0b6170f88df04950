package forecast

import (
	"fmt"
	"math"
	"time"
)

// A Step is what an Outlook would have said at one step of a history, from what
// was known then.
type Step struct {
	Peak   Point // the most that was expected; of no time if nothing was
	Missed float64
}

// Known tells whether anything was expected.
func (s Step) Known() bool { return !s.Peak.At.IsZero() }

// Trusted tells whether the hour before went as expected, so far as it is known.
func (s Step) Trusted() bool { return s.Missed <= mostMissed }

// Replay is what was to be said at each step of a history from one on, by a model
// that was fitted to what is before: no step knows of a later one.
func (f Fitted) Replay(h History, from int) ([]Step, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	if f.model == nil || h.Step != f.step {
		return nil, fmt.Errorf("the model was fitted to steps of %s, the history has %s", f.step, h.Step)
	}
	if from < 0 || from > len(h.Values) {
		return nil, fmt.Errorf("step %d of %d", from, len(h.Values))
	}
	all := f.model.roll(h, f.horizon)
	steps := make([]Step, 0, len(h.Values)-from)
	for t := from; t < len(h.Values); t++ {
		s := Step{Missed: f.missed(h, all[f.horizon-1], t+1)}
		for i, expected := range all {
			v := expected[t]
			if enough := max(v+f.enough[i], 0); !math.IsNaN(v) && (!s.Known() || enough > s.Peak.Enough) {
				s.Peak = Point{At: h.Start.Add(time.Duration(t+i+1) * h.Step), Expected: v, Enough: enough}
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

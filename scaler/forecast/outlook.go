package forecast

import (
	"fmt"
	"math"
	"time"
)

// A Point is what is expected at a time.
type Point struct {
	At       time.Time
	Expected float64
	Enough   float64 // the quantile: it is not more with that probability
}

// An Outlook is what is expected from the end of a history to the horizon.
type Outlook struct {
	Points []Point // none if the history's end says nothing
	// Missed is the share, 0 to 1, of the last hour's values that were outside of
	// nine tenths of what was expected; NaN if that hour is not known.
	Missed float64
}

// Peak is the point at which most is needed, and false if nothing is known.
func (o Outlook) Peak() (Point, bool) {
	if len(o.Points) == 0 {
		return Point{}, false
	}
	most := o.Points[0]
	for _, p := range o.Points[1:] {
		if p.Enough > most.Enough {
			most = p
		}
	}
	return most, true
}

// Trusted tells whether the last hour went as expected, so far as it is known.
func (o Outlook) Trusted() bool { return o.Missed <= mostMissed }

// mostMissed is the share of an hour that may be outside of nine tenths.
const mostMissed = 0.25

// Ahead looks ahead from the end of a history.
func (f Fitted) Ahead(h History) (Outlook, error) {
	if err := h.check(); err != nil {
		return Outlook{}, err
	}
	if f.model == nil || h.Step != f.step {
		return Outlook{}, fmt.Errorf("the model was fitted to steps of %s, the history has %s", f.step, h.Step)
	}
	all := f.model.roll(h, f.horizon)
	last := len(h.Values) - 1
	o := Outlook{Missed: f.missed(h, all[f.horizon-1], len(h.Values))}
	for i, expected := range all {
		v := expected[last]
		if math.IsNaN(v) {
			continue
		}
		o.Points = append(o.Points, Point{
			At:       h.Start.Add(time.Duration(last+i+1) * h.Step),
			Expected: v,
			Enough:   max(v+f.enough[i], 0),
		})
	}
	return o, nil
}

// missed is the share of the hour before a step that was outside of nine tenths.
func (f Fitted) missed(h History, expected []float64, before int) float64 {
	out, n := 0, 0
	for i := max(before-h.steps(time.Hour), f.horizon); i < before; i++ {
		y, v := h.at(i), expected[i-f.horizon]
		if math.IsNaN(y) || math.IsNaN(v) {
			continue
		}
		n++
		if y > v+f.high[f.horizon-1] || y < v+f.low[f.horizon-1] && !h.least(i) {
			out++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return float64(out) / float64(n)
}

package scaler

import (
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
)

// expected is what a decision is told of an outlook; nil if that says nothing.
func expected(v *foresight, o forecast.Outlook) *decide.Ahead {
	peak, known := o.Peak()
	signal, _ := tracked(v.app)
	most := busiest(v.load, 7*24*time.Hour)
	most *= v.app.Forecast.MaxFactor
	if !known || math.IsNaN(o.Missed) || !sane(most) || !sane(peak.Enough) { // of a load that is not heard now, nothing is said either
		return nil
	}
	return &decide.Ahead{Signal: signal.Name, Load: peak.Enough, At: peak.At.UTC(), Model: v.fitted.Model, Most: most}
}

// sane is a load that can be reckoned with, and written down.
func sane(load float64) bool { return load > 0 && !math.IsInf(load, 1) }

// stand makes a gate the view's.
func (v *foresight) stand(g forecast.Gate) {
	if g.Standing != v.gate.Standing || g.Why != v.gate.Why {
		v.says = string(g.Standing) + ": " + g.Why
	}
	v.gate = g
}

// Foresight is how a policy's forecast stands.
type Foresight struct {
	forecast.Gate
	// Horizon is how far it looks ahead.
	Horizon time.Duration `json:"horizon,omitempty"`
	// From is since when there is history.
	From time.Time `json:"from,omitzero"`
	// Ahead is what is expected, whether or not it may act.
	Ahead *decide.Ahead `json:"ahead,omitempty"`
	// Missed is the share of the last hour that was not as expected; nil if not known.
	Missed *float64 `json:"missed,omitempty"`
}

// foresee is how the forecast of a policy stands; nil if it has none.
func (a *ahead) foresee(name string) *Foresight {
	v, ok := a.copy(name)
	if !ok || !foretells(v.app) {
		return nil
	}
	f := &Foresight{Gate: v.gate, Horizon: v.horizon, From: v.load.Start, Ahead: v.ahead}
	if v.fitted != nil && v.missed >= 0 {
		f.Missed = &v.missed
	}
	return f
}

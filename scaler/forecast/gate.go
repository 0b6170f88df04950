package forecast

import (
	"fmt"
	"math"
	"time"
)

// Standing is whether a forecast may act.
type Standing string

// The standings.
const (
	Learning  Standing = "learning"  // there is too little history
	Off       Standing = "off"       // it was tried and is not worth it
	On        Standing = "on"        // it acts
	Suspended Standing = "suspended" // it is worth it, but not at present
)

// suspension is how long a forecast does not act after an hour that went
// otherwise.
const suspension = time.Hour

// rounding is what is forgiven where shares are compared.
const rounding = 1e-9

// Terms are what a forecast has to keep to.
type Terms struct {
	MinGain float64 // the least share of the shortfall that it takes away
	MaxCost float64 // the greatest share of replica-hours that it adds
}

// A Run is what became of a load under a policy.
type Run struct {
	Under float64 `json:"under"` // θ_U: by how much of the need there was too little, in %
	Hours float64 `json:"hours"` // replica-hours
}

// A Trial is a replay of the last days, without the forecast and with it.
type Trial struct {
	At      time.Time     `json:"at"`
	Span    time.Duration `json:"span"` // how long the replay was
	Model   string        `json:"model"`
	Rival   string        `json:"rival"`
	Skill   float64       `json:"skill"` // of the model, on days that it had not seen
	Without Run           `json:"without"`
	With    Run           `json:"with"`
}

// Gain is the share of the shortfall that the forecast took away; 0 if there was
// none.
func (t Trial) Gain() float64 {
	if !(t.Without.Under > 0) {
		return 0
	}
	return (t.Without.Under - t.With.Under) / t.Without.Under
}

// Cost is the share of replica-hours that it added.
func (t Trial) Cost() float64 {
	if !(t.Without.Hours > 0) {
		return math.Inf(1)
	}
	return (t.With.Hours - t.Without.Hours) / t.Without.Hours
}

// finite tells whether the figures are numbers that can be written down.
func (t Trial) finite() bool {
	for _, v := range []float64{t.Skill, t.Without.Under, t.Without.Hours, t.With.Under, t.With.Hours} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// refused is why a trial does not let a forecast act, empty if it does.
func (t Trial) refused(terms Terms) string {
	switch {
	case !(t.Skill > 0):
		return fmt.Sprintf("%s foretells no better than %s", t.Model, t.Rival)
	case !(t.Without.Under > 0):
		return "nothing was short of replicas without it"
	case !(t.Gain() >= terms.MinGain-rounding):
		return fmt.Sprintf("it takes away %.0f%% of the shortfall, min_gain is %.0f%%", 100*t.Gain(), 100*terms.MinGain)
	case !(t.Cost() <= terms.MaxCost+rounding):
		return fmt.Sprintf("it adds %.0f%% replica-hours, max_cost is %.0f%%", 100*t.Cost(), 100*terms.MaxCost)
	}
	return ""
}

// A Gate stands before a forecast. The zero Gate is learning. Every method returns
// the Gate as it is afterwards.
type Gate struct {
	Standing Standing  `json:"standing"`
	Why      string    `json:"why"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"`  // of a suspension
	Trial    *Trial    `json:"trial,omitempty"` // the last; nil before the first
}

// Acts tells whether the forecast may act.
func (g Gate) Acts() bool { return g.Standing == On }

// Learns is for a history that says too little, and why.
func (g Gate) Learns(now time.Time, why error) Gate {
	g.Trial = nil
	return g.become(now, Learning, why.Error())
}

// Fails is for a trial that could not be made, and why: what is not tried does not
// act.
func (g Gate) Fails(now time.Time, why error) Gate {
	return g.become(now, Off, why.Error())
}

// Tried takes a trial. A suspension lasts for its time all the same.
func (g Gate) Tried(now time.Time, t Trial, terms Terms) Gate {
	if !t.finite() {
		g.Trial = nil
		return g.become(now, Off, "the load is too large to reckon with")
	}
	g.Trial = &t
	if why := t.refused(terms); why != "" {
		return g.become(now, Off, why)
	}
	if g.Standing == Suspended && now.Before(g.Until) {
		return g
	}
	return g.become(now, On, t.worth())
}

func (t Trial) worth() string {
	return fmt.Sprintf("in %s it takes away %.0f%% of the shortfall for %+.0f%% replica-hours",
		span(t.Span), 100*t.Gain(), 100*t.Cost())
}

// Heard takes what an Outlook says of the last hour: a forecast that it went
// against is suspended, and one whose suspension is over acts again.
func (g Gate) Heard(now time.Time, missed float64) Gate {
	switch {
	case g.Standing == On && missed > mostMissed, g.Standing == Suspended && !now.Before(g.Until) && missed > mostMissed:
		g = g.become(now, Suspended, fmt.Sprintf("%.0f%% of the last hour was outside of nine tenths of what was expected", 100*missed))
		g.Until = now.Add(suspension)
	case g.Standing == Suspended && (!now.Before(g.Until) || g.Until.Sub(now) > suspension): // or the clock was set back
		g = g.become(now, On, g.Trial.worth())
	}
	return g
}

func (g Gate) become(now time.Time, s Standing, why string) Gate {
	if g.Standing != s {
		g.Since = now
	}
	g.Standing, g.Why, g.Until = s, why, time.Time{}
	return g
}

// span is a time in days or hours, as it reads best.
func span(d time.Duration) string {
	if d >= 2*day {
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}

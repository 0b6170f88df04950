package decide

import (
	"math"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// tracked is the first tracking signal of the policy, in whose unit the loads of
// events are; nil if there is none.
func tracked(p *policy.App) *policy.Signal {
	for i := range p.Signals {
		if p.Signals[i].Type == policy.Track {
			return &p.Signals[i]
		}
	}
	return nil
}

// named is the tracking signal of that name; nil if there is none.
func named(p *policy.App, name string) *policy.Signal {
	for i := range p.Signals {
		if s := &p.Signals[i]; s.Name == name && s.Type == policy.Track {
			return s
		}
	}
	return nil
}

// carriers is how many replicas carry a load at the target of a signal, most at the
// most; false if the load is not known. A load that is absurd is cut down: it may
// only lift, and max holds it anyway.
func carriers(s *policy.Signal, load float64, most int) (n int, known bool) {
	if s == nil || !(load >= 0) || math.IsInf(load, 1) || !(s.Target.Value > 0) {
		return 0, false
	}
	return replicas(min(load/s.Target.Value, float64(most))), true
}

// base is the load that an event multiplies; NaN if it is not known.
func (o *Observation) base(event string) float64 {
	for i := range o.Bases {
		if o.Bases[i].Event == event {
			return o.Bases[i].Load
		}
	}
	return math.NaN()
}

// during tells whether the floor of an event counts now.
func during(p *policy.App, e *policy.Event, o *Observation) bool {
	return !o.Now.Before(p.Begins(e, o.Boot)) && o.Now.Before(e.At.Add(e.Duration))
}

// bounds are what a person asks for at least at o.Now, and ceiling what at most; 0
// for neither.
func (h *Hand) bounds(o *Observation) (floor, ceiling int) {
	if !o.Now.Before(h.Until) {
		return 0, 0
	}
	return max(h.Floor, 0), max(h.Ceiling, 0)
}

// stops tells which ways a person lets nothing happen.
func (h *Hand) stops(o *Observation) (out, in bool) {
	if !o.Now.Before(h.PauseUntil) {
		return false, false
	}
	return h.Pause == PauseOut || h.Pause == PauseAll, h.Pause == PauseIn || h.Pause == PauseAll
}

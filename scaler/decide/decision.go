package decide

import (
	"slices"
	"strconv"
)

// Action is what a decision amounts to.
type Action string

// The actions.
const (
	Hold   Action = "hold"   // stay
	Grow   Action = "out"    // more replicas
	Shrink Action = "in"     // fewer replicas
	Refuse Action = "refuse" // stay, because a signal asks for something absurd
)

// Decision is what to do and why. In JSON it has its reasons in words, too, and is
// read back with those.
type Decision struct {
	Action Action `json:"action"`
	// From is how many replicas the platform was asked for, To how many it is
	// to be asked for. They differ only if Action is out or in.
	From int `json:"from"`
	To   int `json:"to"`
	// Apply tells whether the policy's mode lets anyone carry this out. In
	// advise mode From and To may differ while Apply is false.
	Apply bool `json:"apply"`
	// Stages are the steps from From to To, in their order.
	Stages []Stage `json:"stages"`
	// Gates are what stood in the way of anything.
	Gates []Gate `json:"gates,omitempty"`

	why string // as it was told, where it was read back
}

// Why is the decision in one line, with its numbers: what speaks for the number,
// and all that stood in the way.
func (d Decision) Why() string {
	if d.why != "" {
		return d.why
	}
	b := make([]byte, 0, 256)
	switch {
	case len(d.Gates) > 0 && d.Gates[0].Name == GatePlatform:
		b = append(b, "hold"...) // at a number that nobody knows
	case d.Action == Grow || d.Action == Shrink:
		b = strconv.AppendInt(b, int64(d.From), 10)
		b = append(b, " → "...)
		b = strconv.AppendInt(b, int64(d.To), 10)
	case d.Action == Refuse:
		b = append(b, "refuse, stay at "...)
		b = strconv.AppendInt(b, int64(d.From), 10)
	default:
		b = append(b, "hold "...)
		b = strconv.AppendInt(b, int64(d.From), 10)
	}
	between := ": "
	signal := ""
	for i := range d.Stages {
		s := &d.Stages[i]
		if !s.speaks || d.Action == Refuse {
			continue
		}
		b = append(b, between...)
		if s.Signal != signal && s.Signal != "" {
			b = append(append(b, s.Signal...), ": "...)
		}
		signal = s.Signal
		b = s.Reason.append(b)
		between = "; "
	}
	for i := range d.Gates {
		g := &d.Gates[i]
		b = append(b, between...)
		if g.Signal != "" {
			b = append(append(b, g.Signal...), ' ')
		}
		b = g.Reason.append(b)
		between = "; "
	}
	return string(b)
}

// Quote is d in the words of someone who told it before.
func (d Decision) Quote(why string) Decision {
	d.why = why
	return d
}

// Clone is d to keep: one from a Decider is overwritten by the next.
func (d Decision) Clone() Decision {
	d.Stages, d.Gates = slices.Clone(d.Stages), slices.Clone(d.Gates)
	return d
}

// Equal tells whether two decisions are the same, in the same words.
func (d Decision) Equal(other Decision) bool {
	return d.Action == other.Action && d.From == other.From && d.To == other.To && d.Apply == other.Apply &&
		slices.EqualFunc(d.Stages, other.Stages, Stage.Equal) &&
		slices.EqualFunc(d.Gates, other.Gates, Gate.Equal) &&
		d.Why() == other.Why()
}

// Unbounded is how many replicas the signals ask for, before any bound, window
// or rate had a say; false if they were not asked.
func (d *Decision) Unbounded() (replicas int, ok bool) {
	for i := range d.Stages {
		if s := &d.Stages[i]; s.Name == "combine" {
			return s.Out, true
		}
	}
	return 0, false
}

// Stage is one step of a decision: a number of replicas goes in, another comes
// out.
type Stage struct {
	// Name is signal, combine, zero, fallback, panic, forecast, range, record,
	// stabilise, rate, care, bounds, hand or mode. A signal has a stage for what it
	// reads, and one more for each thing that changes what it makes of that.
	Name string
	// Signal is the name of the signal, for stages called signal.
	Signal  string
	In, Out int
	// Bound tells whether this stage changed the number against its will: held
	// it back, or lifted it.
	Bound bool
	// Reason is why, with its numbers.
	Reason Reason

	speaks bool // whether it is what the decision is for
}

// Equal tells whether two stages are the same, in the same words.
func (s Stage) Equal(other Stage) bool {
	return s.Name == other.Name && s.Signal == other.Signal && s.In == other.In && s.Out == other.Out &&
		s.Bound == other.Bound && s.Reason.Equal(other.Reason)
}

// Gate is something that stood in the way.
type Gate struct {
	// Name is one of the Gate… constants; a label of metrics. The code of the
	// reason says more exactly what it is.
	Name string
	// Signal is the signal it is about, if it is about one.
	Signal string
	// Reason is why, with its numbers.
	Reason Reason
}

// Equal tells whether two gates are the same, in the same words.
func (g Gate) Equal(other Gate) bool {
	return g.Name == other.Name && g.Signal == other.Signal && g.Reason.Equal(other.Reason)
}

// The names of gates.
const (
	GatePlatform = "platform" // the platform could not be asked
	GateInvalid  = "invalid"  // a signal has nothing to go by
	GatePartial  = "partial"  // a signal hears too few replicas
	GateRefused  = "refused"  // a signal asks for something absurd
	GateUpdating = "updating" // the platform is rolling out a change
	GateSettling = "settling" // less would do, but not for long enough
	GateWindow   = "window"   // more would do, but not for long enough
	GateRate     = "rate"     // a rate limit
	GateMin      = "min"
	GateMax      = "max"
	GatePanic    = "panic" // less would do, but not yet
	GateCooldown = "cooldown"
	GateBudget   = "budget"  // too much has come and gone
	GateFloor    = "floor"   // of a schedule, an event or a person
	GateCeiling  = "ceiling" // of a schedule or a person
	GateStopped  = "stopped" // scaled to zero by hand
	GatePaused   = "paused"
	GateHeld     = "held"    // paused by hand, for a time
	GateAgents   = "agents"  // of nodes that host replicas are not heard
	GateFrozen   = "frozen"  // much was lost at once
	GateStuck    = "stuck"   // what was added does not become ready
	GateUnknown  = "unknown" // what an event or a forecast takes
	GateIdle     = "idle"    // none would do, but not for long enough

	GateRecovering = "recovering" // a signal was not heard until lately
	GateAdvise     = "advise"
	GateStandby    = "standby"
)

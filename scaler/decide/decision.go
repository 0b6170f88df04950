package decide

// Action is what a decision amounts to.
type Action string

// The actions.
const (
	Hold   Action = "hold"   // stay
	Grow   Action = "out"    // more replicas
	Shrink Action = "in"     // fewer replicas
	Refuse Action = "refuse" // stay, because a signal asks for something absurd
)

// Decision is what to do and why.
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
	// Gates are what stood in the way of anything, one line each.
	Gates []Gate `json:"gates,omitempty"`
	// Why is the decision in one line, with its numbers.
	Why string `json:"why"`
}

// Unbounded is how many replicas the signals ask for, before any bound, window
// or rate had a say; false if they were not asked.
func (d Decision) Unbounded() (replicas int, ok bool) {
	for _, s := range d.Stages {
		if s.Name == "combine" {
			return s.Out, true
		}
	}
	return 0, false
}

// Stage is one step of a decision: a number of replicas goes in, another comes
// out.
type Stage struct {
	// Name is signal, combine, fallback, panic, range, record, stabilise, rate,
	// care, bounds or mode.
	Name string `json:"name"`
	// Signal is the name of the signal, for stages called signal.
	Signal string `json:"signal,omitempty"`
	In     int    `json:"in"`
	Out    int    `json:"out"`
	// Bound tells whether this stage changed the number against its will: held
	// it back, or lifted it.
	Bound bool `json:"bound,omitempty"`
	// Reason is a line with the numbers.
	Reason string `json:"reason"`
}

// Gate is something that stood in the way.
type Gate struct {
	// Name is one of the Gate… constants; a label of metrics.
	Name string `json:"name"`
	// Signal is the signal it is about, if it is about one.
	Signal string `json:"signal,omitempty"`
	// Why is a line with the numbers.
	Why string `json:"why"`
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
	GateFloor    = "floor"   // of a schedule
	GateCeiling  = "ceiling" // of a schedule
	GateStopped  = "stopped" // scaled to zero by hand
	GatePaused   = "paused"
	GateAdvise   = "advise"
	GateStandby  = "standby"
)

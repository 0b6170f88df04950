package decide

import (
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// StateVersion is the version of State. One of another version is taken for a
// fresh start, which never shrinks anything.
const StateVersion = 1

// State is the past that counts. The zero State is a fresh start. A State that
// was handed out never changes, and in JSON it survives a restart.
type State struct {
	Version int `json:"version"`
	// Target is the workload it is the past of.
	Target string `json:"target"`
	// At is the time of the last decision, and Desired how many replicas the
	// platform had been asked for then.
	At      time.Time `json:"at"`
	Desired int       `json:"desired"`
	// Most is what was asked for within the in window, Least within the out
	// window.
	Most  Window `json:"most"`
	Least Window `json:"least"`
	// Changes are those within the longest time of a rate limit, the budget and
	// the cooldown.
	Changes []Change `json:"changes,omitempty"`
	// Surge is the panic that is on, if one is.
	Surge Surge `json:"surge,omitzero"`
	// Silent is since when no signal could be heard; zero if one could.
	Silent time.Time `json:"silent,omitzero"`
	// Counters are those of threshold signals.
	Counters []Counter `json:"counters,omitempty"`
}

// resume is the state to decide with at o.Now: without what it cannot vouch for
// any more, and with the change that the platform shows. After a gap, and after
// a clock that went back, the windows start anew.
func (s State) resume(p policy.App, o Observation) State {
	if s.Version != StateVersion || s.Target != p.Target.String() {
		s = State{}
	}
	if s.At.IsZero() || o.Now.Before(s.At) || o.Now.Sub(s.At) > gap(p) {
		s.Most, s.Least, s.Counters = Window{Since: o.Now}, Window{Since: o.Now}, nil
		s.Surge, s.Silent = Surge{}, time.Time{}
	}
	s.Changes = s.since(o, p)
	if !s.At.IsZero() && s.Desired != o.Desired {
		s.Changes = append(s.Changes, Change{At: o.Now, From: s.Desired, To: o.Desired})
		s.Counters = nil
	}
	s.Counters = slices.DeleteFunc(slices.Clone(s.Counters), func(c Counter) bool {
		return !slices.ContainsFunc(p.Signals, func(signal policy.Signal) bool { return signal.Name == c.Signal })
	})
	s.Version, s.Target, s.At, s.Desired = StateVersion, p.Target.String(), o.Now, o.Desired
	return s
}

// gap is the longest time between two decisions that leaves no hole: a few
// intervals, but so few that what happened before it is still in the in window.
func gap(p policy.App) time.Duration {
	return max(2*p.Interval, min(5*p.Interval, p.In.Window/2))
}

// since are the changes that a limit may still ask for. Those that a clock
// which went back has put into the future happened now at the latest.
func (s State) since(o Observation, p policy.App) []Change {
	longest := p.In.Cooldown
	if p.Budget != nil {
		longest = max(longest, p.Budget.Window)
	}
	for _, rates := range [][]policy.Rate{p.Out.Rate, p.In.Rate} {
		for _, r := range rates {
			longest = max(longest, r.Per)
		}
	}
	var kept []Change
	for _, c := range s.Changes {
		if c.At.After(o.Now) {
			c.At = o.Now
		}
		if o.Now.Sub(c.At) < longest {
			kept = append(kept, c)
		}
	}
	return kept
}

// counter is the one of a signal, or a new one.
func (s *State) counter(signal string) Counter {
	for _, c := range s.Counters {
		if c.Signal == signal {
			return c
		}
	}
	return Counter{Signal: signal}
}

func (s *State) setCounter(counter Counter) {
	s.dropCounter(counter.Signal)
	s.Counters = append(s.Counters, counter)
}

func (s *State) dropCounter(signal string) {
	s.Counters = slices.DeleteFunc(s.Counters, func(c Counter) bool { return c.Signal == signal })
}

package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// StateVersion is the version of State. One of another version is taken for a
// fresh start, which never shrinks anything.
const StateVersion = 1

// State is the past that counts. The zero State is a fresh start. In JSON
// it survives a restart.
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
	// Past is what the signals are remembered by.
	Past []Past `json:"past,omitempty"`
	// Growth is the growth whose replicas are awaited, if some are.
	Growth Growth `json:"growth,omitzero"`
	// Idle is since when there has been nothing to do, where a policy may ask for no
	// replica; zero if there is.
	Idle time.Time `json:"idle,omitzero"`
}

// Clone is a state that shares no memory with s.
func (s *State) Clone() State {
	var c State
	c.Set(s)
	return c
}

// Set makes s equal to from, in the memory that s has.
func (s *State) Set(from *State) {
	most, least, changes, counters, past := s.Most.Asked, s.Least.Asked, s.Changes, s.Counters, s.Past
	*s = *from
	s.Past = append(past[:0], from.Past...)
	s.Most.Asked = append(most[:0], from.Most.Asked...)
	s.Least.Asked = append(least[:0], from.Least.Asked...)
	s.Changes = append(changes[:0], from.Changes...)
	s.Counters = counters[:0]
	for i := range from.Counters {
		c := s.newCounter(from.Counters[i].Signal)
		means := append(c.Means, from.Counters[i].Means...)
		*c = from.Counters[i]
		c.Means = means
	}
}

// resume makes s the state to decide with at o.Now: without what it cannot vouch
// for any more, and with the change that the platform shows. After a gap, and after
// a clock that went back, the windows start anew.
func (s *State) resume(p *policy.App, target string, o *Observation) {
	if s.Version != StateVersion || s.Target != target {
		s.Set(new(State))
	}
	if s.At.IsZero() || o.Now.Before(s.At) || o.Now.Sub(s.At) > gap(p) {
		s.forget(o.Now)
	}
	s.keepChanges(o, p)
	if !s.At.IsZero() && s.Desired != o.Desired {
		s.Changes = append(s.Changes, Change{At: o.Now, From: s.Desired, To: o.Desired})
		s.Counters = s.Counters[:0]
	}
	for i := len(s.Counters) - 1; i >= 0; i-- {
		if name := s.Counters[i].Signal; !has(p, name) {
			s.dropCounter(name)
		}
	}
	kept := s.Past[:0]
	for i := range s.Past {
		if has(p, s.Past[i].Signal) {
			kept = append(kept, s.Past[i])
		}
	}
	s.Past = kept
	s.Growth = s.Growth.next(o, s.Desired, s.At.IsZero(), patience(p, o.Boot))
	s.Version, s.Target, s.At, s.Desired = StateVersion, target, o.Now, o.Desired
}

func has(p *policy.App, signal string) bool {
	for i := range p.Signals {
		if p.Signals[i].Name == signal {
			return true
		}
	}
	return false
}

// forget begins anew all that needs a past without holes.
func (s *State) forget(now time.Time) {
	s.Most.clear(now)
	s.Least.clear(now)
	s.Counters, s.Past = s.Counters[:0], s.Past[:0]
	s.Surge, s.Silent, s.Idle = Surge{}, time.Time{}, time.Time{}
}

// Lost tells s that decisions may have been made since it was kept, of which it
// knows nothing: it is for a state that a crash left behind. Nothing shrinks until a
// whole in window has been seen since now.
func (s *State) Lost(now time.Time) { s.forget(wall(now)) }

// gap is the longest time between two decisions that leaves no hole: a few
// intervals, but so few that what happened before it is still in the in window.
func gap(p *policy.App) time.Duration {
	return max(2*p.Interval, min(5*p.Interval, lull(p)/2))
}

// keepChanges keeps those that a limit may still ask for. Those that a clock
// which went back has put into the future happened now at the latest.
func (s *State) keepChanges(o *Observation, p *policy.App) {
	longest := longestLimit(p)
	kept := s.Changes[:0]
	for _, c := range s.Changes {
		if c.At.After(o.Now) {
			c.At = o.Now
		}
		if o.Now.Sub(c.At) < longest {
			kept = append(kept, c)
		}
	}
	s.Changes = kept
}

// longestLimit is how long ago a change may be that a limit still asks for.
func longestLimit(p *policy.App) time.Duration {
	longest := p.In.Cooldown
	if p.Budget != nil {
		longest = max(longest, p.Budget.Window)
	}
	for _, r := range p.Out.Rate {
		longest = max(longest, r.Per)
	}
	for _, r := range p.In.Rate {
		longest = max(longest, r.Per)
	}
	return longest
}

// past is that of a signal, or a new one; valid until the next call.
func (s *State) past(signal string) *Past {
	for i := range s.Past {
		if s.Past[i].Signal == signal {
			return &s.Past[i]
		}
	}
	s.Past = append(s.Past, Past{Signal: signal})
	return &s.Past[len(s.Past)-1]
}

// counter is the one of a signal, or a new one.
func (s *State) counter(signal string) *Counter {
	for i := range s.Counters {
		if s.Counters[i].Signal == signal {
			return &s.Counters[i]
		}
	}
	return s.newCounter(signal)
}

// newCounter adds one, in the memory of one that was dropped if there is any.
func (s *State) newCounter(signal string) *Counter {
	n := len(s.Counters)
	if n == cap(s.Counters) {
		s.Counters = append(s.Counters, Counter{})
	}
	s.Counters = s.Counters[:n+1]
	c := &s.Counters[n]
	*c = Counter{Signal: signal, Means: c.Means[:0]}
	return c
}

// dropCounter drops the one of a signal, and keeps its memory at the end.
func (s *State) dropCounter(signal string) {
	for i := range s.Counters {
		if s.Counters[i].Signal == signal {
			dropped := s.Counters[i]
			end := copy(s.Counters[i:], s.Counters[i+1:]) + i
			s.Counters[end] = dropped
			s.Counters = s.Counters[:end]
			return
		}
	}
}

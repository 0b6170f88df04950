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
	// Asked is how many the last decision asked the platform for. Any other number
	// that comes after it is someone else's.
	Asked int `json:"asked,omitempty"`
	// None is how there came to be no replica; empty if there are some, and where
	// nobody saw it.
	None None `json:"none,omitempty"`
	// Most is what was asked for within the in window, Least within the out
	// window.
	Most  Window `json:"most"`
	Least Window `json:"least"`
	// Changes are those within the longest time of a rate limit, the budget and
	// the cooldown; where there are many, some are put together.
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

// None is how there came to be no replica.
type None string

// The ways.
const (
	Slept   None = "slept"   // under a policy that may ask for none, and wakes it
	Stopped None = "stopped" // by a person, under one that may not
)

// Edited is what of s outlives an edit of its policy: nothing that was asked for, but
// that the workload only sleeps.
func (s *State) Edited() State {
	if s.None == "" {
		return State{}
	}
	return State{Version: s.Version, Target: s.Target, None: s.None}
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
		s.unwatched(o.Now)
	}
	if p.Fallback != nil && o.Now.Sub(s.At) >= p.Fallback.After {
		s.Silent = time.Time{} // nobody listened
	}
	s.keepChanges(o, p)
	if !s.At.IsZero() && s.Desired != o.Desired {
		s.change(Change{At: o.Now, From: s.Desired, To: o.Desired})
		s.Counters = s.Counters[:0]
		if o.Desired > s.Desired && o.Desired != s.Asked {
			s.wanted(o.Now, o.Desired, lull(p)) // someone did, who may know why
		}
	}
	s.None = s.none(p, o)
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

// none is how there came to be no replica, at o.
func (s *State) none(p *policy.App, o *Observation) None {
	switch {
	case o.Desired > 0:
		return ""
	case sleeps(p):
		return Slept
	case !s.At.IsZero() && s.Desired > 0:
		return Stopped
	}
	return s.None
}

// unwatched begins anew all that lets a workload shrink: there is a hole in the past.
// What makes it grow goes on over the hole: a silence, a panic, and as long as their
// readings are not too old the counters of thresholds.
func (s *State) unwatched(now time.Time) {
	s.Most.clear(now)
	s.Least.clear(now)
	s.Past, s.Idle = s.Past[:0], time.Time{}
}

// forget begins anew all that is about the load.
func (s *State) forget(now time.Time) {
	s.unwatched(now)
	s.Counters, s.Surge, s.Silent = s.Counters[:0], Surge{}, time.Time{}
}

// Lost tells s that decisions may have been made since it was kept, of which it
// knows nothing: it is for a state that a crash left behind. Nothing shrinks until a
// whole in window has been seen since now.
func (s *State) Lost(now time.Time) {
	surge := s.Surge // or each crash would let it add max_add once more
	s.forget(wall(now))
	s.Surge = surge
}

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

// mostChanges is how many changes are kept one by one.
const mostChanges = 256

// change adds a change. If there are too many, as where two controllers fight, some
// are put together with the next of their direction, at the time of that one: they
// count for longer then, by an eighth at most, and so no limit lets more through for it.
func (s *State) change(c Change) {
	s.Changes = append(s.Changes, c)
	if len(s.Changes) <= mostChanges {
		return
	}
	now := c.At
	kept := s.Changes[:0]
	ups, downs := -1, -1 // those in kept that wait for the next
	for _, c := range s.Changes {
		waiting := &ups
		if c.To < c.From {
			waiting = &downs
		}
		if *waiting >= 0 && c.At.Sub(kept[*waiting].since()) <= now.Sub(c.At)/8 {
			first := &kept[*waiting]
			c.Since = first.since()
			if c.To < c.From {
				c.From += first.From - first.To
			} else {
				c.To += first.To - first.From
			}
			*first, *waiting = c, -1
			continue
		}
		*waiting = len(kept)
		kept = append(kept, c)
	}
	s.Changes = kept
}

// since is when the first of it was seen.
func (c *Change) since() time.Time {
	if c.Since.IsZero() {
		return c.At
	}
	return c.Since
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

package faults

import (
	"fmt"
	"math"
	"time"
)

// What each replica has, and what of it is to be used, in cores.
const (
	Limit  = 1.0
	Target = 0.5
)

// Need is how many replicas a load takes.
func Need(cores float64) int { return max(1, int(math.Ceil(cores/Target-1e-9))) }

// Change is a number of replicas that somebody asked for.
type Change struct {
	At       time.Duration
	From, To int
}

// String is the change as a report has it: "12m30s 8 → 4".
func (c Change) String() string { return fmt.Sprintf("%s %d → %d", c.At, c.From, c.To) }

// Verdict is what was done wrong.
type Verdict struct {
	// In are scale-ins below what the load takes, or made while it could not be
	// known what it takes.
	In []Change
	// Out are scale-outs beyond twice what the load takes.
	Out []Change
}

// Judge finds what was wrong with changes.
func (s *Script) Judge(changes []Change) Verdict {
	var v Verdict
	for _, c := range changes {
		need := Need(s.Cores(c.At))
		switch {
		case c.To < c.From && (c.To < need || s.blind(c.At)):
			v.In = append(v.In, c)
		case c.To > c.From && c.To > 2*s.needed(c.At):
			v.Out = append(v.Out, c)
		}
	}
	return v
}

// needed is how many replicas a load takes, of now or of just before: a reading of
// that may be under way.
func (s *Script) needed(at time.Duration) int {
	const underWay = 30 * time.Second
	cores := s.Cores(at)
	for _, l := range s.Loads {
		if l.At <= at && at-l.At <= underWay {
			cores = max(cores, s.Cores(l.At-1))
		}
	}
	return Need(cores)
}

// blind tells whether what is measured is missing or broken.
func (s *Script) blind(at time.Duration) bool {
	for _, f := range s.Faults {
		switch f.Kind {
		case Manual, Relabel, Reset, Recreate, Restart, Forget, Rollout, Crash:
			continue // what is measured is right, or is soon
		case Miss, Duplicate, Two, Agent, Agents, Gap, Value, Stale, Clock, Late:
			if f.On(at) {
				return true
			}
		}
	}
	return false
}

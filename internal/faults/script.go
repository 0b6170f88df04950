package faults

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Script is a load and what goes wrong with it.
type Script struct {
	Name     string
	About    string   // its first comment
	Signals  []Signal // what policies it is for go by
	Replicas int      // at the beginning
	Length   time.Duration
	Loads    []Load  // by time
	Faults   []Fault // by time
}

// Signal is what a policy goes by.
type Signal string

// The signals: each replica's CPU, its gauge of work under way, and one number for
// all of them.
const (
	CPU     Signal = "cpu"
	Average Signal = "average"
	Total   Signal = "total"
)

// Load is how many cores the replicas together would use from a time on.
type Load struct {
	At    time.Duration
	Cores float64
}

// Kind is what goes wrong.
type Kind string

// The kinds of faults.
const (
	Gap       Kind = "gap"       // nothing is measured
	Value     Kind = "value"     // all that is measured reads Number
	Stale     Kind = "stale"     // samples come with times that stand still
	Miss      Kind = "miss"      // the share Number of the replicas is not measured
	Reset     Kind = "reset"     // all counters begin at 0 again
	Clock     Kind = "clock"     // the scaler's clock is wrong by Number seconds
	Restart   Kind = "restart"   // the scaler is away
	Forget    Kind = "forget"    // it is away, and its memory with it
	Duplicate Kind = "duplicate" // each sample comes twice, the second a fraction Number of it
	Late      Kind = "late"      // samples come Number seconds after they were taken
	Two       Kind = "two"       // there is a second series, a fraction Number of the first
	Relabel   Kind = "relabel"   // the same replicas are measured under other names
	Agent     Kind = "agent"     // of the agents, Number are not heard
	Agents    Kind = "agents"    // none is
	Recreate  Kind = "recreate"  // the workload is away, and comes back with Number replicas
	Manual    Kind = "manual"    // a person asks for Number
	Rollout   Kind = "rollout"   // replicas are replaced, one after another
	Crash     Kind = "crash"     // the share Number of the replicas crashes again and again, new ones too
)

// rule is what a kind takes.
type rule struct {
	lasts, number bool
	least, most   float64
}

// rules have an entry for each kind.
func rules() map[Kind]rule {
	any := math.Inf(1)
	return map[Kind]rule{
		Gap: {lasts: true}, Stale: {lasts: true}, Agents: {lasts: true}, Restart: {lasts: true}, Forget: {lasts: true}, Rollout: {lasts: true},
		Reset: {}, Relabel: {},
		Value:     {lasts: true, number: true, least: -any, most: any},
		Miss:      {lasts: true, number: true, least: 0, most: 1},
		Crash:     {lasts: true, number: true, least: 0, most: 1},
		Clock:     {lasts: true, number: true, least: -86400, most: 86400},
		Duplicate: {lasts: true, number: true, least: 0, most: 1},
		Two:       {lasts: true, number: true, least: 0, most: 1},
		Late:      {lasts: true, number: true, least: 0, most: 3600},
		Agent:     {lasts: true, number: true, least: 1, most: Nodes - 1},
		Recreate:  {lasts: true, number: true, least: 1, most: 100},
		Manual:    {number: true, least: 0, most: 100},
	}
}

// Nodes is how many nodes the replicas are spread over.
const Nodes = 4

// Fault is something that goes wrong.
type Fault struct {
	Kind   Kind
	Number float64
	From   time.Duration
	To     time.Duration // From if it is over at once
}

// On tells whether the fault is at work.
func (f Fault) On(at time.Duration) bool { return f.From <= at && at < f.To }

// Active returns the fault of a kind that is at work.
func (s *Script) Active(kind Kind, at time.Duration) (Fault, bool) {
	for _, f := range s.Faults {
		if f.Kind == kind && f.On(at) {
			return f, true
		}
	}
	return Fault{}, false
}

// Cores is the load at a time.
func (s *Script) Cores(at time.Duration) float64 {
	cores := 0.0
	for _, l := range s.Loads {
		if l.At <= at {
			cores = l.Cores
		}
	}
	return cores
}

// The most that a script may have.
const (
	mostReplicas = 100
	mostLength   = 24 * time.Hour
)

// Parse reads a script. The error has all mistakes, as name:line: problem.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name}
	var errs []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, comment, _ := strings.Cut(line, "#")
		if s.About == "" && strings.TrimSpace(line) == "" {
			s.About = strings.TrimSpace(comment)
		}
		if words := strings.Fields(line); len(words) > 0 {
			if err := s.line(words); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %w", name, n, err))
			}
		}
	}
	switch {
	case len(errs) > 0:
	case s.Length == 0:
		errs = append(errs, fmt.Errorf("%s: no end", name))
	case len(s.Loads) == 0 || s.Loads[0].At != 0:
		errs = append(errs, fmt.Errorf("%s: no load at 0s", name))
	case s.Replicas == 0:
		errs = append(errs, fmt.Errorf("%s: no replicas", name))
	case len(s.Signals) == 0:
		errs = append(errs, fmt.Errorf("%s: no signal", name))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.Loads, func(a, b Load) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(s.Faults, func(a, b Fault) int { return cmp.Compare(a.From, b.From) })
	return s, nil
}

func (s *Script) line(words []string) error {
	switch words[0] {
	case "signal":
		for _, w := range words[1:] {
			if !slices.Contains([]Signal{CPU, Average, Total}, Signal(w)) || slices.Contains(s.Signals, Signal(w)) {
				return fmt.Errorf("signal %q: cpu, average and total are known, each once", w)
			}
			s.Signals = append(s.Signals, Signal(w))
		}
		return nil
	case "replicas":
		if len(words) != 2 {
			return errors.New("replicas takes a number")
		}
		n, err := strconv.Atoi(words[1])
		if err != nil || n < 1 || n > mostReplicas {
			return fmt.Errorf("replicas %q: 1 to %d are possible", words[1], mostReplicas)
		}
		s.Replicas = n
		return nil
	}
	at, err := time.ParseDuration(words[0])
	if err != nil || at < 0 || at > mostLength {
		return fmt.Errorf("%q is neither signal, replicas nor a time up to %s", words[0], mostLength)
	}
	if len(words) < 2 {
		return errors.New("nothing happens at that time")
	}
	return s.happens(at, words[1], words[2:])
}

// happens takes what is at a time.
func (s *Script) happens(at time.Duration, what string, args []string) error {
	switch what {
	case "end":
		if at == 0 || s.Length != 0 || len(args) > 0 {
			return errors.New("a script ends once, after 0s, and end takes nothing")
		}
		s.Length = at
		return nil
	case "load":
		if len(args) != 1 {
			return errors.New("load takes a number of cores")
		}
		cores, err := strconv.ParseFloat(args[0], 64)
		if err != nil || !(cores >= 0 && cores <= mostReplicas) {
			return fmt.Errorf("load %q: 0 to %d cores are possible", args[0], mostReplicas)
		}
		s.Loads = append(s.Loads, Load{at, cores})
		return nil
	}
	kind := Kind(what)
	r, ok := rules()[kind]
	if !ok {
		return fmt.Errorf("%q is no fault that is known", what)
	}
	f := Fault{Kind: kind, From: at, To: at}
	if r.number {
		if len(args) == 0 {
			return fmt.Errorf("%s takes a number", kind)
		}
		n, err := strconv.ParseFloat(args[0], 64)
		if err != nil || n < r.least || n > r.most {
			return fmt.Errorf("%s %q: %v to %v are possible", kind, args[0], r.least, r.most)
		}
		f.Number, args = n, args[1:]
	}
	if r.lasts {
		if len(args) == 0 {
			return fmt.Errorf("%s takes the time that it lasts", kind)
		}
		d, err := time.ParseDuration(args[0])
		if err != nil || d <= 0 || d > mostLength {
			return fmt.Errorf("%s for %q: a time up to %s is possible", kind, args[0], mostLength)
		}
		f.To, args = at+d, args[1:]
	}
	if len(args) > 0 {
		return fmt.Errorf("%s takes no %q", kind, args[0])
	}
	s.Faults = append(s.Faults, f)
	return nil
}

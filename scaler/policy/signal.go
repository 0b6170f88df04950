package policy

import (
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Type is how a signal turns readings into a number of replicas.
type Type string

// The types of signals.
const (
	Track     Type = "track"     // as many as keep each replica at its target
	Threshold Type = "threshold" // a step out above max, a step in below min
	Steps     Type = "steps"     // a ladder: the further beyond, the more
	Desired   Type = "desired"   // the reading is the number of replicas
)

// Source is where a signal's readings come from.
type Source string

// The sources of signals.
const (
	CPU    Source = "cpu"    // CPU time of the workload's containers
	Memory Source = "memory" // their working set
	Query  Source = "query"  // any PromQL query
)

// Base is what a cpu or memory reading is measured in.
type Base string

// The bases of readings.
const (
	Limit   Base = "limit"   // share of the container's limit, 1 is all of it
	Request Base = "request" // share of what it was promised, on Kubernetes
	Cores   Base = "cores"   // CPU seconds per second
	Bytes   Base = "bytes"   // bytes
)

// Kind is what the readings of a tracking signal are.
type Kind string

// The kinds of readings.
const (
	Utilization Kind = "utilization" // share of the limit, one for each replica
	Average     Kind = "average"     // one for each replica, or their mean
	Total       Kind = "total"       // one for the whole workload
)

// Signal is one thing a policy goes by. Which fields apply depends on Type and
// Source; a field that does not apply is a mistake, not ignored.
type Signal struct {
	// Name of the signal, unique in the policy; the source is its name if the
	// file gives none.
	Name string `yaml:"name" json:"name"`
	// Type is track unless the file says otherwise.
	Type Type `yaml:"type" json:"type"`
	// Source is cpu, memory or query.
	Source Source `yaml:"source" json:"source"`
	// Of is what cpu and memory are measured in: limit, or cores for cpu, or
	// bytes for memory.
	Of Base `yaml:"of" json:"of,omitempty"`
	// Query is PromQL, for source query. With kind total, and for every type but
	// track, it returns one series; with kind average or utilization one for each
	// replica, or one that is their mean.
	Query string `yaml:"query" json:"query,omitempty"`
	// Kind of readings, for type track: utilization for a share of the limit,
	// average for cores and bytes, total for a query unless the file says
	// otherwise.
	Kind Kind `yaml:"kind" json:"kind,omitempty"`
	// Target is what one replica is to carry, for type track: above 0, a
	// percentage for kind utilization, a size for memory in bytes.
	Target Amount `yaml:"target" json:"target,omitzero"`
	// Saturation is what a tracking cpu signal of the limit makes of replicas that
	// have nothing left: how much they would need cannot be seen any more.
	Saturation Saturation `yaml:"saturation" json:"saturation,omitzero"`
	// Max is the value above which a threshold grows the workload.
	Max Amount `yaml:"max" json:"max,omitzero"`
	// Min is the value below which a threshold shrinks the workload.
	Min Amount `yaml:"min" json:"min,omitzero"`
	// StepOut is how many replicas a threshold adds, 1 to 100.
	StepOut int `yaml:"step_out" json:"step_out,omitempty"`
	// StepIn is how many replicas a threshold removes, 1 to 100.
	StepIn int `yaml:"step_in" json:"step_in,omitempty"`
	// Rows are the ladder of type steps: of those above which the reading is, the
	// one that asks for most counts, of those below, the one for least. 1 to 16.
	Rows []Row `yaml:"rows" json:"rows,omitempty"`
	// Window is the time readings are averaged over, 2s to 1h: of a threshold
	// one of the windows that Samples counts, of any other cpu signal the range of
	// the rate. Nothing else has one.
	Window time.Duration `yaml:"window" json:"window,omitempty"`
	// Samples is how many windows in a row must lie beyond a threshold, 1 to
	// 60.
	Samples int `yaml:"samples" json:"samples,omitempty"`
	// MaxAge is the age up to which a reading counts, 2s to 10m. It also bounds
	// how far back a query may look for the last sample of a series.
	MaxAge time.Duration `yaml:"max_age" json:"max_age"`
	// Coverage is the share of the ready replicas that must be heard.
	Coverage Coverage `yaml:"coverage" json:"coverage"`
	// OnEmpty is what an answer without series means: invalid, or zero where
	// Guard vouches for it.
	OnEmpty OnEmpty `yaml:"on_empty" json:"on_empty,omitempty"`
	// Guard is PromQL that returns something as long as an empty answer can be
	// trusted, for on_empty zero: "up{job=\"rabbit\"} == 1".
	Guard string `yaml:"guard" json:"guard,omitempty"`

	// Back is how far the query looks back at most, not of the file: Load has it
	// from the query. Use LookBack, which knows it of every source.
	Back time.Duration `yaml:"-" json:"look_back,omitempty"`
}

// Goal is what the readings are held against, in words: "60%".
func (s Signal) Goal() string {
	switch s.Type {
	case Threshold:
		return "between " + s.Min.String() + " and " + s.Max.String()
	case Steps:
		return fmt.Sprintf("by its %d rows", len(s.Rows))
	case Desired:
		return "what it reads"
	}
	return s.Target.String()
}

// Coverage is the share of the ready replicas that a signal must hear before it
// may make the workload grow, and before it may let it shrink. 1% to 100%, In not
// below Out.
type Coverage struct {
	Out conf.Percent `yaml:"out" json:"out"`
	In  conf.Percent `yaml:"in" json:"in"`
}

// OnEmpty is what an answer without series means.
type OnEmpty string

// What an answer without series means.
const (
	EmptyInvalid OnEmpty = "invalid"
	EmptyZero    OnEmpty = "zero"
)

// Saturation is when replicas count as full, and how many times as many as are
// ready are then asked for.
type Saturation struct {
	// Above is the mean share of the limit from which they do, 50% to 100%.
	Above conf.Percent `yaml:"above" json:"above"`
	// Boost is the factor, 1 to 10; 1 for none.
	Boost float64 `yaml:"boost" json:"boost"`
}

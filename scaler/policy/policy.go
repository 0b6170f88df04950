// Package policy says how workloads are to be scaled: the types of a policy
// file, version plimsoll.scaler/v1, its defaults, and every check that can be
// made before anything runs. It reads no files, clocks or networks.
package policy

import (
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Version is what a policy file says it is written for.
const Version = "plimsoll.scaler/v1"

// DefaultCeiling is the number of replicas no policy may exceed unless the
// scaler is told otherwise. A Swarm manager accepts any number and then tries
// to make that many tasks, deaf to every later command, so the ceiling is small
// enough to survive.
const DefaultCeiling = 500

// File is a policy file.
type File struct {
	// Version is always plimsoll.scaler/v1.
	Version string `yaml:"version"`
	// Apps are the policies, one for each workload.
	Apps []App `yaml:"apps"`
}

// Mode is how far a policy may go.
type Mode string

// The modes of a policy.
const (
	Advise Mode = "advise" // decide and tell, touch nothing
	Active Mode = "active" // decide and do
	Paused Mode = "paused" // decide nothing, hold what is there

	// Standby is Active where another collector leads: decide and tell what it
	// would do. No file says it.
	Standby Mode = "standby"
)

// App is the policy of one workload. The names of its fields in JSON are those
// of the file; durations are in nanoseconds there.
type App struct {
	// Name of the policy, unique in the file: letters, digits, ".", "_" and
	// "-", at most 63 of them. It is a label of metrics and a word of commands.
	Name string `yaml:"name" json:"name"`
	// Mode is advise unless the file says active or paused.
	Mode Mode `yaml:"mode" json:"mode"`
	// Target is what is scaled.
	Target Target `yaml:"target" json:"target"`
	// Interval between two decisions, 1s to 1h.
	Interval time.Duration `yaml:"interval" json:"interval"`
	// Min is the least number of replicas, 1 or more.
	Min int `yaml:"min" json:"min"`
	// Max is the greatest number of replicas, from Min to the scaler's ceiling.
	// It has no default: only the operator knows what the platform can carry.
	Max int `yaml:"max" json:"max"`
	// Signals are what the policy goes by: any of them can make the workload
	// grow, all of them must agree before it shrinks. 1 to 16.
	Signals []Signal `yaml:"signals" json:"signals"`
	// Out is how it grows.
	Out Out `yaml:"out" json:"out"`
	// In is how it shrinks.
	In In `yaml:"in" json:"in"`
	// Panic is how it grows where far more is asked for than there is; nil if the
	// rates hold even then.
	Panic *Panic `yaml:"panic" json:"panic,omitempty"`
	// Fallback is what is done where no signal can be heard; nil to hold.
	Fallback *Fallback `yaml:"fallback" json:"fallback,omitempty"`
	// Budget bounds how much the workload goes up and down; nil for no bound.
	Budget *Budget `yaml:"budget" json:"budget,omitempty"`
	// DuringUpdate is what may happen while the platform rolls out a change:
	// hold_in to grow only, hold for nothing.
	DuringUpdate DuringUpdate `yaml:"during_update" json:"during_update,omitempty"`
	// Schedules are the times at which more must be there, or less is enough.
	// Where they overlap, the highest floor and the lowest ceiling hold, and the
	// floor if they meet. 64 at most.
	Schedules []Schedule `yaml:"schedules" json:"schedules,omitempty"`

	// Ceiling is the scaler's absolute number of replicas, not of the file: a
	// signal that asks for more is taken for broken, and refused. 0 stands for
	// DefaultCeiling.
	Ceiling int `yaml:"-" json:"ceiling,omitempty"`
}

// Target names a workload on a platform.
type Target struct {
	// Driver speaks to the platform. This version has swarm.
	Driver string `yaml:"driver" json:"driver"`
	// Service is the full name of a Swarm service, with its stack:
	// "shop_web".
	Service string `yaml:"service" json:"service"`
}

// String is the target as people and messages name it: "swarm/shop_web".
func (t Target) String() string { return t.Driver + "/" + t.Service }

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
	Limit Base = "limit" // share of the container's limit, 1 is all of it
	Cores Base = "cores" // CPU seconds per second
	Bytes Base = "bytes" // bytes
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
}

// Panic is when a surge is one, and what it may do: it grows past the out window
// and rates, and nothing shrinks until it is over.
type Panic struct {
	// Threshold is how many times the replicas that are ready must be asked for,
	// 1.1 to 10.
	Threshold float64 `yaml:"threshold" json:"threshold"`
	// Hold is how long it lasts after the last time they were, 10s to 1h.
	Hold time.Duration `yaml:"hold" json:"hold"`
	// MaxAdd is how many replicas it may add past the rates, from when it began;
	// up to max if 0.
	MaxAdd int `yaml:"max_add" json:"max_add"`
}

// SetDefaults is for conf, which calls it before it reads a panic.
func (p *Panic) SetDefaults() { *p = Panic{Threshold: 2, Hold: time.Minute} }

// Saturation is when replicas count as full, and how many times as many as are
// ready are then asked for.
type Saturation struct {
	// Above is the mean share of the limit from which they do, 50% to 100%.
	Above conf.Percent `yaml:"above" json:"above"`
	// Boost is the factor, 1 to 10; 1 for none.
	Boost float64 `yaml:"boost" json:"boost"`
}

// Out is how a workload grows.
type Out struct {
	// Tolerance is the share above target at which nothing happens yet, 0% to
	// 50%.
	Tolerance conf.Percent `yaml:"tolerance" json:"tolerance"`
	// Window is how long more must have been wanted, 0s to 1h; the least that
	// was wanted in that time is done.
	Window time.Duration `yaml:"window" json:"window"`
	// Rate bounds the growth; every entry holds.
	Rate []Rate `yaml:"rate" json:"rate"`
}

// In is how a workload shrinks.
type In struct {
	// DeadBand is the share below the present number at which nothing happens
	// yet, 0% to 50%.
	DeadBand conf.Percent `yaml:"dead_band" json:"dead_band"`
	// Window is how long less must have been enough, 10s to 24h; the most that
	// was wanted in that time is done.
	Window time.Duration `yaml:"window" json:"window"`
	// Rate bounds the shrinking; every entry holds.
	Rate []Rate `yaml:"rate" json:"rate"`
	// Cooldown is how long after any change, whoever made it, nothing shrinks, 0s
	// to 24h.
	Cooldown time.Duration `yaml:"cooldown" json:"cooldown"`
}

// DuringUpdate is what may happen during a rollout.
type DuringUpdate string

// What may happen during a rollout.
const (
	HoldIn  DuringUpdate = "hold_in" // growth
	HoldAll DuringUpdate = "hold"    // nothing
)

// Fallback is how many replicas there are to be where nothing is known.
type Fallback struct {
	// After is how long no signal must have been heard, 10s to 24h.
	After time.Duration `yaml:"after" json:"after"`
	// Action is replicas for that many, or max for that many at least.
	Action FallbackAction `yaml:"action" json:"action"`
	// Replicas is the number, 1 or more.
	Replicas int `yaml:"replicas" json:"replicas"`
	// AllowIn lets action replicas shrink the workload too: without it, what is
	// not known never does.
	AllowIn bool `yaml:"allow_in" json:"allow_in,omitempty"`
}

// SetDefaults is for conf, which calls it before it reads a fallback.
func (f *Fallback) SetDefaults() { *f = Fallback{After: 2 * time.Minute, Action: AtLeast} }

// FallbackAction is what a fallback does with its number.
type FallbackAction string

// The actions of a fallback.
const (
	Exactly FallbackAction = "replicas"
	AtLeast FallbackAction = "max"
)

// Budget is how many replicas may come and go, all told, before nothing shrinks
// any more until some of that is over.
type Budget struct {
	// Changes is their number, 1 to 10000.
	Changes int `yaml:"changes" json:"changes"`
	// Window is the time in which they count, 1m to 24h.
	Window time.Duration `yaml:"window" json:"window"`
}

// SetDefaults is for conf, which calls it before it reads a budget.
func (b *Budget) SetDefaults() { *b = Budget{Window: time.Hour} }

// Rate is how many replicas may come or go within Per: Replicas of them or
// Percent of the number there was, whichever is more.
type Rate struct {
	// Replicas is a number of replicas, 0 or more.
	Replicas int `yaml:"replicas" json:"replicas"`
	// Percent is a share of the replicas there were Per ago, 0% to 1000%.
	Percent conf.Percent `yaml:"percent" json:"percent"`
	// Per is the time that bounds both, 1s to 1h.
	Per time.Duration `yaml:"per" json:"per"`
}

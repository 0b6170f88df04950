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
	// Defaults are what the apps have that do not say otherwise: any of their keys,
	// at any depth; lists are taken as a whole.
	Defaults App `yaml:"defaults"`
	// Apps are the policies, one for each workload.
	Apps []App `yaml:"apps"`

	// Warnings are about what is valid and yet hardly meant.
	Warnings conf.Problems `yaml:"-"`
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
	// Events are surges that are known beforehand. 64 at most.
	Events []Event `yaml:"events" json:"events,omitempty"`
	// Forecast lifts the floor ahead of what history says will come; nil for none.
	Forecast *Forecast `yaml:"forecast" json:"forecast,omitempty"`
	// AllowZero lets the policy ask for no replica at all; nil if it may not.
	AllowZero *AllowZero `yaml:"allow_zero" json:"allow_zero,omitempty"`
	// StuckAfter is how long after growth replicas may take until they are ready,
	// 1m to 24h: if most of what was added is not by then, and some fail, only floors
	// make it grow any more.
	// 0 stands for three times as long as they usually take, 5m at least.
	StuckAfter time.Duration `yaml:"stuck_after" json:"stuck_after,omitempty"`
	// Needs is what one replica takes of a host; nil if the platform knows.
	Needs *Needs `yaml:"needs" json:"needs,omitempty"`

	// Ceiling is the scaler's absolute number of replicas, not of the file: a
	// signal that asks for more is taken for broken, and refused. 0 stands for
	// DefaultCeiling.
	Ceiling int `yaml:"-" json:"ceiling,omitempty"`
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
	// Lead is how far ahead a steady trend of the load is carried: as long as
	// replicas take to start with auto, 0s to 10m.
	Lead Span `yaml:"lead" json:"lead"`
}

// In is how a workload shrinks.
type In struct {
	// DeadBand is the share below the present number at which nothing happens
	// yet, 0% to 50%.
	DeadBand conf.Percent `yaml:"dead_band" json:"dead_band"`
	// Window is how long less must have been enough, 5s and two intervals to 24h;
	// the most that was wanted in that time is done.
	Window time.Duration `yaml:"window" json:"window"`
	// Rate bounds the shrinking; every entry holds.
	Rate []Rate `yaml:"rate" json:"rate"`
	// Cooldown is how long after any change, whoever made it, nothing shrinks, 0s
	// to 24h.
	Cooldown time.Duration `yaml:"cooldown" json:"cooldown"`
	// Settle is how long a signal that was not heard must be heard again before
	// anything shrinks: with auto as long as its query looks back, and a minute
	// more, an hour at most. 0s to 1h.
	Settle Span `yaml:"settle" json:"settle"`
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

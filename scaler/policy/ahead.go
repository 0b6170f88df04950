package policy

import (
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Event is a surge that is known beforehand, such as a flash sale: for as long as
// it lasts there are replicas for Factor times the load of another time.
type Event struct {
	// Name of the event, unique in the policy.
	Name string `yaml:"name" json:"name"`
	// At is when it begins: a time with its offset.
	At time.Time `yaml:"-" json:"at"`
	// AtText is At as the file has it.
	AtText string `yaml:"at" json:"-"`
	// Duration is how long it lasts, 1m to 7d.
	Duration time.Duration `yaml:"duration" json:"duration"`
	// Factor is how many times the base load there will be, above 0, up to 1000.
	Factor float64 `yaml:"factor" json:"factor"`
	// Base is which load that is.
	Base EventBase `yaml:"base" json:"base"`
}

// Begins is when the floor of the event begins to count: as long before At as
// replicas take to start, a minute at least. An event that comes suddenly is what
// the floor is for, and a minute of replicas costs nothing beside it.
func (a *App) Begins(e *Event, boot time.Duration) time.Time {
	return e.At.Add(-max(time.Minute, a.Prewarm(Span{Auto: true}, boot)))
}

// SetDefaults is for conf, which calls it before it reads an event.
func (e *Event) SetDefaults() { *e = Event{Base: SameHourLastWeek} }

// EventBase is the load that an event multiplies.
type EventBase string

// The bases of events. Each is a load of the policy's first tracking signal.
const (
	SameHourLastWeek EventBase = "same_hour_last_week" // the most in the hour a week before
	P95SevenDays     EventBase = "p95_7d"              // the 95th percentile of the last seven days
)

// Forecast lifts the floor to what history says will be needed by the time that
// new replicas are ready. It only acts while a replay of the last days says that
// it is worth it.
type Forecast struct {
	// Enabled lets it act.
	Enabled bool `yaml:"enabled" json:"enabled"`
	// Season is how long a pattern takes until it comes again.
	Season Season `yaml:"season" json:"season"`
	// Quantile is of the load that is to be enough, 0.5 to 0.99.
	Quantile Quantile `yaml:"quantile" json:"quantile"`
	// MinGain is the share of the under-provisioning that it must take away in the
	// replay, 0% to 100%.
	MinGain conf.Percent `yaml:"min_gain" json:"min_gain"`
	// MaxCost is the share of replica-hours that it may add in the replay, 0% to
	// 100%.
	MaxCost conf.Percent `yaml:"max_cost" json:"max_cost"`
	// MaxFactor is how many times the most of the last seven days it may ask for,
	// 1 to 10.
	MaxFactor float64 `yaml:"max_factor" json:"max_factor"`
}

// SetDefaults is for conf, which calls it before it reads a forecast.
func (f *Forecast) SetDefaults() {
	*f = Forecast{Enabled: true, Season: AutoSeason, Quantile: 0.9, MinGain: 0.2, MaxCost: 0.15, MaxFactor: 2}
}

// Quantile is a number between 0 and 1.
type Quantile float64

// Season is how long a pattern takes until it comes again.
type Season string

// The seasons.
const (
	Daily      Season = "daily"
	Weekly     Season = "weekly"
	AutoSeason Season = "auto" // whichever foretells better
)

// AllowZero is when a workload may have no replica.
type AllowZero struct {
	// IdleFor is how long the load must have been no more than Activation, 10s to
	// 24h.
	IdleFor time.Duration `yaml:"idle_for" json:"idle_for"`
	// Activation is the load above which there is to be a replica, 0 or more, in
	// the unit of the signal.
	Activation float64 `yaml:"activation" json:"activation"`
}

// SetDefaults is for conf, which calls it before it reads an allow_zero.
func (a *AllowZero) SetDefaults() { *a = AllowZero{IdleFor: 5 * time.Minute} }

// Needs is what one replica takes of a host.
type Needs struct {
	// CPU is in cores, up to 1024.
	CPU float64 `yaml:"cpu" json:"cpu,omitempty"`
	// Memory is up to 64TiB.
	Memory conf.Size `yaml:"memory" json:"memory,omitempty"`
	// GPU is a number of devices, up to 64.
	GPU int `yaml:"gpu" json:"gpu,omitempty"`
}

// Span is a time that the scaler may find by itself.
type Span struct {
	Auto bool
	Time time.Duration // if not Auto; 0 is off
}

// Set reads "auto", "off" or a duration.
func (s *Span) Set(text string) error {
	switch text {
	case "auto":
		*s = Span{Auto: true}
		return nil
	case "off":
		*s = Span{}
		return nil
	}
	d, err := conf.ParseDuration(text)
	if err != nil {
		return conf.Mistake{What: conf.Quote(text) + " is not a time", Hint: "write auto, off, or a duration like 30s"}
	}
	*s = Span{Time: d}
	return nil
}

// String writes s as a file would.
func (s Span) String() string {
	switch {
	case s.Auto:
		return "auto"
	case s.Time == 0:
		return "off"
	}
	return Short(s.Time)
}

// MarshalText writes s as a file would, for JSON.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Span) UnmarshalText(text []byte) error { return s.Set(string(text)) }

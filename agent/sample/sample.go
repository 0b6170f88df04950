// Package sample is what flows between the parts of an agent: readings with
// their names, grouped by what is read together. It knows neither kernel files
// nor the wire.
package sample

import (
	"math"
	"time"
)

// Type is the type of a metric as Prometheus knows it.
type Type uint8

// The types of metrics.
const (
	Untyped Type = iota
	Counter
	Gauge
)

// String is the type's name in the text exposition format.
func (t Type) String() string {
	switch t {
	case Counter:
		return "counter"
	case Gauge:
		return "gauge"
	}
	return "untyped"
}

// Metric is a name with its meaning; every series of that name shares it.
type Metric struct {
	Name string
	Help string
	Type Type
	Unit string // as OpenMetrics names it: "seconds", "bytes", or none
	// Divisor of the integers the kernel counts in: 1e6 where it counts
	// microseconds and the metric is in seconds. 0 stands for 1. It only helps
	// the wire to be small; values are always in the metric's own unit.
	Divisor uint32
}

// Label is a label of a series.
type Label struct{ Name, Value string }

// Series is one series of a group: a metric, and the labels that the group's
// other series do not have.
type Series struct {
	Metric *Metric
	Labels []Label
}

// Group is a fixed list of series that are read together, such as what is read
// each second of one container. It does not change once it is in a batch: when
// its labels do, it ends and another takes its place.
type Group struct {
	Labels []Label // of every series
	Series []Series
	// Every is the lane: the most ticks from one reading to the next while its
	// source is well. 0 if that is not known.
	Every uint64
}

// absentBits is a quiet NaN that no arithmetic yields, so that a NaN that was
// really read stays one.
const absentBits = 0x7ff8_7065_6c61_6773

// Absent stands for a value that is not there: the source looked and found
// nothing. It is never stored and never zero.
var Absent = math.Float64frombits(absentBits)

// IsAbsent tells Absent from every value, other NaNs included.
func IsAbsent(v float64) bool { return math.Float64bits(v) == absentBits }

// EventKind tells events apart.
type EventKind uint8

// The kinds of events.
const (
	ContainerStarted EventKind = iota + 1
	ContainerExited
	ContainerOOM
)

// Event is something that happened, for people to read beside the graphs.
type Event struct {
	Time      time.Time
	Kind      EventKind
	Container string // its name, or its cgroup path where it has none
	Text      string // one line
}

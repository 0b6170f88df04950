package decide

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Observation is all that a decision may depend on, besides the policy and the
// past.
type Observation struct {
	// Now is when the decision is made; the only clock there is.
	Now time.Time `json:"now"`
	// Desired is how many replicas the platform was last asked for.
	Desired int `json:"desired"`
	// Ready is how many of them can serve.
	Ready int `json:"ready"`
	// Starting is how many are on their way.
	Starting int `json:"starting,omitempty"`
	// Failing is how many fail again and again, of those that are not ready.
	Failing int `json:"failing,omitempty"`
	// Boot is how long replicas take until they are ready, the 95th percentile of
	// what was seen; 0 if that is not known.
	Boot time.Duration `json:"boot,omitempty"`
	// Lost are the nodes that host replicas and whose agents are not heard, sorted.
	Lost []string `json:"lost,omitempty"`
	// Frozen is why nothing may shrink anywhere, empty if nothing is wrong: data of
	// many policies or nodes was lost at once.
	Frozen string `json:"frozen,omitempty"`
	// Hand is what a person has said.
	Hand Hand `json:"hand,omitzero"`
	// Bases are the loads that events multiply, by their names; those not known are
	// not among them.
	Bases []Base `json:"bases,omitempty"`
	// Ahead is what the forecast says; nil if it is off or says nothing.
	Ahead *Ahead `json:"ahead,omitempty"`
	// Updating is set while the platform rolls out a change of the workload.
	Updating bool `json:"updating,omitempty"`
	// Err is why the platform could not be asked. Then the counts mean nothing
	// and nothing is done.
	Err string `json:"err,omitempty"`
	// Signals are the readings, found by name, in any order. A signal of the
	// policy that is not among them was not read.
	Signals []Reading `json:"signals"`
}

// Hand is what a person has said, until a time. Where Until has come, or is zero,
// it counts no more.
type Hand struct {
	// Pause is which way nothing may happen: in, out or all; empty for none.
	Pause      Pause     `json:"pause,omitempty"`
	PauseUntil time.Time `json:"pause_until,omitzero"`
	PauseBy    string    `json:"pause_by,omitempty"` // who paused it, and why
	// Floor and Ceiling are replicas, within min and max of the policy; 0 for none.
	Floor   int       `json:"floor,omitempty"`
	Ceiling int       `json:"ceiling,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	// By is who gave Floor and Ceiling, and why.
	By string `json:"by,omitempty"`
}

// Pause is a direction in which nothing may happen.
type Pause string

// The directions.
const (
	PauseIn  Pause = "in"
	PauseOut Pause = "out"
	PauseAll Pause = "all"
)

// Base is the load that an event multiplies.
type Base struct {
	Event string  `json:"event"`
	Load  float64 `json:"load"` // of the whole workload, in the unit of its first tracking signal
}

// Ahead is the load that is expected by the time new replicas are ready. It may
// only lift what the signals ask for.
type Ahead struct {
	Signal string    `json:"signal"` // whose load it is
	Load   float64   `json:"load"`   // of the whole workload, the quantile
	At     time.Time `json:"at"`     // when it is to come
	Model  string    `json:"model"`
	Most   float64   `json:"most"` // it is not taken for more than that: max_factor times the most of seven days
}

// Reading is what one signal of the policy said.
type Reading struct {
	// Signal is its name in the policy.
	Signal string `json:"signal"`
	// Err is why there are no samples to go by, empty if there are.
	Err string `json:"err,omitempty"`
	// Empty tells that the query returned nothing, and the policy's guard vouched
	// for that: Samples are a single 0.
	Empty bool `json:"empty,omitempty"`
	// Throttled is the share of its time, 0 to 1, in which the workload was kept
	// from running by its CPU limit, and Pressure that in which it waited for CPU
	// (PSI some); nil if not known.
	Throttled *float64 `json:"throttled,omitempty"`
	Pressure  *float64 `json:"pressure,omitempty"`
	// Samples are in any order: one for each replica, or a single one without
	// a replica that speaks for all.
	Samples []Sample `json:"samples,omitempty"`
}

// Sample is a value at a time.
type Sample struct {
	// Replica tells the replicas apart; any text that stays the same while the
	// replica lives. Empty for a value of the whole workload.
	Replica string
	At      time.Time
	Value   float64 // in the unit of the signal; may be anything a query returns
}

// sampleJSON is a Sample with its value as text where JSON has no number.
type sampleJSON struct {
	Replica string    `json:"replica,omitempty"`
	At      time.Time `json:"at"`
	Value   any       `json:"value"`
}

// MarshalJSON writes NaN and the infinities as text: a journal that could not
// hold them would miss exactly the ticks one asks about.
func (s Sample) MarshalJSON() ([]byte, error) {
	j := sampleJSON{Replica: s.Replica, At: s.At, Value: s.Value}
	if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
		j.Value = strconv.FormatFloat(s.Value, 'g', -1, 64)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sample) UnmarshalJSON(data []byte) error {
	var j sampleJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*s = Sample{Replica: j.Replica, At: j.At}
	switch v := j.Value.(type) {
	case float64:
		s.Value = v
	case string:
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return fmt.Errorf("value of a sample: %w", err)
		}
		s.Value = n
	default:
		return fmt.Errorf("value of a sample: %v is neither number nor text", v)
	}
	return nil
}

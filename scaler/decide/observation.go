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
	// Updating is set while the platform rolls out a change of the workload.
	Updating bool `json:"updating,omitempty"`
	// Err is why the platform could not be asked. Then the counts mean nothing
	// and nothing is done.
	Err string `json:"err,omitempty"`
	// Signals are the readings, found by name, in any order. A signal of the
	// policy that is not among them was not read.
	Signals []Reading `json:"signals"`
}

// Reading is what one signal of the policy said.
type Reading struct {
	// Signal is its name in the policy.
	Signal string `json:"signal"`
	// Err is why there are no samples to go by, empty if there are.
	Err string `json:"err,omitempty"`
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

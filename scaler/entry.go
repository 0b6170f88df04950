package scaler

import (
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Entry is a decision with all it was based on: what the journal keeps, what
// the API serves and what explain tells. Identical holds in a row are one
// entry: the last of them, and how many there were.
type Entry struct {
	Policy string `json:"policy"`
	// Target is what is scaled, such as "swarm/shop_web".
	Target string      `json:"target"`
	Mode   policy.Mode `json:"mode"`
	// Since is the time of the first tick that this entry stands for,
	// Observation.Now that of the last, and Ticks how many there were.
	Since time.Time `json:"since"`
	Ticks int       `json:"ticks"`

	Observation decide.Observation `json:"observation"`
	Decision    decide.Decision    `json:"decision"`
	// Queries are the PromQL behind each signal, in the order of the policy.
	Queries []SignalQuery `json:"queries,omitempty"`

	// Result is accepted, conflict, refused, capacity or unknown if the
	// platform was asked for another number, else empty.
	Result string `json:"result,omitempty"`
	// Err is what the platform or the guard answered if the result is not
	// accepted.
	Err string `json:"err,omitempty"`
	// Attempts is how often the tick looked and decided: more than once if
	// someone else changed the workload between the look and the write.
	Attempts int `json:"attempts,omitempty"`

	// App and State are the policy and the past that went into the decision:
	// with the observation, anyone can make the decision again. Holds do not
	// carry them, nor does a repetition of what the entry before says.
	App   *policy.App   `json:"app,omitempty"`
	State *decide.State `json:"state,omitempty"`
}

// SignalQuery is what a signal asked the store, and what it holds the answer
// against.
type SignalQuery struct {
	Signal string `json:"signal"`
	Query  string `json:"query"`
	// Goal is the target or the thresholds as the policy has them: "60%". Unit
	// is what they and the readings are in.
	Goal string      `json:"goal"`
	Unit policy.Unit `json:"unit,omitempty"`
}

// At is the time of the entry's last tick.
func (e Entry) At() time.Time { return e.Observation.Now }

// verdict is what makes two entries equal for the journal: everything in them
// that is not a measured number.
func (e Entry) verdict() string {
	d := e.Decision
	v := []any{e.Mode, d.Action, d.From, d.To, e.Observation.Err != "", e.Result}
	for _, r := range e.Observation.Signals {
		v = append(v, r.Signal, r.Err != "")
	}
	for _, g := range d.Gates {
		v = append(v, g.Name, g.Signal)
	}
	return fmt.Sprint(v...)
}

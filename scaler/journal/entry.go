package journal

import (
	"cmp"
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Results of a tick that asked the platform for another number; a label of
// metrics, too.
const (
	Accepted = "accepted" // the platform took it
	Conflict = "conflict" // someone else changed the workload, three times over
	Refused  = "refused"  // by the guard or by the platform: it cannot succeed
	Capacity = "capacity" // the platform is full
	Unknown  = "unknown"  // no answer, or one that says neither yes nor no
)

// Entry is a decision with all it was based on: what the journal keeps, what
// the API serves and what explain tells. Holds that say the same are one entry:
// the last of them, and how many there were.
type Entry struct {
	// ID is what people paste: 9 digits and letters that sort as entries began.
	ID     string `json:"id,omitempty"`
	Policy string `json:"policy"`
	// Target is what is scaled, such as "swarm/shop_web".
	Target string      `json:"target"`
	Mode   policy.Mode `json:"mode"`
	// Since is the time of the first tick that this entry stands for,
	// Observation.Now that of the last, and Ticks how many there were. Entries that
	// took turns lie over each other.
	Since time.Time `json:"since"`
	Ticks int       `json:"ticks"`

	Observation decide.Observation `json:"observation"`
	Decision    decide.Decision    `json:"decision"`
	// Queries are the PromQL behind each signal, in the order of the policy.
	Queries []SignalQuery `json:"queries,omitempty"`

	// Result is one of the above if the platform was asked for another number,
	// else empty.
	Result string `json:"result,omitempty"`
	// Err is what the platform or the guard answered if the result is not
	// accepted.
	Err string `json:"err,omitempty"`
	// Forecast is how the forecast stood, and why; empty if the policy has none.
	Forecast string `json:"forecast,omitempty"`
	// Trigger is what led to the last of the ticks.
	Trigger Trigger `json:"trigger,omitempty"`
	// Attempts is how often the tick looked and decided: more than once if
	// someone else changed the workload between the look and the write.
	Attempts int `json:"attempts,omitempty"`

	// Basis is the fingerprint of the policy, by which the journal keeps it.
	Basis string `json:"basis,omitempty"`
	// App and State are the policy and the past that went into the decision:
	// with the observation, anyone can make the decision again. An answer has
	// them only if they were asked for.
	App   *policy.App   `json:"app,omitempty"`
	State *decide.State `json:"state,omitempty"`

	// Seq, Prev and Hash are the entry's place in the chain of the journal, see
	// package chain; empty while it is not written yet.
	Seq  uint64 `json:"seq,omitempty"`
	Prev string `json:"prev,omitempty"`
	Hash string `json:"hash,omitempty"`
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

// Queries are what the signals of a policy ask, and what they hold the answers
// against.
func Queries(app policy.App) []SignalQuery {
	queries := make([]SignalQuery, len(app.Signals))
	for i, s := range app.Signals {
		queries[i] = SignalQuery{Signal: s.Name, Query: s.PromQL(app.Target), Goal: s.Goal(), Unit: cmp.Or(s.Target.Unit, s.Max.Unit)}
	}
	return queries
}

// At is the time of the entry's last tick.
func (e Entry) At() time.Time { return e.Observation.Now }

// Verdict is what makes two entries equal for the journal: everything in them
// that is not a measured number.
func (e Entry) Verdict() string {
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

package journal

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/plimsoll-io/plimsoll/internal/chain"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Replayed is a decision that was made again.
type Replayed struct {
	ID     string `json:"id"`
	Policy string `json:"policy"`
	// Same tells that what was made now is, byte for byte, what was recorded.
	Same bool `json:"same"`
	// Program is the version that decided, StateVersion that of the past it
	// decided with.
	Program      string `json:"program"`
	StateVersion int    `json:"state_version"`
	// Recorded and Made are the two decisions.
	Recorded json.RawMessage `json:"recorded"`
	Made     json.RawMessage `json:"made"`
}

// Replay makes a decision again, from what the record says it was based on, and
// compares. An error is that of a record from which it cannot be made.
func Replay(r Record) (Replayed, error) {
	var e struct {
		Entry
		Decision json.RawMessage `json:"decision"` // as it was written
	}
	if err := json.Unmarshal(r.Entry, &e); err != nil {
		return Replayed{}, fmt.Errorf("read the decision: %w", err)
	}
	if r.Written {
		if _, err := chain.Read(r.Entry); err != nil {
			return Replayed{}, fmt.Errorf("decision %s: %w; plimsoll journal verify looks at all of them", e.ID, err)
		}
	}
	if e.State == nil || len(r.Policy) == 0 {
		return Replayed{}, fmt.Errorf("decision %s does not say what it was based on", e.ID)
	}
	var app policy.App
	if err := json.Unmarshal(r.Policy, &app); err != nil {
		return Replayed{}, fmt.Errorf("read the policy of decision %s: %w", e.ID, err)
	}
	if got := policy.FingerprintOf(r.Policy); got != e.Basis {
		return Replayed{}, fmt.Errorf("decision %s was made by policy %s, this is %s", e.ID, e.Basis, got)
	}
	app.Mode = e.Mode
	_, d := decide.Next(app, *e.State, e.Observation)
	made, err := json.Marshal(d)
	if err != nil {
		return Replayed{}, fmt.Errorf("decision %s: %w", e.ID, err)
	}
	return Replayed{
		ID: e.ID, Policy: e.Policy, Same: bytes.Equal(made, e.Decision),
		Program: r.Program, StateVersion: e.State.Version, Recorded: e.Decision, Made: made,
	}, nil
}

package journal

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
)

// Verb is what a person may say about a policy.
type Verb string

// The verbs.
const (
	VerbPause    Verb = "pause"    // nothing happens in one direction, or in both
	VerbResume   Verb = "resume"   // the end of a pause
	VerbOverride Verb = "override" // a floor, a ceiling, or both
	VerbRelease  Verb = "release"  // the end of an override
)

// AllPolicies stands for every policy, in a pause and in its end.
const AllPolicies = "*"

// Act is what a person has said about a policy, and who that was: a line of the
// audit log.
type Act struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Verb   Verb      `json:"act"`
	Policy string    `json:"policy"` // AllPolicies for all

	Direction decide.Pause `json:"direction,omitempty"` // of a pause
	Floor     int          `json:"floor,omitempty"`     // of an override, in replicas; 0 for none
	Ceiling   int          `json:"ceiling,omitempty"`
	Until     time.Time    `json:"until,omitzero"` // of a pause or an override

	// By is who it was: by the password or certificate that was asked for if
	// Proven is set, else nothing but what they said.
	By     string `json:"by"`
	Proven bool   `json:"proven,omitempty"`
	// Says is whom they said to be, if that is not what they have proven.
	Says string `json:"says,omitempty"`
	// From is the address of whoever connected.
	From   string `json:"from,omitempty"`
	Reason string `json:"reason"`

	// Order tells which of two acts on the same thing came last, also when the
	// clock has been set: milliseconds since 1970, or one more than that of the
	// act before.
	Order int64 `json:"order"`
	// Peer is the other collector of a pair, if it was told there.
	Peer string `json:"peer,omitempty"`
}

package decide

import "github.com/plimsoll-io/plimsoll/scaler/policy"

// Input is all that a decision depends on. Whoever keeps it, in JSON or not, can
// make the decision again, to the byte.
type Input struct {
	Policy      policy.App  `json:"policy"`
	State       State       `json:"state"`
	Observation Observation `json:"observation"`
}

// Decide decides, as Next does.
func (in Input) Decide() (State, Decision) {
	return Next(in.Policy, in.State, in.Observation)
}

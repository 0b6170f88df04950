package scaler

import (
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// hint adds to an observation what does not come from the platform or from the
// signals: what people have said, and what is expected. It never
// waits.
func (s *Scaler) hint(app policy.App, o *decide.Observation) {
	o.Hand = s.hands.of(app.Name).decided()
	o.Bases, o.Ahead = s.ahead.of(app.Name, o.Now, o.Boot)
}

// audit writes down what a person has said.
func (s *Scaler) audit(a journal.Act) error {
	if s.journal == nil {
		return nil
	}
	return s.journal.RecordAct(a)
}

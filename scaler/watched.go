package scaler

import (
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// longestPast is how old a sample may be and still lead to an evaluation: one that
// comes much later was kept somewhere, and decides nothing.
const longestPast = time.Minute

// Watched is what a policy waits for.
type Watched struct {
	Policy string
	// PromQL is an expression. Samples of any series that it reads, at the time of
	// the evaluation, are waited for.
	PromQL string
	// Arrived tells that one has come and can be queried, and when it was taken. It
	// never blocks, costs little, and may be called concurrently and by whoever
	// still knows of a policy that is no more.
	Arrived func(taken time.Time)
}

// watched is what a policy waits for.
func (s *Scaler) watched(app policy.App, m *member) []Watched {
	arrived := func(taken time.Time) {
		if now := time.Now(); now.Sub(taken) <= longestPast {
			s.pulse.sample(m, taken, now)
		}
	}
	var list []Watched
	for i := range app.Signals {
		expr := app.Signals[i].Query
		if shape, ok := app.Signals[i].Shape(); ok {
			expr = shape.Watched(app.Target.Service)
		}
		if !slices.ContainsFunc(list, func(w Watched) bool { return w.PromQL == expr }) {
			list = append(list, Watched{app.Name, expr, arrived})
		}
	}
	return list
}

package alerting

import (
	"context"
	"time"

	promrules "github.com/prometheus/prometheus/rules"
)

// follow evaluates by evaluate, and notices when the clock is set back.
func (h *holder) follow(evaluate promrules.GroupEvalIterationFunc) promrules.GroupEvalIterationFunc {
	return func(ctx context.Context, g *promrules.Group, at time.Time) {
		h.rewind(g, at)
		evaluate(ctx, g, at)
	}
}

// rewind moves the times that rules remember of their alerts when the clock was
// set back. Else those that fire would wait for their `for` once more, until the
// clock is where it was, and their end would not be told before.
func (h *holder) rewind(g *promrules.Group, at time.Time) {
	h.mu.Lock()
	key := promrules.GroupKey(g.File(), g.Name())
	last := h.evaled[key]
	h.evaled[key] = at
	h.mu.Unlock()
	if last.Sub(at) < leap {
		return
	}
	h.log.Warn("the clock was set back; rules go on with the time it has now", "group", g.Name(), "seconds", int(last.Sub(at).Seconds()))
	for _, r := range g.AlertingRules() {
		r.ForEachActiveAlert(func(a *promrules.Alert) {
			for _, t := range []*time.Time{&a.ActiveAt, &a.FiredAt, &a.ResolvedAt, &a.LastSentAt, &a.ValidUntil, &a.KeepFiringSince} {
				if !t.IsZero() {
					*t = t.Add(at.Sub(last))
				}
			}
		})
	}
}

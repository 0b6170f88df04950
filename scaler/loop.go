package scaler

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// maxAttempts is how often one tick decides when each time someone else changes
// the workload between the look and the write.
const maxAttempts = 3

// loop evaluates one policy. All of it belongs to one goroutine.
type loop struct {
	app     policy.App
	grip    *grip
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	state   decide.State
	boots   boots
	hosts   hosts
	queries []journal.SignalQuery
	verdict string // last told to the log

	// alone is a round for this policy alone.
	alone func(context.Context) *round
	// away tells whether the agent of a node is lost.
	away func(node string) bool
	// frozen takes in whether the policy has its data, and returns why nothing may
	// shrink anywhere, or nothing.
	frozen func(vision) string
	// hints adds what neither the platform nor the signals say. It never blocks.
	hints func(*decide.Observation)
	// foresight is how the forecast stands, in words.
	foresight func() string
	// keep takes the result of a tick.
	keep func(journal.Entry, decide.State)
}

// run evaluates at each turn until ctx ends, and tells back when it has.
func (l *loop) run(ctx context.Context, turns <-chan turn, done func(await)) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-turns:
			began := time.Now()
			awaited := l.tick(ctx, t)
			took := time.Since(began)
			l.metrics.duration.WithLabelValues(l.app.Name).Observe(took.Seconds())
			if late := int(took / l.app.Interval); late > 1 { // one of them follows at once
				l.metrics.skipped.WithLabelValues(l.app.Name).Add(float64(late - 1))
			}
			done(awaited)
		}
	}
}

// tick looks, decides and acts, and tells what is awaited. A conflict is answered by
// looking and deciding anew, never by writing again.
func (l *loop) tick(ctx context.Context, t turn) await {
	for attempt := 1; ; attempt++ {
		v := l.observe(ctx, t.round)
		if ctx.Err() != nil {
			return nothing // what was seen is cut short by the end
		}
		past := l.state
		app := l.app
		if _, held := l.grip.guard.lease.Held(); !held && app.Mode == policy.Active {
			app.Mode = policy.Standby
		}
		next, d := decide.Next(app, past, v.Observation)
		e := l.entry(v, d, past)
		e.Mode, e.Trigger, e.Attempts = app.Mode, t.trigger, attempt
		if d.Apply && d.To != d.From {
			e.Result, e.Err = l.act(ctx, d, v.rev)
		}
		if e.Result == journal.Conflict && attempt < maxAttempts {
			l.metrics.conflicts.WithLabelValues(l.app.Name).Inc()
			t.round = l.alone(ctx)
			continue
		}
		if e.Result == journal.Accepted {
			l.metrics.reacted(string(d.Action), t.news, time.Now())
			l.boots.asked(v.Now, d.To)
		}
		l.state = next
		l.tell(e)
		l.keep(e, next)
		switch {
		case e.Result == journal.Accepted:
			return change
		case e.Result == journal.Unknown, v.Err == "" && (v.Starting > 0 || v.Ready < v.Desired):
			return replicas
		}
		return nothing
	}
}

// act writes, also when ctx ends meanwhile: a decision that was made is carried
// out and recorded.
func (l *loop) act(ctx context.Context, d decide.Decision, rev driver.Rev) (result, problem string) {
	err := l.grip.scale(context.WithoutCancel(ctx), d.To, rev)
	result = outcome(err)
	l.metrics.actions.WithLabelValues(l.app.Name, string(d.Action), result).Inc()
	if err != nil {
		problem = err.Error()
	}
	return result, problem
}

func outcome(err error) string {
	switch {
	case err == nil:
		return journal.Accepted
	case errors.Is(err, driver.ErrConflict):
		return journal.Conflict
	case errors.Is(err, driver.ErrCapacity):
		return journal.Capacity
	case errors.Is(err, errGuard), errors.Is(err, driver.ErrFenced), errors.Is(err, driver.ErrRefused), errors.Is(err, driver.ErrNotFound):
		return journal.Refused
	}
	return journal.Unknown
}

// entry puts a decision together with all it was based on.
func (l *loop) entry(v view, d decide.Decision, past decide.State) journal.Entry {
	e := journal.Entry{
		Policy:      l.app.Name,
		Target:      l.app.Target.String(),
		Mode:        l.app.Mode,
		Since:       v.Now,
		Ticks:       1,
		Observation: v.Observation,
		Decision:    d,
		Queries:     l.queries,
		Forecast:    l.foresight(),
	}
	e.App, e.State = &l.app, &past
	return e
}

// tell logs a change of verdict: a tick that says what the last one said is
// told by metrics and journal alone.
func (l *loop) tell(e journal.Entry) {
	l.metrics.observe(e)
	if e.Decision.Action == decide.Refuse {
		l.metrics.refused.WithLabelValues(e.Policy, refusedSignal).Inc()
	}
	verdict := e.Verdict()
	if verdict == l.verdict && e.Result != journal.Accepted {
		return
	}
	l.verdict = verdict

	log := l.log.With("policy", e.Policy, "workload", e.Target)
	d := e.Decision
	switch {
	case e.Result == journal.Accepted:
		log.Info("scaled", "from", d.From, "to", d.To, "why", d.Why())
	case e.Result != "":
		log.Warn("scaling failed", "from", d.From, "to", d.To, "result", e.Result, "err", e.Err)
	case e.Observation.Err != "":
		log.Warn("platform cannot be asked", "err", e.Observation.Err)
	case d.Action == decide.Refuse:
		log.Error("signal refused", "why", d.Why())
	case d.From != d.To:
		log.Info("advice", "from", d.From, "to", d.To, "why", d.Why())
	}
	for _, r := range e.Observation.Signals {
		if r.Err != "" {
			log.Warn("signal has no data", "signal", r.Signal, "err", r.Err)
		}
	}
}

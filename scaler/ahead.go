package scaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const (
	// aheadStep is how fine a history is.
	aheadStep = time.Minute
	// historyMost is how far back one goes.
	historyMost = 28 * 24 * time.Hour
	// fitEvery is how often the models are fitted and tried anew.
	fitEvery = 6 * time.Hour
	// fitAgain is how long after a failure.
	fitAgain = 10 * time.Minute
	// reread is how much of a history may be missing at its end before all of it is
	// read anew.
	reread = time.Hour
	// aheadOld is how old an outlook may be and count.
	aheadOld = 3 * time.Minute
	// bootUnknown stands for how long replicas take while nobody has seen it.
	bootUnknown = time.Minute
)

// ahead looks ahead for policies that have a forecast or events.
//
//	each 6 h     history ─► fit ─► trial ─► gate      one policy at a time
//	each minute  history ─► outlook ─► gate ─► Ahead
//
// Decisions take what is there and never wait.
type ahead struct {
	history RangeQuerier // nil: there is none to ask
	log     *slog.Logger
	metrics *aheadMetrics
	now     func() time.Time

	mu    sync.Mutex
	views map[string]*foresight // by policy
}

// foresight is what is known of one policy's future. ahead.mu guards it; of the
// history what is there never changes, so that it may be read without.
type foresight struct {
	app  policy.App
	mark string // the policy's fingerprint

	boot   time.Duration // as last seen; 0 if not known
	load   forecast.History
	fitted *forecast.Fitted // nil before the first
	gate   forecast.Gate
	says   string    // the gate in words
	fitAt  time.Time // when it is to be fitted next

	horizon time.Duration // that it was fitted for
	ahead   *decide.Ahead // nil: nothing to say
	aheadAt time.Time     // when that was found
	missed  float64

	bases []base
}

func newAhead(history RangeQuerier, now func() time.Time, log *slog.Logger, m *aheadMetrics) *ahead {
	return &ahead{history: history, now: now, log: log, metrics: m, views: make(map[string]*foresight)}
}

// wants tells whether anything ahead matters to a policy.
func wants(app policy.App) bool { return foretells(app) || len(app.Events) > 0 }

func foretells(app policy.App) bool { return app.Forecast != nil && app.Forecast.Enabled }

// adopt makes the views those of the policies there are now. One that has changed
// in anything begins anew.
func (a *ahead) adopt(apps []policy.App) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, v := range a.views {
		if !slices.ContainsFunc(apps, func(app policy.App) bool { return app.Name == name && wants(app) && fingerprint(app) == v.mark }) {
			delete(a.views, name)
			a.metrics.end(name)
		}
	}
	for _, app := range apps {
		if a.views[app.Name] != nil || !wants(app) {
			continue
		}
		v := &foresight{app: app, mark: fingerprint(app), fitAt: a.now()}
		v.stand(forecast.Gate{}.Learns(a.now(), errors.New("the history has not been read yet")))
		for _, e := range app.Events {
			v.bases = append(v.bases, base{event: e})
		}
		a.views[app.Name] = v
	}
}

// of is what a decision is told at now, with how long replicas take to start.
func (a *ahead) of(name string, now time.Time, boot time.Duration) (bases []decide.Base, out *decide.Ahead) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.views[name]
	if v == nil {
		return nil, nil
	}
	v.boot = boot
	for _, b := range v.bases {
		if b.known {
			bases = append(bases, decide.Base{Event: b.event.Name, Load: b.load})
		}
	}
	if v.gate.Acts() && v.ahead != nil && now.Sub(v.aheadAt).Abs() <= aheadOld {
		out = v.ahead
	}
	return bases, out
}

// says is how the forecast of a policy stands, in words; empty if it has none.
func (a *ahead) says(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v := a.views[name]; v != nil && foretells(v.app) {
		return v.says
	}
	return ""
}

// run looks ahead until ctx ends.
func (a *ahead) run(ctx context.Context) {
	var fits sync.WaitGroup
	defer fits.Wait()
	fits.Go(func() { a.fits(ctx) })
	tick := time.NewTicker(aheadStep)
	defer tick.Stop()
	for {
		for _, name := range a.names() {
			a.look(ctx, name)
			a.findBases(ctx, name)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *ahead) names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := make([]string, 0, len(a.views))
	for name := range a.views {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// look goes on with the history, and looks ahead from its end.
func (a *ahead) look(ctx context.Context, name string) {
	v, ok := a.copy(name)
	if !ok || !foretells(v.app) || v.fitted == nil {
		return
	}
	now := a.now()
	end := now.Truncate(aheadStep)
	load, err := until(v.load, end), error(nil) // no further, should the clock have been set back
	if from := ends(load); from.Before(end) && end.Sub(from) <= reread {
		var more forecast.History
		if more, err = a.read(ctx, v.app, from, end, false); err == nil {
			load = extend(load, more)
		}
	}
	if err == nil && !ends(load).Equal(end) {
		err = fmt.Errorf("the history ends at %s", ends(load).UTC().Format(time.RFC3339))
	}
	var outlook forecast.Outlook
	if err == nil {
		outlook, err = v.fitted.Ahead(load)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		a.metrics.errors.WithLabelValues(name).Inc()
		a.log.Warn("forecast does not go on", "policy", name, "err", err)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	live := a.views[name]
	if live == nil || live.mark != v.mark || live.fitted != v.fitted {
		return
	}
	if err != nil {
		live.ahead = nil
		if end.Sub(ends(load)).Abs() > reread {
			live.fitAt = now
		}
		a.metrics.show(live)
		return
	}
	live.load, live.missed = load, outlook.Missed
	before := live.gate.Standing
	if live.stand(live.gate.Heard(now, outlook.Missed)); live.gate.Standing != before {
		a.log.Info("forecast", "policy", name, "standing", string(live.gate.Standing), "why", live.gate.Why)
	}
	live.ahead, live.aheadAt = expected(live, outlook), now
	a.metrics.show(live)
}

func (a *ahead) copy(name string) (foresight, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.views[name]
	if v == nil {
		return foresight{}, false
	}
	return *v, true
}

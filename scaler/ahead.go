package scaler

import (
	"context"
	"errors"
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
//	each minute  history ─► outlook ─► gate ─► Ahead  several at a time
//	each 30 min  history ─► bases of events to come   one at a time
//
// Decisions take what is there and never wait, and none of the three waits for
// another.
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
	// life ends when the policy is no more.
	life context.Context
	end  context.CancelFunc

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
	lookAt  time.Time // when it was last looked at
	failed  bool      // its history could not be had then

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
		if !slices.ContainsFunc(apps, func(app policy.App) bool { return app.Name == name && wants(app) && app.Fingerprint() == v.mark }) {
			v.end()
			delete(a.views, name)
			a.metrics.end(name)
		}
	}
	for _, app := range apps {
		if a.views[app.Name] != nil || !wants(app) {
			continue
		}
		v := &foresight{app: app, mark: app.Fingerprint(), fitAt: a.now()}
		v.life, v.end = context.WithCancel(context.Background())
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
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { a.fits(ctx) })
	beside.Go(func() { a.findBases(ctx) })
	tick := time.NewTicker(aheadStep)
	defer tick.Stop()
	for {
		a.lookAll(ctx)
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

func (a *ahead) copy(name string) (foresight, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.views[name]
	if v == nil {
		return foresight{}, false
	}
	return *v, true
}

// within is a context that ends with another one, and with the policy of a view.
func (v foresight) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(v.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// live is the view that v is a copy of; nil if its policy is no more, of which
// nothing is told. a.mu is held.
func (a *ahead) live(v foresight) *foresight {
	live := a.views[v.app.Name]
	if live == nil || live.mark != v.mark {
		return nil
	}
	return live
}

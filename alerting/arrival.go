package alerting

import (
	"context"
	"sync"
	"time"

	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/alerting/arrival"
)

// sweepInterval is how often series that have ended are forgotten.
const sweepInterval = time.Minute

// early evaluates groups besides at their ticks: when a sample crosses, and when
// an alert has waited for its `for`. No group is evaluated twice at a time, and
// the times at which it is evaluated grow.
type early struct {
	detector *arrival.Detector // may be nil
	metrics  *earlyMetrics
	evaluate promrules.GroupEvalIterationFunc

	ctx context.Context
	// reloading is held for reading while a group is evaluated early, so that
	// none is while the manager copies what it knows.
	reloading sync.RWMutex

	mu    sync.Mutex
	turns map[*promrules.Group]*turns
	loops sync.WaitGroup
}

// turns are those of a group.
type turns struct {
	pace *pace
	stop context.CancelFunc // ends early evaluation; nil until it has begun

	evaluating chan struct{} // full while it is
	last       time.Time     // as of when it was evaluated
}

func newEarly(ctx context.Context, d *arrival.Detector, m *earlyMetrics, evaluate promrules.GroupEvalIterationFunc) *early {
	return &early{ctx: ctx, detector: d, metrics: m, evaluate: evaluate, turns: map[*promrules.Group]*turns{}}
}

func (e *early) of(g *promrules.Group) *turns {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.turns[g]
	if t == nil {
		t = &turns{pace: newPace(), evaluating: make(chan struct{}, 1)}
		e.turns[g] = t
	}
	return t
}

// shown is s with what rules record shown to the detector as well, for those
// that are made of it.
func shown(s storage.Appendable, d *arrival.Detector) storage.Appendable {
	if d == nil {
		return s
	}
	return besideArrival{s, d}
}

type besideArrival struct {
	storage.Appendable
	detector *arrival.Detector
}

func (b besideArrival) Appender(ctx context.Context) storage.Appender {
	return b.detector.BesideV1(b.Appendable.Appender(ctx))
}

// tick implements rules.GroupEvalIterationFunc.
func (e *early) tick(ctx context.Context, g *promrules.Group, at time.Time) {
	e.iterate(ctx, g, e.of(g), at)
}

// iterate evaluates a group, and notes when it next has to be.
func (e *early) iterate(ctx context.Context, g *promrules.Group, t *turns, at time.Time) {
	t.evaluating <- struct{}{}
	defer func() { <-t.evaluating }()
	// Else time.Now carries what hides that the clock was set back.
	at = at.Round(0)
	if step := at.Sub(t.last); step < time.Millisecond && step > -leap { // else the clock was set back
		at = t.last.Add(time.Millisecond)
	}
	t.last = at
	t.pace.begin(at)
	e.evaluate(ctx, g, at)
	t.pace.await(ripe(g, at))
}

// reload has update bring other groups into force.
func (e *early) reload(update func() error, groups func() []*promrules.Group) error {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	if err := update(); err != nil {
		return err
	}
	e.follow(groups())
	return nil
}

// follow has groups evaluated early from now on, and no others.
func (e *early) follow(groups []*promrules.Group) {
	var watched []arrival.Group
	stays := map[*promrules.Group]bool{}
	for _, g := range groups {
		t := e.of(g)
		stays[g] = true
		watched = append(watched, arrival.Group{Rules: followable(g), Crossed: t.pace.cross})
		if t.stop == nil {
			ctx, stop := context.WithCancel(e.ctx)
			t.stop = stop
			e.loops.Go(func() { e.run(ctx, g, t) })
		}
	}
	e.mu.Lock()
	for g, t := range e.turns {
		if stays[g] {
			continue
		}
		delete(e.turns, g)
		if t.stop != nil {
			t.stop()
		}
	}
	e.mu.Unlock()
	if e.detector != nil {
		e.detector.Use(watched)
	}
}

// run evaluates a group early until ctx ends.
func (e *early) run(ctx context.Context, g *promrules.Group, t *turns) {
	for {
		why, ok := t.pace.next(ctx, e.metrics.deferred.Inc)
		if !ok {
			return
		}
		e.reloading.RLock()
		if ctx.Err() == nil {
			took := processorTime(func() { e.iterate(ctx, g, t, time.Now()) })
			t.pace.spend(took)
			e.metrics.evaluated(why, took)
		}
		e.reloading.RUnlock()
	}
}

// sweep forgets what has ended until ctx does.
func (e *early) sweep(ctx context.Context) {
	if e.detector == nil {
		return
	}
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.detector.Sweep(now)
		}
	}
}

// followable are the rules of a group as the detector reads them.
func followable(g *promrules.Group) []arrival.Rule {
	var list []arrival.Rule
	for _, r := range g.Rules() {
		switch r := r.(type) {
		case *promrules.AlertingRule:
			list = append(list, arrival.Rule{Expr: r.Query()})
		case *promrules.RecordingRule:
			list = append(list, arrival.Rule{Record: r.Name(), Expr: r.Query(), Labels: r.Labels()})
		}
	}
	if g.QueryOffset() != 0 { // what has just arrived is not yet seen
		return nil
	}
	return list
}

// ripe is when the first alert of a group, as it was evaluated at a time, has
// waited for its `for` or its `keep_firing_for`; zero if none is waiting.
func ripe(g *promrules.Group, at time.Time) (first time.Time) {
	note := func(t time.Time) {
		if t.After(at) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, r := range g.Rules() {
		r, ok := r.(*promrules.AlertingRule)
		if !ok || r.HoldDuration() == 0 && r.KeepFiringFor() == 0 {
			continue
		}
		r.ForEachActiveAlert(func(a *promrules.Alert) {
			switch {
			case a.State == promrules.StatePending:
				note(a.ActiveAt.Add(r.HoldDuration()))
			case a.State == promrules.StateFiring && !a.KeepFiringSince.IsZero():
				note(a.KeepFiringSince.Add(r.KeepFiringFor()))
			}
		})
	}
	return first
}

package scaler

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// saveEvery is how much of the past a crash may cost; none of it led to a write.
const saveEvery = 5 * time.Second

// Run evaluates every policy at its interval and whenever something has happened
// that matters to it, until ctx ends.
func (s *Scaler) Run(ctx context.Context) error {
	s.save()
	running := make(map[string]*runner)
	var beside sync.WaitGroup
	beside.Go(func() {
		s.pulse.run(ctx, func(apps []policy.App) *round { return s.round(ctx, apps) })
	})
	beside.Go(func() { s.ahead.run(ctx) })
	listening := make(map[string]bool)
	save, look := time.NewTicker(saveEvery), time.NewTicker(time.Second)
	defer save.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, r := range running {
				<-r.ended // their context is ctx's child
			}
			beside.Wait()
			s.asking.Wait()
			s.memory.breaks(s.breaker.file())
			s.saved(s.memory.end())
			return nil
		case <-s.changed:
			s.adopt(ctx, running)
			s.listen(ctx, &beside, listening)
		case <-look.C:
			s.watchBreaker()
		case <-save.C:
			s.save()
			if warning := s.saveHands(); warning != "" {
				s.log.Error("pauses and overrides not saved", "err", warning)
			}
		}
	}
}

// watchBreaker tells when the breaker opens or closes, and has that outlive a
// crash.
func (s *Scaler) watchBreaker() {
	before, after := s.breaker.tick(s.now())
	if before == after {
		return
	}
	if after == "" {
		s.metrics.frozen.Set(0)
		s.log.Info("workloads may shrink again", "was", before)
	} else {
		s.metrics.frozen.Set(1)
		s.log.Error("no workload shrinks", "why", after)
	}
	s.memory.breaks(s.breaker.file())
	s.save()
}

// runner is a loop under way.
type runner struct {
	app    policy.App
	member *member
	cancel context.CancelFunc
	ended  chan struct{}
}

// adopt makes what runs equal to the policies there are now. What must end has
// ended before anything starts, so that no workload has two loops.
func (s *Scaler) adopt(ctx context.Context, running map[string]*runner) {
	s.mu.Lock()
	apps := slices.Clone(s.apps)
	s.mu.Unlock()
	named := make(map[string]policy.App, len(apps))
	for _, app := range apps {
		named[app.Name] = app
	}

	var ending []*runner
	for name, r := range running {
		if app, ok := named[name]; !ok || !reflect.DeepEqual(app, r.app) {
			r.cancel()
			ending = append(ending, r)
			delete(running, name)
		}
	}
	for _, r := range ending {
		<-r.ended
		s.dismiss(r.app.Name)
	}
	s.memory.retain(apps, s.now())
	s.breaker.retain(apps, s.now())
	s.ahead.adopt(apps)
	var watched []Watched
	for _, app := range apps {
		if running[app.Name] == nil {
			running[app.Name] = s.start(ctx, app)
		}
		watched = append(watched, s.watched(app, running[app.Name].member)...)
	}
	s.pulse.begin()
	if s.watch != nil {
		s.watch(watched)
	}
}

// start begins the loop of a policy.
func (s *Scaler) start(ctx context.Context, app policy.App) *runner {
	ctx, cancel := context.WithCancel(ctx)
	l := s.loop(app)
	s.metrics.begin(app)
	s.log.Info("policy begins", "policy", app.Name, "workload", app.Target, "mode", app.Mode)

	m := s.pulse.add(app)
	r := &runner{app: app, member: m, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		defer s.pulse.remove(m)
		l.run(ctx, m.turns, func(awaited await) { s.pulse.done(m, s.now(), awaited, l.boots.p95()) })
	}()
	return r
}

// loop makes the loop of a policy, with its past.
func (s *Scaler) loop(app policy.App) *loop {
	grip, err := s.guard.grip(app)
	if err != nil {
		panic(err) // Reload has checked this very thing
	}
	mark, name, learnt := app.Fingerprint(), app.Target.String(), s.memory.learnt(app.Target)
	l := &loop{
		app:     app,
		grip:    grip,
		log:     s.log,
		metrics: s.metrics,
		now:     s.now,
		state:   s.memory.recall(app, s.now()),
		boots:   boots{took: slices.Clone(learnt.Boots)},
		hosts:   hosts{nodes: slices.Clone(learnt.Nodes)},
		queries: journal.Queries(app),
		alone:   func(ctx context.Context) *round { return s.round(ctx, []policy.App{app}) },
		away:    func(node string) bool { return s.nodes != nil && s.nodes.Lost(node) },
		frozen:  func(v vision) string { return s.breaker.see(app.Name, v, s.now()) },
		hints:   func(o *decide.Observation) { s.hint(app, o) },

		foresight: func() string { return s.ahead.says(app.Name) },
	}
	l.keep = func(e journal.Entry, state decide.State) {
		s.memory.remember(app.Name, mark, state)
		if !slices.Equal(l.boots.took, learnt.Boots) || !slices.Equal(l.hosts.nodes, learnt.Nodes) {
			learnt = target{Boots: slices.Clone(l.boots.took), Nodes: slices.Clone(l.hosts.nodes)}
			s.memory.learn(name, learnt)
		}
		if e.Result == journal.Accepted || e.Result == journal.Unknown {
			s.save() // or a crash forgets why there are so many now, and shrinks
		}
		s.keep(e)
	}
	return l
}

// dismiss forgets a policy whose loop has ended.
func (s *Scaler) dismiss(name string) {
	s.log.Info("policy ended", "policy", name)
	s.metrics.end(name)
	s.mu.Lock()
	delete(s.last, name)
	s.mu.Unlock()
	if s.journal == nil {
		return
	}
	if err := s.journal.End(name); err != nil {
		s.metrics.journalErrors.Inc()
		s.log.Error("decision not recorded", "policy", name, "err", err)
	}
}

// keep takes the result of a tick.
func (s *Scaler) keep(e journal.Entry) {
	live := e
	live.App, live.State = nil, nil // those are for the journal
	s.mu.Lock()
	s.last[e.Policy] = live
	s.mu.Unlock()
	if s.journal == nil {
		return
	}
	if err := s.journal.Record(e); err != nil {
		s.metrics.journalErrors.Inc()
		s.log.Error("decision not recorded", "policy", e.Policy, "err", err)
	}
}

func (s *Scaler) save() { s.saved(s.memory.save()) }

func (s *Scaler) saved(err error) {
	if err != nil {
		s.metrics.stateErrors.Inc()
		s.log.Error("state not saved", "err", err)
	}
}

package scaler

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// saveEvery is how much of the past a crash may cost; none of it led to a write.
const saveEvery = 5 * time.Second

// Run evaluates every policy at its interval until ctx ends.
func (s *Scaler) Run(ctx context.Context) error {
	running := make(map[string]*runner)
	save := time.NewTicker(saveEvery)
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, r := range running {
				<-r.ended // their context is ctx's child
			}
			s.save()
			return nil
		case <-s.changed:
			s.adopt(ctx, running)
		case <-save.C:
			s.save()
		}
	}
}

// runner is a loop under way.
type runner struct {
	app    policy.App
	cancel context.CancelFunc
	ended  chan struct{}
}

// adopt makes what runs equal to the policies there are now. What must end has
// ended before anything starts, so that no workload has two loops.
func (s *Scaler) adopt(ctx context.Context, running map[string]*runner) {
	s.mu.Lock()
	apps := slices.Clone(s.apps)
	s.mu.Unlock()

	var ending []*runner
	for name, r := range running {
		same := func(app policy.App) bool { return reflect.DeepEqual(app, r.app) }
		if !slices.ContainsFunc(apps, same) {
			r.cancel()
			ending = append(ending, r)
			delete(running, name)
		}
	}
	for _, r := range ending {
		<-r.ended
		s.dismiss(r.app.Name)
	}
	s.memory.retain(apps)
	for _, app := range apps {
		if running[app.Name] == nil {
			running[app.Name] = s.start(ctx, app)
		}
	}
}

// start begins the loop of a policy.
func (s *Scaler) start(ctx context.Context, app policy.App) *runner {
	grip, err := s.guard.grip(app)
	if err != nil {
		panic(err) // Reload has checked this very thing
	}
	mark := fingerprint(app)
	l := &loop{
		app:     app,
		grip:    grip,
		query:   s.query,
		log:     s.log,
		metrics: s.metrics,
		state:   s.memory.recall(app),
		keep: func(e Entry, state decide.State) {
			s.memory.remember(app.Name, mark, state)
			if e.Result != "" {
				s.save() // or a crash forgets why there are so many now, and shrinks
			}
			s.keep(e)
		},
	}
	s.metrics.begin(app)
	s.log.Info("policy begins", "policy", app.Name, "workload", app.Target, "mode", app.Mode)

	ctx, cancel := context.WithCancel(ctx)
	r := &runner{app: app, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		l.run(ctx)
	}()
	return r
}

// dismiss forgets a policy whose loop has ended.
func (s *Scaler) dismiss(name string) {
	s.log.Info("policy ended", "policy", name)
	s.metrics.end(name)
	s.mu.Lock()
	delete(s.last, name)
	s.mu.Unlock()
}

// keep takes the result of a tick.
func (s *Scaler) keep(e Entry) {
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

func (s *Scaler) save() {
	if err := s.memory.save(); err != nil {
		s.metrics.stateErrors.Inc()
		s.log.Error("state not saved", "err", err)
	}
}

package alerting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/alerting/amfile"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
)

const (
	// minPatience is how long a group waits for its integrations at least,
	// however short its interval.
	minPatience = 2 * time.Second
	// botPatience is how long a chat bot may take at least, which may wait for
	// its rate limit several times.
	botPatience = 2 * time.Minute
)

// apart keeps the integrations of a receiver from waiting for each other. In
// Alertmanager all of them must end before a group is flushed again, so that a
// webhook that hangs holds back the pager beside it. Here a flush waits for an
// integration until the next one is due. Then it counts as failed if alerts have
// ended, so that those stay in the group, while the integration goes on to its own
// deadline. What is new in the group reaches it after that.
type apart struct {
	routes notify.RoutingStage
	all    []*branch
}

// newApart takes the pipelines of receivers to pieces: the last stage of each is
// the one with the integrations, in their order. One that is built differently
// stays as it is.
func newApart(life context.Context, routes notify.RoutingStage, receivers map[string][]notify.Integration, tree *dispatch.Route, slow *prometheus.CounterVec) *apart {
	intervals := map[string]time.Duration{}
	tree.Walk(func(r *dispatch.Route) { intervals[r.ID()] = r.RouteOpts.GroupInterval })
	a := &apart{routes: routes}
	for name, stage := range routes {
		stages, _ := stage.(notify.MultiStage)
		if len(stages) == 0 {
			continue
		}
		fan, _ := stages[len(stages)-1].(notify.FanoutStage)
		if len(fan) != len(receivers[name]) {
			continue
		}
		side := &sides{intervals: intervals}
		for i, stage := range fan {
			b := newBranch(life, name, &receivers[name][i], stage, slow)
			side.branches, a.all = append(side.branches, b), append(a.all, b)
		}
		stages[len(stages)-1] = side
	}
	return a
}

func newBranch(life context.Context, receiver string, integration *notify.Integration, stage notify.Stage, slow *prometheus.CounterVec) *branch {
	b := &branch{
		gate: newGate(life, stage), name: receiver + "/" + integration.String(), limit: notify.MinTimeout,
		slow: slow.WithLabelValues(integration.Name()), flights: map[string]*flight{},
	}
	if slices.ContainsFunc(amfile.Kinds(), func(k chatbot.Kind) bool { return k.Name == integration.Name() }) {
		b.limit = botPatience
	}
	return b
}

// Exec implements notify.Stage.
func (a *apart) Exec(ctx context.Context, log *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	return a.routes.Exec(ctx, log, alerts...)
}

// close gives what is being sent until limit to end.
func (a *apart) close(limit time.Duration) {
	var closing sync.WaitGroup
	for _, b := range a.all {
		closing.Go(func() { b.close(limit) })
	}
	closing.Wait()
}

// sides are the integrations of a receiver, side by side.
type sides struct {
	branches  []*branch
	intervals map[string]time.Duration // between flushes, by route
}

// Exec implements notify.Stage.
func (s *sides) Exec(ctx context.Context, log *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	route, _ := notify.RouteID(ctx)
	waiting, cancel := context.WithTimeout(ctx, max(s.intervals[route], minPatience))
	defer cancel()
	errs := make([]error, len(s.branches))
	var all sync.WaitGroup
	for i, b := range s.branches {
		all.Go(func() { errs[i] = b.tell(ctx, waiting, log, alerts) })
	}
	all.Wait()
	return ctx, alerts, errors.Join(errs...)
}

// branch is one integration.
type branch struct {
	gate  *gate
	name  string
	limit time.Duration // that its deadline is away at least
	slow  prometheus.Counter

	flying sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[string]*flight // by group
}

// flight is a notification under way.
type flight struct {
	done chan struct{}
	err  error // once done
}

// tell sends alerts as soon as nothing else of their group is under way, and
// waits for the end until waiting ends.
func (b *branch) tell(ctx, waiting context.Context, log *slog.Logger, alerts []*alert.Alert) error {
	group, _ := notify.GroupKey(ctx)
	for {
		f, own := b.take(group, func(f *flight) { b.fly(ctx, log, group, f, alerts) })
		if f == nil {
			return context.Canceled
		}
		select {
		case <-f.done:
			if own {
				return f.err
			}
		case <-waiting.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			b.slow.Inc()
			if !slices.ContainsFunc(alerts, (*alert.Alert).Resolved) {
				return nil // what fires stays in the group anyway
			}
			return fmt.Errorf("%s is slow and still being told; the rest of the receiver does not wait for it", b.name)
		}
	}
}

// take returns what is under way for a group, or begins it; nil after close.
func (b *branch) take(group string, fly func(*flight)) (f *flight, own bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, false
	}
	if f := b.flights[group]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	b.flights[group] = f
	b.flying.Go(func() { fly(f) })
	return f, true
}

func (b *branch) close(limit time.Duration) {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.gate.close(limit)
	b.flying.Wait()
}

// fly sends.
func (b *branch) fly(ctx context.Context, log *slog.Logger, group string, f *flight, alerts []*alert.Alert) {
	left := b.limit
	if at, ok := ctx.Deadline(); ok {
		left = max(left, time.Until(at))
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	_, _, f.err = b.gate.Exec(own, log, alerts...)
	b.mu.Lock()
	delete(b.flights, group)
	b.mu.Unlock()
	close(f.done)
}

package scaler

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// mostServices is how many services one query asks about.
const mostServices = 1000

// round is what evaluations that are due together ask for: each thing once, when
// the first of them wants it. What fails has failed for all of them.
type round struct {
	ctx     context.Context // ends what is under way
	at      time.Time       // by the decisions' clock
	query   Querier
	guard   *guard
	metrics *metrics
	wait    *sync.WaitGroup // for what is under way

	batches map[policy.Shape]map[string]*batch // by service
	lists   map[string]*list                   // by driver
}

// round is of some policies, all different.
func (s *Scaler) round(ctx context.Context, apps []policy.App) *round {
	r := &round{
		ctx: ctx, at: s.now(), query: s.query, guard: s.guard, metrics: s.metrics, wait: &s.asking,
		batches: make(map[policy.Shape]map[string]*batch), lists: make(map[string]*list),
	}
	open := make(map[policy.Shape]*batch)
	for _, app := range apps {
		r.join(app)
		for i := range app.Signals {
			shape, ok := app.Signals[i].Shape()
			if !ok || r.batches[shape][app.Target.Service] != nil {
				continue
			}
			b := open[shape]
			if b == nil || len(b.services) == mostServices {
				b = &batch{shape: shape, done: make(chan struct{})}
				open[shape] = b
			}
			b.services = append(b.services, app.Target.Service)
			if r.batches[shape] == nil {
				r.batches[shape] = make(map[string]*batch)
			}
			r.batches[shape][app.Target.Service] = b
		}
	}
	return r
}

// batch is a question about several services.
type batch struct {
	shape    policy.Shape
	services []string
	begin    sync.Once
	done     chan struct{} // closed when all below is there

	err                 error
	samples             map[string][]Sample // by service, each with the time at which it was measured
	throttled, pressure map[string]float64  // by service
}

// read is the batch that has the readings of a service.
func (r *round) read(ctx context.Context, shape policy.Shape, service string) (*batch, error) {
	b := r.batches[shape][service]
	b.begin.Do(func() {
		r.wait.Go(func() {
			defer close(b.done)
			ctx, cancel := context.WithTimeout(r.ctx, queryLimit)
			defer cancel()
			b.ask(ctx, r)
		})
	})
	select {
	case <-b.done:
		return b, b.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask runs the queries of a batch side by side.
func (b *batch) ask(ctx context.Context, r *round) {
	q := b.shape.Batch(b.services)
	var samples, times []Sample
	var aged error
	var wg sync.WaitGroup
	wg.Go(func() { samples, b.err = r.ask(ctx, q.Readings, b.shape.MaxAge) })
	wg.Go(func() { times, aged = r.ask(ctx, q.Ages, b.shape.MaxAge) })
	if b.shape.Full {
		// What is not known of these is no reason to know nothing.
		wg.Go(func() { b.throttled = r.shares(ctx, q.Throttled, b.shape.MaxAge) })
		wg.Go(func() { b.pressure = r.shares(ctx, q.Pressure, b.shape.MaxAge) })
	}
	wg.Wait()
	if b.err == nil && aged != nil {
		b.err = fmt.Errorf("age of the samples: %w", aged)
	}
	if b.err != nil {
		return
	}
	b.samples = make(map[string][]Sample, len(b.services))
	for _, s := range dated(samples, times) {
		service := s.Labels[policy.ServiceLabel]
		b.samples[service] = append(b.samples[service], s)
	}
}

func (r *round) ask(ctx context.Context, promql string, lookback time.Duration) ([]Sample, error) {
	r.metrics.queries.Inc()
	return r.query.Query(ctx, promql, r.at, lookback)
}

// shares asks for a share of each service, between 0 and 1.
func (r *round) shares(ctx context.Context, promql string, lookback time.Duration) map[string]float64 {
	samples, err := r.ask(ctx, promql, lookback)
	if err != nil {
		return nil
	}
	of := make(map[string]float64, len(samples))
	for _, s := range samples {
		if !math.IsNaN(s.Value) && s.Value >= 0 {
			of[s.Labels[policy.ServiceLabel]] = min(s.Value, 1)
		}
	}
	return of
}

// dated returns the samples that have a time among times, with that time. One
// without is the echo of a replica that is no longer heard.
func dated(samples, times []Sample) []Sample {
	at := make(map[replicaKey]time.Time, len(times))
	for _, s := range times {
		if !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) {
			at[keyOf(s.Labels)] = time.UnixMilli(int64(math.Round(s.Value * 1000)))
		}
	}
	var kept []Sample
	for _, s := range samples {
		if t, ok := at[keyOf(s.Labels)]; ok {
			s.At = t
			kept = append(kept, s)
		}
	}
	return kept
}

// replicaKey is what makes a replica one of a service.
type replicaKey struct{ service, node, id string }

func keyOf(labels map[string]string) replicaKey {
	return replicaKey{labels[policy.ServiceLabel], labels["node"], labels["id"]}
}

// list is a question about several workloads of a platform.
type list struct {
	lister    driver.Lister
	workloads []driver.Workload
	place     map[driver.Workload]int // in both lists
	begin     sync.Once
	done      chan struct{} // closed when all below is there

	replies []driver.Reply
	err     error
}

// join takes a policy's workload into the list of its platform, if that can be
// asked for several.
func (r *round) join(app policy.App) {
	lister := r.guard.lister(app.Target.Driver)
	if lister == nil {
		return
	}
	l := r.lists[app.Target.Driver]
	if l == nil {
		l = &list{lister: lister, place: make(map[driver.Workload]int), done: make(chan struct{})}
		r.lists[app.Target.Driver] = l
	}
	w := workload(app.Target)
	l.place[w] = len(l.workloads)
	l.workloads = append(l.workloads, w)
}

// status is what the platform says of the workload of g. A list is only asked for
// if there is another to ask for as well.
func (r *round) status(ctx context.Context, app policy.App, g *grip) (driver.Status, error) {
	l := r.lists[app.Target.Driver]
	if l == nil || len(l.workloads) < 2 {
		r.metrics.looks.Inc()
		return g.status(ctx)
	}
	l.begin.Do(func() {
		r.wait.Go(func() {
			defer close(l.done)
			ctx, cancel := context.WithTimeout(r.ctx, lookLimit)
			defer cancel()
			r.metrics.looks.Inc()
			l.replies, l.err = l.lister.StatusAll(ctx, l.workloads)
			if l.err == nil && len(l.replies) != len(l.workloads) {
				l.err = fmt.Errorf("%d replies for %d workloads", len(l.replies), len(l.workloads))
			}
		})
	})
	select {
	case <-l.done:
	case <-ctx.Done():
		return driver.Status{}, ctx.Err()
	}
	if l.err != nil {
		return driver.Status{}, l.err
	}
	reply := l.replies[l.place[g.workload]]
	return reply.Status, reply.Err
}

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

// nearTarget is the share of its target from which on a service is asked how full
// its replicas are. A decision wants to know of those that carry their target; it may
// count fewer samples, as some grow too old until then.
const nearTarget = 0.9

// round is what evaluations that are due together ask for: each thing once, when
// the first of them wants it. What fails has failed for all of them.
type round struct {
	ctx     context.Context // ends what is under way
	at      time.Time       // by the decisions' clock
	query   Querier
	guard   *guard
	metrics *metrics
	wait    *sync.WaitGroup // for what is under way

	subjects map[policy.Shape]map[string]*subject // by service
	lists    map[string]*list                     // by driver
}

// round is of some policies, all different.
func (s *Scaler) round(ctx context.Context, apps []policy.App) *round {
	r := &round{
		ctx: ctx, at: s.now(), query: s.query, guard: s.guard, metrics: s.metrics, wait: &s.asking,
		subjects: make(map[policy.Shape]map[string]*subject), lists: make(map[string]*list),
	}
	open := make(map[policy.Shape]*batch)
	for _, app := range apps {
		r.join(app)
		for i := range app.Signals {
			shape, ok := app.Signals[i].Shape()
			if !ok {
				continue
			}
			subjects, target := r.subjects[shape], app.Signals[i].Target.Value
			if sub := subjects[app.Target.Service]; sub != nil {
				sub.target = min(sub.target, target)
				continue
			}
			if subjects == nil {
				subjects = make(map[string]*subject)
				r.subjects[shape] = subjects
			}
			b := open[shape]
			if b == nil || len(b.services) == mostServices {
				b = &batch{shape: shape, subjects: subjects, read: make(chan struct{}), done: make(chan struct{})}
				open[shape] = b
			}
			b.services = append(b.services, app.Target.Service)
			subjects[app.Target.Service] = &subject{batch: b, target: target}
		}
	}
	return r
}

// batch is a question about several services.
type batch struct {
	shape    policy.Shape
	services []string
	subjects map[string]*subject // by service; also those of other batches
	begin    sync.Once
	read     chan struct{} // closed when the readings are there, or err
	done     chan struct{} // closed when how full replicas are is there, too
	err      error
}

// subject is one service that a batch asks about.
type subject struct {
	batch    *batch
	target   float64 // the least of the signals that ask
	near     bool    // to the target, so that it is asked how full the replicas are
	findings findings
}

// findings are what is known of one service.
type findings struct {
	samples             []Sample // each with the time at which it was measured
	throttled, pressure *float64 // as in decide.Reading
}

// read is what is known of a service. Only one that is near its target waits for how
// full its replicas are, and does without if that does not come in time.
func (r *round) read(ctx context.Context, shape policy.Shape, service string) (findings, error) {
	sub := r.subjects[shape][service]
	b := sub.batch
	b.begin.Do(func() {
		r.wait.Go(func() {
			ctx, cancel := context.WithTimeout(r.ctx, queryLimit)
			defer cancel()
			b.ask(ctx, r)
		})
	})
	select {
	case <-b.read:
	case <-ctx.Done():
		return findings{}, ctx.Err()
	}
	if b.err != nil {
		return findings{}, b.err
	}
	if sub.near {
		select {
		case <-b.done:
			return sub.findings, nil
		case <-ctx.Done():
		}
	}
	return findings{samples: sub.findings.samples}, nil
}

// ask asks for the readings of all services, and then how full the replicas are of
// those to which it matters: most of the time it is none.
func (b *batch) ask(ctx context.Context, r *round) {
	defer close(b.done)
	near := b.readings(ctx, r)
	close(b.read)
	if len(near) == 0 {
		return
	}
	q := b.shape.Batch(near)
	var wg sync.WaitGroup
	wg.Go(func() { b.shares(ctx, r, q.Throttled, func(f *findings, share float64) { f.throttled = &share }) })
	wg.Go(func() { b.shares(ctx, r, q.Pressure, func(f *findings, share float64) { f.pressure = &share }) })
	wg.Wait()
}

// readings fills in the samples, or err, and returns the services that are near
// their targets, if it matters how full their replicas are.
func (b *batch) readings(ctx context.Context, r *round) (near []string) {
	plain := b.shape
	plain.Full = false
	q := plain.Batch(b.services)
	var samples, times []Sample
	var aged error
	var wg sync.WaitGroup
	wg.Go(func() { samples, b.err = r.ask(ctx, q.Readings, b.shape.MaxAge) })
	wg.Go(func() { times, aged = r.ask(ctx, q.Ages, b.shape.MaxAge) })
	wg.Wait()
	if b.err == nil && aged != nil {
		b.err = fmt.Errorf("age of the samples: %w", aged)
	}
	if b.err != nil {
		return nil
	}
	for _, s := range dated(samples, times) {
		if sub := b.subject(s); sub != nil {
			sub.findings.samples = append(sub.findings.samples, s)
		}
	}
	if !b.shape.Full {
		return nil
	}
	for _, service := range b.services {
		sub := b.subjects[service]
		if sub.near = sub.loaded(); sub.near {
			near = append(near, service)
		}
	}
	return near
}

// loaded tells whether the mean of the samples is near the target.
func (sub *subject) loaded() bool {
	var sum float64
	for _, s := range sub.findings.samples {
		sum += s.Value
	}
	n := float64(len(sub.findings.samples))
	return n > 0 && sum/n >= nearTarget*sub.target
}

// subject is that which a sample is of, if it is one of this batch.
func (b *batch) subject(s Sample) *subject {
	if sub := b.subjects[s.Labels[policy.ServiceLabel]]; sub != nil && sub.batch == b {
		return sub
	}
	return nil
}

func (r *round) ask(ctx context.Context, promql string, lookback time.Duration) ([]Sample, error) {
	r.metrics.queries.Inc()
	return r.query.Query(ctx, promql, r.at, lookback)
}

// shares asks for a share of each service, between 0 and 1. That it is not known is
// no reason to know nothing.
func (b *batch) shares(ctx context.Context, r *round, promql string, put func(*findings, float64)) {
	samples, err := r.ask(ctx, promql, b.shape.MaxAge)
	if err != nil {
		return
	}
	for _, s := range samples {
		if sub := b.subject(s); sub != nil && !math.IsNaN(s.Value) && s.Value >= 0 {
			put(&sub.findings, min(s.Value, 1))
		}
	}
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

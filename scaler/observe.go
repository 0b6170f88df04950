package scaler

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// queryLimit bounds the queries of one tick. They run side by side.
const queryLimit = 5 * time.Second

// maxSeries is how many series a query may return; each is kept in the journal.
const maxSeries = 1000

// A Querier answers PromQL. It may be called concurrently and returns soon
// after ctx ends.
type Querier interface {
	// Query evaluates promql at one instant. No series may be older than
	// lookback: where the store would reach back minutes for a series' last
	// sample, a decision wants to know that there is none. A scalar is one
	// sample without labels. No series is an empty answer, not an error.
	Query(ctx context.Context, promql string, at time.Time, lookback time.Duration) ([]Sample, error)
}

// Sample is a series' value at the time of a query.
type Sample struct {
	Labels map[string]string // the metric's name is not among them
	At     time.Time
	Value  float64
}

// view is what a tick saw of the world.
type view struct {
	decide.Observation
	rev driver.Rev
}

// observe asks the platform and runs every signal's query, side by side, so
// that one that hangs takes no other's time. What fails is told in its place.
func (l *loop) observe(ctx context.Context, now time.Time) view {
	app := l.app
	v := view{Observation: decide.Observation{Now: now, Signals: make([]decide.Reading, len(app.Signals))}}
	var wg sync.WaitGroup
	wg.Go(func() { l.look(ctx, &v) })
	for i, signal := range app.Signals {
		wg.Go(func() { v.Signals[i] = l.read(ctx, signal, now) })
	}
	wg.Wait()
	return v
}

// look fills in what the platform says.
func (l *loop) look(ctx context.Context, v *view) {
	status, err := l.grip.status(ctx)
	if err != nil {
		v.Err = err.Error()
		return
	}
	v.Desired, v.Ready, v.Starting = status.Desired, status.Ready, status.Starting+status.Pending
	v.Updating = status.Updating
	v.rev = status.Rev
}

// read runs one signal's query.
func (l *loop) read(ctx context.Context, signal policy.Signal, now time.Time) decide.Reading {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	samples, err := l.samples(ctx, signal, now)
	if err != nil {
		l.metrics.queryErrors.WithLabelValues(l.app.Name, signal.Name).Inc()
		return decide.Reading{Signal: signal.Name, Err: err.Error()}
	}
	if problem := shape(signal, samples); problem != "" {
		return decide.Reading{Signal: signal.Name, Err: problem}
	}
	return decide.Reading{Signal: signal.Name, Samples: readings(signal, samples)}
}

// samples are a signal's, each with the time at which it was measured. The
// result of an expression carries the time of the query and would look fresh
// for as long as its range reaches back; what we select ourselves we can ask
// for the time of the newest sample behind it.
func (l *loop) samples(ctx context.Context, signal policy.Signal, now time.Time) ([]Sample, error) {
	samples, err := l.query.Query(ctx, signal.PromQL(l.app.Target), now, signal.MaxAge)
	if err != nil || signal.Source == policy.Query {
		return samples, err
	}
	times, err := l.query.Query(ctx, ageQuery(signal, l.app.Target), now, signal.MaxAge)
	if err != nil {
		return nil, fmt.Errorf("age of the samples: %w", err)
	}
	return dated(samples, times), nil
}

// ageQuery is the query for the times, in seconds since 1970, of the newest
// samples behind a cpu or memory signal.
func ageQuery(signal policy.Signal, t policy.Target) string {
	name := "container_cpu_usage_seconds_total"
	if signal.Source == policy.Memory {
		name = "container_memory_working_set_bytes"
	}
	return "timestamp(" + name + `{container_label_com_docker_swarm_service_name=` + strconv.Quote(t.Service) + "})"
}

// dated returns the samples that have a time among times, with that time. One
// without is the echo of a replica that is no longer heard.
func dated(samples, times []Sample) []Sample {
	at := make(map[string]time.Time, len(times))
	for _, s := range times {
		if !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) {
			at[container(s.Labels)] = time.UnixMilli(int64(math.Round(s.Value * 1000)))
		}
	}
	var kept []Sample
	for _, s := range samples {
		if t, ok := at[container(s.Labels)]; ok {
			s.At = t
			kept = append(kept, s)
		}
	}
	return kept
}

// shape tells what is wrong with the number of series, if anything is.
func shape(signal policy.Signal, samples []Sample) string {
	single := signal.Whole()
	switch n := len(samples); {
	case n == 0 && signal.Of == policy.Limit:
		return "no container is heard that has a limit"
	case n == 0 && signal.Source != policy.Query:
		return "no container is heard"
	case n == 0:
		return "the query returns nothing"
	case single && n > 1:
		return fmt.Sprintf("the query returns %d series where one is meant: aggregate them, for instance with sum(…)", n)
	case n > maxSeries:
		return fmt.Sprintf("the query returns %d series, more than %d: aggregate them to one for each replica", n, maxSeries)
	}
	return ""
}

// readings turns samples into what decide knows. A value that is meant for the
// whole workload, or has no labels, speaks for all replicas.
func readings(signal policy.Signal, samples []Sample) []decide.Sample {
	out := make([]decide.Sample, len(samples))
	for i, s := range samples {
		out[i] = decide.Sample{At: s.At, Value: s.Value}
		switch {
		case signal.Source != policy.Query:
			out[i].Replica = container(s.Labels)
		case signal.Type == policy.Track && signal.Kind != policy.Total:
			out[i].Replica = series(s.Labels)
		}
	}
	return out
}

// container names the container that a series of ours is of.
func container(labels map[string]string) string { return labels["node"] + labels["id"] }

// series names a series by all its labels, of which a query of the user may
// have any.
func series(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, name+"="+strconv.Quote(labels[name]))
	}
	return strings.Join(pairs, " ")
}

package scaler

import (
	"context"
	"fmt"
	"maps"
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
func (l *loop) observe(ctx context.Context, r *round) view {
	app := l.app
	v := view{Observation: decide.Observation{Now: l.now(), Signals: make([]decide.Reading, len(app.Signals))}}
	heard := make([][]Sample, len(app.Signals))
	var wg sync.WaitGroup
	wg.Go(func() { l.look(ctx, r, &v) })
	read := func(i int) { v.Signals[i], heard[i] = l.read(ctx, r, &app.Signals[i]) }
	for i := 1; i < len(app.Signals); i++ {
		wg.Go(func() { read(i) })
	}
	if len(app.Signals) > 0 {
		read(0) // most policies have one, which needs no goroutine of its own
	}
	wg.Wait()
	if ctx.Err() == nil {
		l.conclude(&v, heard)
	}
	return v
}

// look fills in what the platform says.
func (l *loop) look(ctx context.Context, r *round, v *view) {
	status, err := r.status(ctx, l.app, l.grip)
	if err != nil {
		v.Err = err.Error()
		return
	}
	v.Desired, v.Ready, v.Starting = status.Desired, status.Ready, status.Starting+status.Pending
	v.Failing, v.Updating = status.Failing, status.Updating
	v.rev = status.Rev
}

// conclude adds what follows from what was seen now and before.
func (l *loop) conclude(v *view, heard [][]Sample) {
	if v.Err == "" {
		l.boots.see(v.Now, v.Desired, v.Ready, v.Updating)
	}
	v.Boot = l.boots.p95()
	v.Lost = l.hosts.lost(l.app, v.Now, heard, v.Ready, l.away)
	v.Frozen = l.frozen(sight(v.Observation))
	l.hints(&v.Observation)
}

// sight is whether a policy has its data. Of a workload that does not run, there
// is none to be had.
func sight(o decide.Observation) vision {
	switch {
	case o.Err != "" || o.Ready == 0:
		return unknown
	case slices.ContainsFunc(o.Signals, func(r decide.Reading) bool { return r.Err != "" }):
		return blind
	}
	return sees
}

// read runs one signal's query. What it says of containers it returns as well.
func (l *loop) read(ctx context.Context, r *round, signal *policy.Signal) (decide.Reading, []Sample) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	reading := decide.Reading{Signal: signal.Name}
	var samples []Sample
	var err error
	if shape, ok := signal.Shape(); ok {
		var f findings
		f, err = r.read(ctx, shape, l.app.Target.Service)
		samples, reading.Throttled, reading.Pressure = f.samples, f.throttled, f.pressure
	} else {
		samples, err = r.ask(ctx, signal.Query, signal.MaxAge)
		if err == nil && len(samples) == 0 && signal.OnEmpty == policy.EmptyZero {
			return l.empty(ctx, r, signal), nil
		}
	}
	if err != nil {
		l.metrics.queryErrors.WithLabelValues(l.app.Name, signal.Name).Inc()
		return decide.Reading{Signal: signal.Name, Err: err.Error()}, nil
	}
	if what := wrong(signal, samples); what != "" {
		return decide.Reading{Signal: signal.Name, Err: what}, nil
	}
	reading.Samples = readings(signal, samples)
	return reading, samples
}

// empty is what an answer without series means where the policy takes it for
// zero: that, if the guard returns something.
func (l *loop) empty(ctx context.Context, r *round, signal *policy.Signal) decide.Reading {
	vouched, err := r.ask(ctx, signal.Guard, signal.MaxAge)
	switch {
	case err != nil:
		l.metrics.queryErrors.WithLabelValues(l.app.Name, signal.Name).Inc()
		return decide.Reading{Signal: signal.Name, Err: "the query returns nothing, and its guard fails: " + err.Error()}
	case len(vouched) == 0:
		return decide.Reading{Signal: signal.Name, Err: "the query returns nothing, and so does its guard"}
	}
	return decide.Reading{Signal: signal.Name, Empty: true, Samples: []decide.Sample{{At: r.at}}}
}

// wrong tells what is wrong with the number of series, if anything is.
func wrong(signal *policy.Signal, samples []Sample) string {
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
func readings(signal *policy.Signal, samples []Sample) []decide.Sample {
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

package scaler

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// world is a platform under a load, and a store that knows the load. Its time
// is the bubble's.
type world struct {
	platform fake.Platform

	mu     sync.Mutex
	load   float64
	answer func(ctx context.Context) ([]Sample, error) // instead of the load
}

// set changes the load that the store tells.
func (w *world) set(load float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.load, w.answer = load, nil
}

// spoil makes the store answer otherwise.
func (w *world) spoil(answer func(ctx context.Context) ([]Sample, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// Query answers the query "load".
func (w *world) Query(ctx context.Context, promql string, at time.Time, _ time.Duration) ([]Sample, error) {
	w.mu.Lock()
	load, answer := w.load, w.answer
	w.mu.Unlock()
	if promql == "load" && answer != nil {
		return answer(ctx)
	}
	return []Sample{{At: at, Value: load}}, nil
}

// holding is a policy that keeps each replica of web at a load of 10.
func holding(mode policy.Mode) policy.App {
	return policy.App{
		Name: "web", Mode: mode, Interval: 2 * time.Second,
		Target: policy.Target{Driver: "fake", Service: "web"},
		Min:    1, Max: 20,
		Signals: []policy.Signal{{
			Name: "load", Type: policy.Track, Source: policy.Query, Query: "load",
			Kind: policy.Total, Target: policy.Amount{Value: 10, Unit: policy.Plain}, MaxAge: 15 * time.Second,
		}},
		Out: policy.Out{Rate: []policy.Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}}},
		In: policy.In{
			DeadBand: 0.1, Window: 5 * time.Minute,
			Rate: []policy.Rate{{Replicas: 1, Percent: 0.1, Per: time.Minute}},
		},
	}
}

// scene is a world with a scaler in it.
type scene struct {
	*world
	t      *testing.T
	scaler *Scaler
	reg    *prometheus.Registry
	end    func()
}

// play starts a scaler over web with n replicas, in a bubble.
func play(t *testing.T, w *world, opts Options) *scene {
	t.Helper()
	return playOver(t, w, w, opts)
}

// playOver is play with another store.
func playOver(t *testing.T, w *world, store Querier, opts Options) *scene {
	t.Helper()
	s := &scene{world: w, t: t, reg: prometheus.NewRegistry()}
	opts.Query, opts.Registerer = store, s.reg
	opts.Drivers = map[string]driver.Driver{"fake": &w.platform}
	var err error
	if s.scaler, err = New(opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.scaler.Run(ctx) }()
	s.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.end)
	return s
}

// pass lets time go by, and what it brings with it be done.
func (s *scene) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (s *scene) replicas() int { return len(s.platform.Replicas(web)) }

// last is the last tick of the policy web.
func (s *scene) last() journal.Entry {
	s.t.Helper()
	all := s.scaler.Policies()
	if len(all) == 0 || all[0].Last == nil {
		s.t.Fatal("no tick yet")
	}
	return *all[0].Last
}

// metric is the value of a counter or gauge, whose labels are as text.
func (s *scene) metric(name, labels string) float64 {
	s.t.Helper()
	m := s.find(name, labels)
	if m == nil {
		return math.NaN()
	}
	return m.GetGauge().GetValue() + m.GetCounter().GetValue()
}

// sum is that of a histogram, whose labels are as text.
func (s *scene) sum(name, labels string) float64 {
	s.t.Helper()
	m := s.find(name, labels)
	if m == nil {
		return math.NaN()
	}
	return m.GetHistogram().GetSampleSum()
}

// find returns nil if there is no such metric.
func (s *scene) find(name, labels string) *dto.Metric {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var pairs []string
			for _, l := range m.GetLabel() {
				pairs = append(pairs, l.GetName()+"="+l.GetValue())
			}
			if f.GetName() == "plimsoll_scaler_"+name && strings.Join(pairs, ",") == labels {
				return m
			}
		}
	}
	return nil
}

// stage runs a story in a bubble: web has n replicas at a load that suits them.
func stage(t *testing.T, n int, story func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{load: float64(n) * 10}
		w.platform.Boot = 20 * time.Second
		w.platform.Add(web, n)
		story(t, w)
	})
}

package scaler_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
	"github.com/plimsoll-io/plimsoll/scaler/explain"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// load is a store that knows one number. No test asks a real engine for more
// than five replicas.
type load struct{ value atomic.Int64 }

func (l *load) Query(_ context.Context, _ string, at time.Time, _ time.Duration) ([]scaler.Sample, error) {
	return []scaler.Sample{{At: at, Value: float64(l.value.Load())}}, nil
}

// drive scales the service web of an engine by l until the test ends.
func drive(t *testing.T, e *engine.Engine, mode policy.Mode, l *load) *scaler.Scaler {
	t.Helper()
	d, err := swarm.New(swarm.Options{Host: e.Host()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := scaler.New(scaler.Options{
		Policies: []policy.App{{
			Name: "web", Mode: mode, Interval: 200 * time.Millisecond,
			Target: policy.Target{Driver: "swarm", Service: "web"}, Min: 1, Max: 4,
			Signals: []policy.Signal{{
				Name: "load", Type: policy.Track, Source: policy.Query, Query: "load",
				Kind: policy.Total, Target: policy.Amount{Value: 10, Unit: policy.Plain}, MaxAge: 15 * time.Second,
			}},
			Out: policy.Out{Rate: []policy.Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}}},
			In:  policy.In{DeadBand: 0.1, Window: 3 * time.Second, Rate: []policy.Rate{{Replicas: 5, Per: time.Minute}}},
		}},
		Query:   l,
		Drivers: map[string]driver.Driver{"swarm": d},
		Ceiling: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = d.Close()
	})
	return s
}

// eventually waits until what is true, and returns how long that took.
func eventually(t *testing.T, s *scaler.Scaler, what string, is func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-again.C:
		case <-deadline:
			var why strings.Builder
			if last := s.Policies()[0].Last; last != nil {
				_ = explain.Write(&why, *last)
			}
			t.Fatalf("not %s within a minute\n%s", what, &why)
		}
	}
	return time.Since(begin)
}

// running maps the ids of the tasks of web that run to nothing.
func running(e *engine.Engine) map[string]bool {
	ids := make(map[string]bool)
	out := e.Docker("service", "ps", "--no-trunc", "--filter", "desired-state=running", "--format", "{{.ID}} {{.CurrentState}}", "web")
	for line := range strings.Lines(out) {
		if id, state, _ := strings.Cut(line, " "); strings.HasPrefix(state, "Running") {
			ids[id] = true
		}
	}
	return ids
}

func TestARealServiceFollowsItsLoad(t *testing.T) {
	e := engine.Start(t)
	e.Swarm()
	e.Service("web", []string{"--replicas", "1", "--stop-grace-period", "100ms"}, "sleep", "1000")
	var l load
	l.value.Store(8)
	s := drive(t, e, policy.Active, &l)
	eventually(t, s, "one running", func() bool { return len(running(e)) == 1 })
	first := running(e)

	l.value.Store(28)
	took := eventually(t, s, "three running", func() bool { return len(running(e)) == 3 })
	t.Logf("three replicas run %v after the step", took.Round(10*time.Millisecond))
	for id := range first {
		if !running(e)[id] {
			t.Errorf("task %s was replaced by the scale-out; now %v", id, slices.Collect(maps.Keys(running(e))))
		}
	}

	l.value.Store(8)
	took = eventually(t, s, "one running", func() bool { return len(running(e)) == 1 })
	t.Logf("one replica runs %v after the load", took.Round(10*time.Millisecond))
}

func TestARealEngineSeesNoWriteInAdviseMode(t *testing.T) {
	e := engine.Start(t)
	e.Swarm()
	e.Service("web", []string{"--replicas", "1", "--stop-grace-period", "100ms"}, "sleep", "1000")
	var l load
	l.value.Store(8)
	s := drive(t, e, policy.Advise, &l)
	eventually(t, s, "one running", func() bool { return len(running(e)) == 1 })
	version := e.Docker("service", "inspect", "--format", "{{.Version.Index}} {{.UpdatedAt}}", "web")

	l.value.Store(28)
	advised := time.Time{}
	eventually(t, s, "advice to run three for two seconds", func() bool {
		last := s.Policies()[0].Last
		if last == nil || last.Decision.To != 3 {
			return false
		}
		if advised.IsZero() {
			advised = last.At()
		}
		return last.At().Sub(advised) >= 2*time.Second
	})
	if now := e.Docker("service", "inspect", "--format", "{{.Version.Index}} {{.UpdatedAt}}", "web"); now != version {
		t.Errorf("version and time of the service were %s and are %s: something wrote", version, now)
	}
}

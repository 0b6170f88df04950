package faults

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/internal/faults"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const (
	boot   = 20 * time.Second
	second = time.Second
	limits = 10 * time.Second // between two readings of limits
)

var web = driver.Workload{Name: "web"}

// outcome is what a scaler did to a workload under a script.
type outcome struct {
	changes []faults.Change
	why     map[faults.Change]string
	desired int
	last    string // why it is what it is
	crashed bool   // the script ends while replicas crash
}

// world is a workload, the agents that measure it, and the store they send to. Its
// time is the bubble's.
type world struct {
	script *faults.Script
	signal faults.Signal
	naive  bool // nothing, and what is no number, is taken for 0
	begin  time.Time

	platform fake.Platform
	db       *tsdb.DB
	engine   *promql.Engine

	cpu   map[string]float64 // of each replica, as its counter says
	names int                // generation of the series' names
	held  []held             // samples under way

	mu   sync.Mutex
	gone bool // the platform has no such workload
	skew time.Duration
}

// held is a sample that is still to come.
type held struct {
	due    time.Duration
	at     int64
	labels labels.Labels
	value  float64
}

// play lets a scaler follow a script, one that is naive or not.
func play(t *testing.T, s *faults.Script, signal faults.Signal, naive bool) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{script: s, signal: signal, naive: naive, begin: time.Now(), cpu: make(map[string]float64)}
		w.platform.Boot = boot
		w.platform.Add(web, s.Replicas)
		opts := tsdb.DefaultOptions()
		opts.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
		var err error
		if w.db, err = tsdb.Open(t.TempDir(), nil, nil, opts, nil); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := w.db.Close(); err != nil {
				t.Error(err)
			}
		}()
		w.engine = query.NewEngine(query.EngineOptions{Name: "faults"})
		o = w.run(t)
	})
	return o
}

// run is the script, second by second.
func (w *world) run(t *testing.T) outcome {
	o := outcome{why: make(map[faults.Change]string)}
	state := "" // where nothing restarts, nothing is read
	if slices.ContainsFunc(w.script.Faults, func(f faults.Fault) bool { return f.Kind == faults.Restart || f.Kind == faults.Forget }) {
		state = filepath.Join(t.TempDir(), "state.json")
	}
	runs := w.start(t, state)
	seen := 0
	for at := time.Duration(0); at < w.script.Length; at += second {
		w.harm(at)
		w.measure(t, at)
		if away := w.away(at); away == (runs != nil) {
			if away {
				runs.stop(t)
				runs = nil
				if _, forgets := w.script.Active(faults.Forget, at); forgets {
					state = filepath.Join(t.TempDir(), "state.json")
				}
			} else {
				runs = w.start(t, state)
			}
		}
		<-time.After(second)
		synctest.Wait()
		writes := w.platform.Writes()
		for _, write := range writes[seen:] {
			c := faults.Change{At: at, From: write.From, To: write.To}
			o.changes = append(o.changes, c)
			o.why[c] = runs.why()
		}
		seen = len(writes)
		o.last = runs.why()
	}
	if runs != nil {
		runs.stop(t)
	}
	o.desired = len(w.platform.Replicas(web))
	_, o.crashed = w.script.Active(faults.Crash, w.script.Length-second)
	return o
}

// away tells whether the scaler does not run.
func (w *world) away(at time.Duration) bool {
	_, restarts := w.script.Active(faults.Restart, at)
	_, forgets := w.script.Active(faults.Forget, at)
	return restarts || forgets
}

// ready is how many replicas serve.
func (w *world) ready() int {
	s, err := w.platform.Status(context.Background(), web)
	if err != nil {
		return 0
	}
	return s.Ready
}

// Now is the scaler's clock.
func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// Query implements scaler.Querier over the store.
func (w *world) Query(ctx context.Context, text string, at time.Time, lookback time.Duration) ([]scaler.Sample, error) {
	vector, err := query.Instant(ctx, w.engine, w.db, text, at, lookback)
	if err != nil {
		return nil, err
	}
	samples := make([]scaler.Sample, len(vector))
	for i, s := range vector {
		samples[i] = scaler.Sample(s)
		if w.naive && math.IsNaN(s.Value) {
			samples[i].Value = 0
		}
	}
	if w.naive && len(samples) == 0 {
		samples = append(samples, scaler.Sample{At: at})
	}
	return samples, nil
}

// flaky is the platform while it may have no such workload.
type flaky struct{ *world }

// Status implements driver.Driver.
func (f flaky) Status(ctx context.Context, wl driver.Workload) (driver.Status, error) {
	if f.absent() {
		return driver.Status{}, fmt.Errorf("look at %s: %w", wl, driver.ErrNotFound)
	}
	return f.platform.Status(ctx, wl)
}

// Scale implements driver.Driver.
func (f flaky) Scale(ctx context.Context, wl driver.Workload, n int, rev driver.Rev, epoch uint64) error {
	if f.absent() {
		return fmt.Errorf("scale %s: %w", wl, driver.ErrNotFound)
	}
	return f.platform.Scale(ctx, wl, n, rev, epoch)
}

func (w *world) absent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// running is a scaler that runs.
type running struct {
	scaler *scaler.Scaler
	cancel context.CancelFunc
	ended  chan error
}

// policies are the policy for each signal: its defaults, but for the target.
func policies(signal faults.Signal) string {
	line := map[faults.Signal]string{
		faults.CPU:     `{source: cpu, target: 50%}`,
		faults.Average: `{name: busy, source: query, kind: average, query: 'sum by (node, id) (work_under_way{service="web"})', target: 0.5}`,
		faults.Total:   `{name: load, source: query, query: 'load{service="web"}', target: 0.5}`,
	}[signal]
	return fmt.Sprintf(`version: %s
apps:
- name: web
  mode: active
  target: {driver: swarm, service: web}
  interval: 5s
  min: 1
  max: 100
  signals: [%s]
`, policy.Version, line)
}

func (w *world) start(t *testing.T, state string) *running {
	t.Helper()
	file, err := policy.Parse("policy.yml", []byte(policies(w.signal)), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := scaler.New(scaler.Options{
		Policies: file.Apps, Query: w, Drivers: map[string]driver.Driver{"swarm": flaky{w}},
		StateFile: state, Nodes: w, Now: w.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{scaler: s, ended: make(chan error, 1)}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.ended <- s.Run(ctx) }()
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

// why is the last decision.
func (r *running) why() string {
	if r == nil || len(r.scaler.Policies()) == 0 {
		return ""
	}
	last := r.scaler.Policies()[0].Last
	if last == nil {
		return ""
	}
	return last.Decision.Why()
}

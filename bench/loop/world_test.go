// Package loop measures what it costs to evaluate many policies over a real store,
// and holds the number of its questions to a budget.
//
//	go test -run '^$' -bench Policies -benchtime 1x -v ./bench/loop
package loop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// world is a store with the containers of many services in it.
type world struct {
	store    *store.Store
	engine   *promql.Engine
	platform fake.Platform
	asked    atomic.Int64
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Options{Dir: tb.TempDir(), Ballast: store.Space{Bytes: -1}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return &world{store: s, engine: query.NewEngine(query.EngineOptions{Name: "decisions"})}
}

// Query implements scaler.Querier as the collector does.
func (w *world) Query(ctx context.Context, text string, at time.Time, lookback time.Duration) ([]scaler.Sample, error) {
	w.asked.Add(1)
	vector, err := query.Instant(ctx, w.engine, w.store, text, at, lookback)
	if err != nil {
		return nil, err
	}
	samples := make([]scaler.Sample, len(vector))
	for i, s := range vector {
		samples[i] = scaler.Sample(s)
	}
	return samples, nil
}

func service(i int) string { return fmt.Sprintf("stack%d_service-%d", i%40, i) }

// container is what an agent tells of one, beside its name.
func container(service string, replica int) []string {
	return []string{
		"id", fmt.Sprintf("/docker/%s-%d", service, replica), "name", fmt.Sprintf("%s.%d.k2v9", service, replica),
		"image", "registry/shop:1.2", "job", "cadvisor", "node", fmt.Sprintf("node-%d", (len(service)+replica)%20), "instance", "node:9100",
		"container_label_com_docker_swarm_node_id", "u0h5", "container_label_com_docker_swarm_task_id", fmt.Sprintf("t%d", replica),
		"container_label_com_docker_stack_namespace", "shop", policy.ServiceLabel, service,
	}
}

// fill stores what is told of the containers of n services, each with some
// replicas, from one time to another. Each uses so much of its limit of one core.
func (w *world) fill(tb testing.TB, n, replicas int, from, to time.Time, use func(service int) float64) {
	tb.Helper()
	type one struct {
		ref   storage.SeriesRef
		ls    labels.Labels
		every int
		value func(second int) float64
	}
	var all []*one
	for i := range n {
		for r := range replicas {
			ls, use, offset := container(service(i), r), use(i), rand.Float64()
			add := func(name string, every int, value func(int) float64) {
				all = append(all, &one{ls: labels.FromStrings(append([]string{"__name__", name}, ls...)...), every: every, value: value})
			}
			count := func(rate float64) func(int) float64 {
				return func(second int) float64 { return (float64(second) + offset) * rate }
			}
			gauge := func(v float64) func(int) float64 { return func(int) float64 { return v } }
			add("container_cpu_usage_seconds_total", 1, count(use))
			add("container_memory_working_set_bytes", 1, gauge(use*1e9))
			add("container_cpu_cfs_periods_total", 1, count(10))
			add("container_cpu_cfs_throttled_periods_total", 1, count(0.5))
			add("container_pressure_cpu_waiting_seconds_total", 5, count(0.02))
			add("container_spec_cpu_quota", 15, gauge(100_000))
			add("container_spec_cpu_period", 15, gauge(100_000))
			add("container_spec_memory_limit_bytes", 15, gauge(1e9))
		}
	}
	for second := 0; !from.Add(time.Duration(second) * time.Second).After(to); second++ {
		app := w.store.AppenderV2(tb.Context())
		at := from.Add(time.Duration(second) * time.Second)
		for _, s := range all {
			if second%s.every != 0 {
				continue
			}
			ref, err := app.Append(s.ref, s.ls, 0, at.UnixMilli(), s.value(second), nil, nil, storage.AOptions{})
			if err != nil {
				tb.Fatal(err)
			}
			s.ref = ref
		}
		if err := app.Commit(); err != nil {
			tb.Fatal(err)
		}
	}
}

// policies are of the first n services, each with the signals.
func (w *world) policies(n, replicas int, signals ...policy.Signal) []policy.App {
	apps := make([]policy.App, n)
	for i := range apps {
		apps[i].SetDefaults()
		apps[i].Name, apps[i].Mode, apps[i].Max = fmt.Sprintf("policy-%d", i), policy.Active, 20
		apps[i].Target = policy.Target{Driver: "swarm", Service: service(i)}
		apps[i].Signals = signals
		w.platform.Add(driver.Workload{Name: service(i)}, replicas)
	}
	return apps
}

// cpu is a signal as a file that says no more than target: 60% has it.
func cpu() policy.Signal {
	var s policy.Signal
	s.SetDefaults()
	s.Name, s.Source, s.Of, s.Kind, s.Window = "cpu", policy.CPU, policy.Limit, policy.Utilization, 5*time.Second
	s.Target, s.Saturation = policy.Amount{Value: 0.6, Unit: policy.Share}, policy.Saturation{Above: 0.95, Boost: 3}
	return s
}

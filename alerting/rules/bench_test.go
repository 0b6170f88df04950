package rules_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// BenchmarkPack is one evaluation of the whole pack over 1 000 containers that
// are well, with fifteen minutes of history at the agent's default lanes. It is
// what the default interval of 15 s is chosen by, and which groups are evaluated
// on arrival. Other work on the machine disturbs processor time the least.
func BenchmarkPack(b *testing.B) {
	const containers, history = 1000, 15 * time.Minute
	db, err := tsdb.Open(b.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	type moving struct {
		name         string
		start, grows float64 // in a second
	}
	lanes := map[time.Duration][]moving{
		time.Second: {
			{"container_cpu_usage_seconds_total", 100, 0.2},
			{"container_cpu_cfs_periods_total", 1000, 10},
			{"container_cpu_cfs_throttled_periods_total", 10, 0.1},
		},
		5 * time.Second: {
			{"container_memory_working_set_bytes", 3e8, 4096},
			{"container_pressure_cpu_waiting_seconds_total", 10, 0.01},
			{"container_pressure_memory_waiting_seconds_total", 10, 0},
			{"container_pressure_memory_stalled_seconds_total", 10, 0},
			{"container_pressure_io_stalled_seconds_total", 10, 0.01},
			{"container_network_receive_packets_total", 1e6, 100},
			{"container_network_transmit_packets_total", 1e6, 100},
			{"container_network_receive_errors_total", 0, 0},
			{"container_network_transmit_errors_total", 0, 0},
		},
		15 * time.Second: {
			{"container_threads", 20, 0},
			{"container_threads_max", 1000, 0},
			{"container_health_state", 1, 0},
			{"container_spec_memory_limit_bytes", 1e9, 0},
			{"container_spec_cpu_quota", 1e5, 0},
			{"container_spec_cpu_period", 1e5, 0},
			{"container_oom_events_total", 0, 0},
			{"container_start_time_seconds", 1.7e9, 0},
		},
	}
	now := time.Now()
	for lane, names := range lanes {
		for c := range containers {
			app := db.Appender(b.Context())
			for _, m := range names {
				series := labels.NewBuilder(labels.FromStrings("__name__", m.name, "id", "/docker/"+strconv.Itoa(c), "name", "c"+strconv.Itoa(c), "image", "nginx", "node", "n1", "job", "cadvisor"))
				if m.name == "container_cpu_usage_seconds_total" {
					series.Set("cpu", "total")
				}
				var ref uint64
				value := m.start
				for at := now.Add(-history); !at.After(now); at = at.Add(lane) {
					value += m.grows * lane.Seconds()
					next, err := app.Append(storage.SeriesRef(ref), series.Labels(), at.UnixMilli(), value)
					if err != nil {
						b.Fatal(err)
					}
					ref = uint64(next)
				}
			}
			if err := app.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 5e7, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	defer engine.Close()
	set, problems := rules.Read(nil, true)
	if err := problems.Err(); err != nil {
		b.Fatal(err)
	}
	loader := rules.NewLoader()
	loader.Use(set)
	manager := promrules.NewManager(&promrules.ManagerOptions{
		Appendable: db, Queryable: db, GroupLoader: loader,
		QueryFunc:  promrules.EngineQueryFunc(engine, db),
		NotifyFunc: func(context.Context, string, ...*promrules.Alert) {},
	})
	groups, errs := manager.LoadGroups(5*time.Second, labels.EmptyLabels(), "", nil, false, set.Files()...)
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	used := map[string]time.Duration{}
	for b.Loop() {
		now = now.Add(time.Millisecond)
		for _, g := range groups {
			before := processorTime(b)
			g.Eval(b.Context(), now)
			used[g.Name()] += processorTime(b) - before
		}
	}
	for _, g := range groups {
		b.ReportMetric(used[g.Name()].Seconds()*1e3/float64(b.N), "cpu-ms/"+g.Name())
		for _, r := range g.Rules() {
			if r.LastError() != nil {
				b.Fatal(r.LastError())
			}
			b.ReportMetric(r.GetEvaluationDuration().Seconds()*1e3, "ms/"+r.Name())
		}
	}
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

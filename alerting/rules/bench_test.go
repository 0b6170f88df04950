package rules_test

import (
	"context"
	"strconv"
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
// what the default interval of 5 s is chosen by.
func BenchmarkPack(b *testing.B) {
	const containers, history = 1000, 15 * time.Minute
	db, err := tsdb.Open(b.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	lanes := map[time.Duration][]string{
		time.Second:      {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_cpu_cfs_periods_total", "container_cpu_cfs_throttled_periods_total"},
		15 * time.Second: {"container_spec_memory_limit_bytes", "container_spec_cpu_quota", "container_spec_cpu_period", "container_oom_events_total", "container_start_time_seconds"},
	}
	now := time.Now()
	for lane, names := range lanes {
		for c := range containers {
			app := db.Appender(b.Context())
			for _, name := range names {
				series := labels.NewBuilder(labels.FromStrings("__name__", name, "id", "/docker/"+strconv.Itoa(c), "name", "c"+strconv.Itoa(c), "image", "nginx", "node", "n1", "job", "cadvisor"))
				if name == "container_cpu_usage_seconds_total" {
					series.Set("cpu", "total")
				}
				var ref uint64
				value := 0.0
				for at := now.Add(-history); !at.After(now); at = at.Add(lane) {
					if name != "container_oom_events_total" {
						value++
					}
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
	for b.Loop() {
		now = now.Add(time.Millisecond)
		for _, g := range groups {
			g.Eval(b.Context(), now)
		}
	}
	for _, g := range groups {
		for _, r := range g.Rules() {
			if r.LastError() != nil {
				b.Fatal(r.LastError())
			}
			b.ReportMetric(r.GetEvaluationDuration().Seconds()*1e3, "ms/"+r.Name())
		}
	}
}

package policy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// allDrivers are those that the format has keys for.
var allDrivers = policy.Options{Drivers: []string{"swarm", "compose", "kubernetes", "marathon"}}

// same leaves out what is worked out of the rest.
var same = cmpopts.IgnoreUnexported(policy.Schedule{})

// examples are the files of testdata/examples by their names, each with one policy.
func examples(t testing.TB) map[string]policy.App {
	t.Helper()
	files, err := filepath.Glob("testdata/examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, error %v", len(files), err)
	}
	apps := map[string]policy.App{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := policy.Parse(filepath.Base(file), data, allDrivers)
		if err != nil {
			t.Fatal(err)
		}
		apps[strings.TrimSuffix(filepath.Base(file), ".yaml")] = f.Apps[0]
	}
	return apps
}

func TestTheWorkedExamplesAreReadToTheLetter(t *testing.T) {
	base := func(change func(*policy.App)) policy.App {
		var a policy.App
		a.SetDefaults()
		a.Ceiling = policy.DefaultCeiling
		change(&a)
		return a
	}
	signal := func(change func(*policy.Signal)) policy.Signal {
		var s policy.Signal
		s.SetDefaults()
		change(&s)
		return s
	}
	query := func(name, promql string, back time.Duration) policy.Signal {
		return signal(func(s *policy.Signal) {
			s.Name, s.Source, s.Query, s.Back, s.OnEmpty = name, policy.Query, promql, back, policy.EmptyInvalid
		})
	}
	number := func(v float64) policy.Amount { return policy.Amount{Value: v, Unit: policy.Plain} }
	share := func(v float64) policy.Amount { return policy.Amount{Value: v, Unit: policy.Share} }

	want := map[string]policy.App{
		"flash-sale": base(func(a *policy.App) {
			a.Name, a.Min, a.Max = "shop-web", 4, 120
			a.Target = policy.Target{Driver: "swarm", Service: "shop_web"}
			rps := query("rps", `sum(rate(http_requests_total{service="shop_web"}[10s]))`, 10*time.Second)
			rps.Kind, rps.Target = policy.Total, number(250)
			a.Signals = []policy.Signal{rps, signal(func(s *policy.Signal) {
				s.Name, s.Source, s.Of, s.Kind, s.Target = "cpu", policy.CPU, policy.Limit, policy.Utilization, share(0.6)
				s.Window, s.Saturation = 5*time.Second, policy.Saturation{Above: 0.95, Boost: 3}
			})}
			a.Panic = &policy.Panic{Threshold: 1.5, Hold: 2 * time.Minute, MaxAdd: 60}
			at := time.Date(2026, 11, 11, 0, 0, 0, 0, time.FixedZone("", 8*3600))
			a.Events = []policy.Event{{Name: "double11", At: at, AtText: at.Format(time.RFC3339), Duration: 2 * time.Hour, Factor: 8, Base: policy.SameHourLastWeek}}
			a.Schedules = []policy.Schedule{{
				Name: "evening", Cron: "30 19 * * *", Duration: 3 * time.Hour, TZ: "Asia/Shanghai", Floor: 20, Ramp: 10 * time.Minute, Lead: policy.Span{Auto: true},
			}}
			a.Forecast = &policy.Forecast{Enabled: true, Season: policy.Weekly, Quantile: 0.9, MinGain: 0.2, MaxCost: 0.15, MaxFactor: 2}
			a.Fallback = &policy.Fallback{After: 2 * time.Minute, Action: policy.AtLeast, Replicas: 20}
		}),
		"deployment": base(func(a *policy.App) {
			a.Name, a.Min, a.Max = "checkout", 3, 60
			a.Target = policy.Target{Driver: "kubernetes", Context: "prod", Namespace: "shop", Kind: "Deployment", Name: "checkout"}
			p99 := query("p99", `histogram_quantile(0.99,sum by (le)(rate(req_seconds_bucket{app="checkout"}[1m])))`, time.Minute)
			p99.Type = policy.Steps
			p99.Rows = []policy.Row{{Above: number(0.4), Add: share(0.2)}, {Above: number(0.8), Add: share(0.5)}, {Below: number(0.1), Remove: number(1)}}
			a.Signals = []policy.Signal{signal(func(s *policy.Signal) {
				s.Name, s.Source, s.Of, s.Kind, s.Target = "cpu", policy.CPU, policy.Request, policy.Utilization, share(0.65)
				s.Window = 5 * time.Second
			}), p99}
			a.In.Window, a.In.Rate = 3*time.Minute, []policy.Rate{{Replicas: 1, Percent: 0.1, Per: time.Minute}}
			a.Budget = &policy.Budget{Changes: 40, Window: time.Hour}
		}),
		"inference": base(func(a *policy.App) {
			a.Name, a.Max = "llm", 16
			a.Target = policy.Target{Driver: "swarm", Service: "llm_vllm"}
			a.Needs = &policy.Needs{CPU: 8, Memory: 64 << 30, GPU: 1}
			waiting := query("waiting", "sum(vllm:num_requests_waiting+vllm:num_requests_running)", 0)
			waiting.Kind, waiting.Target = policy.Total, number(24)
			kv := query("kv", "avg(vllm:gpu_cache_usage_perc)", 0)
			kv.Type, kv.Max, kv.Min, kv.StepOut, kv.StepIn = policy.Threshold, number(0.85), number(0.3), 2, 1
			kv.Window, kv.Samples = 30*time.Second, 2
			a.Signals = []policy.Signal{waiting, kv}
			a.In.Window, a.In.Cooldown, a.StuckAfter = 15*time.Minute, 10*time.Minute, 12*time.Minute
		}),
		"queue": base(func(a *policy.App) {
			a.Name, a.Min, a.Max = "thumb-worker", 0, 30
			a.Target = policy.Target{Driver: "compose", Project: "media", Service: "thumb"}
			a.AllowZero = &policy.AllowZero{IdleFor: 5 * time.Minute}
			backlog := query("backlog", `sum(queue_depth{queue="thumb"})`, 0)
			backlog.Kind, backlog.Target, backlog.MaxAge = policy.Total, number(50), 30*time.Second
			backlog.OnEmpty, backlog.Guard = policy.EmptyZero, `up{job="rabbit"} == 1`
			a.Signals = []policy.Signal{backlog}
		}),
		"thresholds": base(func(a *policy.App) {
			a.Name, a.Max = "web", 10
			a.Target = policy.Target{Driver: "swarm", Service: "web"}
			threshold := func(source policy.Source, most, least float64) policy.Signal {
				return signal(func(s *policy.Signal) {
					s.Name, s.Type, s.Source, s.Of = string(source), policy.Threshold, source, policy.Limit
					s.Max, s.Min, s.StepOut, s.StepIn, s.Window, s.Samples = share(most), share(least), 1, 1, time.Minute, 3
				})
			}
			a.Signals = []policy.Signal{threshold(policy.CPU, 0.8, 0.3), threshold(policy.Memory, 0.9, 0.4)}
			a.In.Window, a.In.Rate, a.Out.Rate = 5*time.Second, []policy.Rate{}, []policy.Rate{}
		}),
	}
	got := examples(t)
	for name, a := range got {
		data, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back policy.App
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(back); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s comes back from JSON as\n%s, not\n%s", name, again, data)
		}
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

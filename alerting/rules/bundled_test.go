package rules_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// step is the interval that samples are loaded at and rules evaluated at.
const step = 5 * time.Second

// pack is the bundled rules on a store that is filled as time goes by.
type pack struct {
	t      *testing.T
	store  *promqltest.LazyLoader
	groups map[string]*promrules.Group
	next   time.Duration // not yet evaluated
}

// load takes series as promqltest writes them, with a value for each step.
func load(t *testing.T, series ...string) *pack {
	t.Helper()
	store, err := promqltest.NewLazyLoader(fmt.Sprintf("load %s\n\t%s\n", model.Duration(step), strings.Join(series, "\n\t")),
		promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	set, problems := rules.Read(nil, true)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	loader := rules.NewLoader()
	loader.Use(set)
	manager := promrules.NewManager(&promrules.ManagerOptions{
		Appendable:  store.Storage(),
		Queryable:   store.Queryable(),
		QueryFunc:   promrules.EngineQueryFunc(store.QueryEngine(), store.Queryable()),
		NotifyFunc:  func(context.Context, string, ...*promrules.Alert) {},
		GroupLoader: loader,
	})
	groups, errs := manager.LoadGroups(step, labels.EmptyLabels(), "", nil, false, set.Files()...)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return &pack{t: t, store: store, groups: groups}
}

// firing evaluates step by step up to a moment and returns what fires then, as
// "Name severity: summary".
func (p *pack) firing(until time.Duration) []string {
	p.t.Helper()
	for ; p.next <= until; p.next += step {
		at := time.Unix(0, 0).UTC().Add(p.next)
		p.store.WithSamplesTill(at, func(err error) {
			if err != nil {
				p.t.Fatal(err)
			}
			for _, g := range p.groups {
				g.Eval(p.t.Context(), at)
			}
		})
	}
	var firing []string
	for _, g := range p.groups {
		for _, rule := range g.AlertingRules() {
			if err := rule.LastError(); err != nil {
				p.t.Fatalf("%s: %v", rule.Name(), err)
			}
			for _, a := range rule.ActiveAlerts() {
				if a.State == promrules.StateFiring {
					firing = append(firing, fmt.Sprintf("%s %s: %s", rule.Name(), a.Labels.Get("severity"), a.Annotations.Get("summary")))
				}
			}
		}
	}
	return firing
}

// moment is when to look, and what should fire then.
type moment struct {
	at   time.Duration
	want string // "" for nothing, else one alert as firing returns it
}

func TestPack(t *testing.T) {
	const (
		near       = "ContainerMemoryNearLimit warning: Container web on n1 uses 95% of its memory limit"
		full       = "ContainerMemoryNearLimit critical: Container web on n1 uses 98% of its memory limit"
		throttled  = "ContainerCPUThrottled warning: Container web on n1 is held back by its CPU limit in 60% of all periods"
		killed     = "ContainerOOMKilled critical: Container web on n1 ran out of memory, and the kernel killed in it 1 time(s) within 5 minutes"
		down       = "AgentDown critical: Nothing has been heard of node n1 for 15 seconds or longer"
		filling    = "CollectorDiskFilling warning: In 5h 33m 20s the disk of collector c1 will have no room for more samples"
		refusing   = "CollectorRefusesSamples critical: Collector c1 takes no samples, as its disk is nearly full or cannot be written"
		damaged    = "CollectorDataDamaged warning: Collector c1 has set 2 damaged part(s) of its data aside"
		leaderless = "NobodyLeads critical: None of the collectors scales, as far as c1 is told"
		unrenewed  = "AgentCertificateExpiring warning: The agent of node n1 does not renew its certificate, and its stream ends in "
		aging      = "AuthorityExpiring warning: In 59d 23h 59m 50s the authority of collector c1 expires, and with it the certificates of all its nodes"
	)
	// own is a series of the collector's own.
	own := func(name, values string) string {
		return name + `{job="plimsoll-collector", instance="c1"} ` + values
	}
	// web is a series of a container as the agent labels it.
	web := func(name, values string) string {
		return name + `{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor"} ` + values
	}
	oom := func(values string) string { return web("container_oom_events_total", values) }
	watched := `up{job="plimsoll-agent", node="n1"} 1x400`

	tests := map[string]struct {
		series  []string
		moments []moment
	}{
		"memory near the limit warns after 30 s and calms down a minute after it is over": {
			[]string{web("container_memory_working_set_bytes", "50x5 95x11 50x40"), web("container_spec_memory_limit_bytes", "100x60")},
			[]moment{{55 * time.Second, ""}, {60 * time.Second, near}, {140 * time.Second, near}, {155 * time.Second, ""}},
		},
		"memory at the limit is critical after 15 s": {
			[]string{web("container_memory_working_set_bytes", "50x5 98x20"), web("container_spec_memory_limit_bytes", "100x60")},
			[]moment{{40 * time.Second, ""}, {45 * time.Second, full}},
		},
		"a peak of memory of 10 s is nobody's business": {
			[]string{web("container_memory_working_set_bytes", "50x5 99x1 50x40"), web("container_spec_memory_limit_bytes", "100x60")},
			[]moment{{35 * time.Second, ""}, {60 * time.Second, ""}, {120 * time.Second, ""}},
		},
		"a container without a limit is never near it": {
			[]string{web("container_memory_working_set_bytes", "95x60"), web("container_spec_memory_limit_bytes", "0x60")},
			[]moment{{60 * time.Second, ""}, {300 * time.Second, ""}},
		},
		"the node as a whole is no container": {
			[]string{`container_memory_working_set_bytes{id="/", node="n1"} 95x60`, `container_spec_memory_limit_bytes{id="/", node="n1"} 100x60`},
			[]moment{{60 * time.Second, ""}},
		},
		"a container that restarts near its limit keeps its alert": {
			[]string{
				web("container_memory_working_set_bytes", "95x10 stale _x60"), web("container_spec_memory_limit_bytes", "100x10 stale _x60"),
				`container_memory_working_set_bytes{id="/docker/bb", name="web", image="nginx:2", node="n1", job="cadvisor"} _x12 95x60`,
				`container_spec_memory_limit_bytes{id="/docker/bb", name="web", image="nginx:2", node="n1", job="cadvisor"} _x12 100x60`,
			},
			[]moment{{50 * time.Second, near}, {55 * time.Second, near}, {60 * time.Second, near}, {80 * time.Second, near}},
		},
		"throttling at high usage hurts": {
			// 50 of 100 ms: 50 periods in 5 s, 30 of them throttled, 0.45 cores.
			// The rate of a new counter takes half a minute to be believed.
			[]string{
				web("container_cpu_cfs_periods_total", "0+50x60"), web("container_cpu_cfs_throttled_periods_total", "0+30x60"),
				`container_cpu_usage_seconds_total{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", cpu="total"} 0+2.25x60`,
				web("container_spec_cpu_quota", "50000x60"), web("container_spec_cpu_period", "100000x60"),
			},
			[]moment{{150 * time.Second, ""}, {155 * time.Second, throttled}, {4 * time.Minute, throttled}},
		},
		"throttling at low usage is only noise": {
			[]string{
				web("container_cpu_cfs_periods_total", "0+50x60"), web("container_cpu_cfs_throttled_periods_total", "0+30x60"),
				`container_cpu_usage_seconds_total{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", cpu="total"} 0+1x60`,
				web("container_spec_cpu_quota", "50000x60"), web("container_spec_cpu_period", "100000x60"),
			},
			[]moment{{4 * time.Minute, ""}},
		},
		"high usage that is hardly throttled is what the quota is for": {
			[]string{
				web("container_cpu_cfs_periods_total", "0+50x60"), web("container_cpu_cfs_throttled_periods_total", "0+5x60"),
				`container_cpu_usage_seconds_total{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", cpu="total"} 0+2.25x60`,
				web("container_spec_cpu_quota", "50000x60"), web("container_spec_cpu_period", "100000x60"),
			},
			[]moment{{4 * time.Minute, ""}},
		},
		"a kill is seen at once and for five minutes": {
			[]string{watched, oom("0x130 1x200")},
			[]moment{{650 * time.Second, ""}, {655 * time.Second, killed}, {950 * time.Second, killed}, {960 * time.Second, ""}},
		},
		"the first kill ever is seen though its counter is born at 1": {
			[]string{watched, web("container_start_time_seconds", "-864000x400"), oom("_x131 1x200")},
			[]moment{{650 * time.Second, ""}, {655 * time.Second, killed}, {950 * time.Second, killed}, {960 * time.Second, ""}},
		},
		"the first kill ever is seen in the first minute of an agent": {
			[]string{watched, web("container_start_time_seconds", "_x4 20x200"), oom("_x5 1x200")},
			[]moment{{20 * time.Second, ""}, {30 * time.Second, killed}, {320 * time.Second, killed}, {340 * time.Second, ""}},
		},
		"a container that is gone after its kill still counts": {
			[]string{watched, oom("0x130 1 stale")},
			[]moment{{655 * time.Second, killed}, {670 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"a container that was killed as soon as it was there still counts": {
			[]string{watched, oom("_x131 1 stale")},
			[]moment{{655 * time.Second, killed}, {670 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"a kill after a restart is seen though the counter is no higher than before": {
			[]string{watched, oom("1x120 0x9 1x200")},
			[]moment{{650 * time.Second, ""}, {655 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"a restart that sets the counter back does not hide the kill": {
			[]string{watched, oom("0x130 1 0x200")},
			[]moment{{655 * time.Second, killed}, {670 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"kills from before the agent came are no news": {
			// The container started ten days before the store did.
			[]string{watched, web("container_start_time_seconds", "-864000x400"), oom("_x2 7x400")},
			[]moment{{10 * time.Second, ""}, {5 * time.Minute, ""}, {7 * time.Minute, ""}, {20 * time.Minute, ""}},
		},
		"an agent that restarts does not bring old kills up again": {
			[]string{
				`up{job="plimsoll-agent", node="n1"} 1x200 0x5 1x200`, web("container_start_time_seconds", "-864000x400"),
				oom("7x200 stale _x7 7x200"),
			},
			[]moment{{1000 * time.Second, ""}, {1045 * time.Second, ""}, {1310 * time.Second, ""}, {1345 * time.Second, ""}, {1400 * time.Second, ""}},
		},
		"an agent that was away for half an hour does not bring old kills up again": {
			[]string{
				`up{job="plimsoll-agent", node="n1"} 1x100 stale _x360 1x200`, web("container_start_time_seconds", "-864000x700"),
				oom("7x100 stale _x362 7x200"),
			},
			[]moment{{500 * time.Second, ""}, {2320 * time.Second, ""}, {2610 * time.Second, ""}, {2630 * time.Second, ""}, {2700 * time.Second, ""}, {3000 * time.Second, ""}},
		},
		"an agent that is not heard of is down after 15 s, whatever its connection was": {
			[]string{`up{job="plimsoll-agent", node="n1", instance="10.0.0.1:4711"} 1x10 0x20 stale`, `up{job="plimsoll-agent", node="n1", instance="10.0.0.1:4712"} _x30 1x60`},
			[]moment{{60 * time.Second, ""}, {65 * time.Second, ""}, {70 * time.Second, down}, {145 * time.Second, down}, {155 * time.Second, ""}},
		},
		"a disk that fills within a day is told once that has been so for five minutes": {
			[]string{own("plimsoll_store_disk_seconds_until_full", "90000x10 20000x100"), own("plimsoll_store_disk_refusing", "0x200")},
			[]moment{{340 * time.Second, ""}, {355 * time.Second, filling}},
		},
		"a disk that has stopped filling is not told": {
			[]string{own("plimsoll_store_disk_seconds_until_full", "20000x40 stale"), own("plimsoll_store_disk_refusing", "0x200")},
			[]moment{{400 * time.Second, ""}},
		},
		"a disk that is full is not about to be": {
			[]string{own("plimsoll_store_disk_seconds_until_full", "20000x80 0x80"), own("plimsoll_store_disk_refusing", "0x80 1x20 0x80")},
			[]moment{{400 * time.Second, filling}, {430 * time.Second, ""}, {440 * time.Second, refusing}, {500 * time.Second, refusing}, {515 * time.Second, ""}},
		},
		"a pair in which nobody leads is said after 30 s": {
			[]string{own("plimsoll_lease_decided", "1x5 0x12 1x10")},
			[]moment{{50 * time.Second, ""}, {60 * time.Second, leaderless}, {100 * time.Second, ""}},
		},
		"damaged data is told at once": {
			[]string{own("plimsoll_store_losses", "0x5 2x20")},
			[]moment{{25 * time.Second, ""}, {30 * time.Second, damaged}},
		},
		"a node that does not renew its certificate is told a minute after it is late, as long as it streams": {
			[]string{`plimsoll_collector_identity_overdue_expires_timestamp_seconds{job="plimsoll-collector", instance="c1", node="n1"} _x2 14400x20 stale`},
			[]moment{{65 * time.Second, ""}, {70 * time.Second, unrenewed + "3h 58m 50s"}, {110 * time.Second, unrenewed + "3h 58m 10s"}, {120 * time.Second, ""}},
		},
		"an authority is told to be rotated 60 days before its end": {
			[]string{own("plimsoll_collector_identity_authority_expires_timestamp_seconds", "5184000x10 320544000x10")},
			[]moment{{0, ""}, {10 * time.Second, aging}, {60 * time.Second, ""}},
		},
		"a node that was taken away is not down": {
			[]string{`up{job="plimsoll-agent", node="n1"} 1x10 stale`},
			[]moment{{70 * time.Second, ""}, {5 * time.Minute, ""}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := load(t, tt.series...)
			for _, m := range tt.moments {
				if got := strings.Join(p.firing(m.at), "; "); got != m.want {
					t.Errorf("after %v: %q fires, want %q", m.at, got, m.want)
				}
			}
		})
	}
}

func TestAlertsBearNothingThatARestartChanges(t *testing.T) {
	p := load(t,
		`container_memory_working_set_bytes{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", instance="n1:9100"} 99x20`,
		`container_spec_memory_limit_bytes{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", instance="n1:9100"} 100x20`,
	)
	p.firing(30 * time.Second)
	for _, g := range p.groups {
		for _, rule := range g.AlertingRules() {
			for _, a := range rule.ActiveAlerts() {
				want := labels.FromStrings("alertname", rule.Name(), "name", "web", "node", "n1", "severity", a.Labels.Get("severity"))
				if !labels.Equal(a.Labels, want) {
					t.Errorf("labels %s, want %s", a.Labels, want)
				}
			}
		}
	}
}

func TestEachRuleTellsPeopleWhatToDo(t *testing.T) {
	const runbooks = "../../docs/runbooks"
	const published = "https://github.com/plimsoll-io/plimsoll/blob/main/docs/runbooks/"
	missing := map[string]bool{} // runbooks without a rule
	files, err := filepath.Glob(runbooks + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		missing[strings.TrimSuffix(filepath.Base(file), ".md")] = true
	}
	for _, g := range load(t, "x 1").groups {
		for _, rule := range g.AlertingRules() {
			name := rule.Name()
			delete(missing, name)
			if s := rule.Labels().Get("severity"); s != "warning" && s != "critical" {
				t.Errorf("%s: severity %q, want warning or critical", name, s)
			}
			for _, key := range []string{"summary", "description"} {
				if rule.Annotations().Get(key) == "" {
					t.Errorf("%s: no %s", name, key)
				}
			}
			if got := rule.Annotations().Get("runbook_url"); got != published+name+".md" {
				t.Errorf("%s: runbook_url %q", name, got)
			}
			text, err := os.ReadFile(filepath.Join(runbooks, name+".md"))
			if err != nil {
				t.Error(err)
			} else if !strings.HasPrefix(string(text), "# "+name+"\n") {
				t.Errorf("%s: the runbook has another title", name)
			}
		}
	}
	for name := range missing {
		t.Errorf("%s.md: no rule of that name", name)
	}
}

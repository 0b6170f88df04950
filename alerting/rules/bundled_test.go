package rules_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// step is the interval that samples are loaded at and rules evaluated at.
const step = 5 * time.Second

// pack is the bundled rules on a store that is filled as time goes by.
type pack struct {
	t      *testing.T
	step   time.Duration
	store  *promqltest.LazyLoader
	groups map[string]*promrules.Group
	next   time.Duration // not yet evaluated

	concerned []*promrules.Group // those that are evaluated
}

// load takes series as promqltest writes them, with a value for each step.
func load(t *testing.T, series ...string) *pack {
	t.Helper()
	return loadEvery(t, step, series...)
}

// loadEvery is load with another step, for stories of hours.
func loadEvery(t *testing.T, step time.Duration, series ...string) *pack {
	t.Helper()
	return loadPack(t, "", step, series...)
}

// unchanged is the pack, read once.
var unchanged = sync.OnceValues(func() (rules.Set, conf.Problems) { return rules.Read(nil, true) })

// loadPack is loadEvery with the rules as a file of overrides changes them.
func loadPack(t *testing.T, overrides string, step time.Duration, series ...string) *pack {
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
	set, problems := unchanged()
	if overrides != "" {
		set, problems = rules.ReadOverridden(nil, overrides)
	}
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
	p := &pack{t: t, step: step, store: store, groups: groups}
	for g := range maps.Values(groups) {
		if concerned(g, series) {
			p.concerned = append(p.concerned, g)
		}
	}
	return p
}

// concerned tells whether series have to do with a group: to evaluate the rest
// would only take time.
func concerned(g *promrules.Group, series []string) bool {
	names := map[string]bool{}
	for _, s := range series {
		names[s[:strings.IndexAny(s, "{ ")]] = true
	}
	found := false
	for _, rule := range g.Rules() {
		parser.Inspect(rule.Query(), func(n parser.Node, _ []parser.Node) error {
			switch n := n.(type) {
			case *parser.VectorSelector:
				found = found || n.Name == "" || names[n.Name]
			case *parser.Call:
				found = found || n.Func.Name == "absent"
			}
			return nil
		})
	}
	return found
}

// firing evaluates step by step up to a moment and returns what fires then, as
// "Name severity: summary".
func (p *pack) firing(until time.Duration) []string {
	p.t.Helper()
	for ; p.next <= until; p.next += p.step {
		at := time.Unix(0, 0).UTC().Add(p.next)
		p.store.WithSamplesTill(at, func(err error) {
			if err != nil {
				p.t.Fatal(err)
			}
			for _, g := range p.concerned {
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
				for _, l := range []string{"id", "image", "job"} { // what a restart, or another way to the same sample, changes
					if a.Labels.Has(l) {
						p.t.Errorf("%s has the label %s", rule.Name(), l)
					}
				}
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
	want string // "" for nothing, else what firing returns, sorted and joined by "; "
}

// story is what happens, and what the pack says to it.
type story struct {
	series  []string // as load takes them
	moments []moment
}

func tell(t *testing.T, stories map[string]story) {
	t.Helper()
	tellEvery(t, step, stories)
}

// tellEvery is tell with another step.
func tellEvery(t *testing.T, step time.Duration, stories map[string]story) {
	t.Helper()
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			p := loadEvery(t, step, s.series...)
			for _, m := range s.moments {
				if got := strings.Join(slices.Sorted(slices.Values(p.firing(m.at))), "; "); got != m.want {
					t.Errorf("after %v: %q fires, want %q", m.at, got, m.want)
				}
			}
		})
	}
}

func TestPack(t *testing.T) {
	const (
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

	tell(t, map[string]story{
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
	})
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
			if s := rule.Labels().Get("severity"); !slices.Contains([]string{"info", "warning", "critical"}, s) && name != "Watchdog" {
				t.Errorf("%s: severity %q, want info, warning or critical", name, s)
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
	delete(missing, "CollectorNotReady") // is told where rules cannot speak
	for name := range missing {
		t.Errorf("%s.md: no rule of that name", name)
	}
}

package explain

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

var update = flag.Bool("update", false, "write the golden files anew")

func replicaSamples(values ...float64) []decide.Sample {
	var s []decide.Sample
	for i, v := range values {
		s = append(s, decide.Sample{Replica: string(rune('a' + i)), At: noon.Add(-time.Duration(i+1) * 400 * time.Millisecond), Value: v})
	}
	return s
}

// decided is an entry of a real policy that has watched for a while, with a CPU
// and a request load of the whole workload.
func decided(t *testing.T, replicas int, cpu, rps float64) journal.Entry {
	t.Helper()
	text, err := os.ReadFile("../journal/testdata/policies.yml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := policy.Parse("policies.yml", text, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	app := file.Apps[0]
	app.Ceiling = policy.DefaultCeiling
	app.Schedules = app.Schedules[2:]
	look := func(now time.Time) decide.Observation {
		o := decide.Observation{Now: now, Desired: replicas, Ready: replicas, Boot: 12 * time.Second}
		each := decide.Reading{Signal: "cpu"}
		for i := range replicas {
			each.Samples = append(each.Samples, decide.Sample{Replica: string(rune('a' + i)), At: now.Add(-time.Second), Value: cpu / float64(replicas)})
		}
		o.Signals = []decide.Reading{each, {Signal: "rps", Samples: []decide.Sample{{At: now.Add(-time.Second), Value: rps}}}}
		return o
	}
	var past, state decide.State
	var d decide.Decision
	now := noon.Add(-time.Minute)
	for ; !now.After(noon); now = now.Add(app.Interval) {
		past = state
		state, d = decide.Next(app, past, look(now))
	}
	now = now.Add(-app.Interval)
	return journal.Entry{
		ID: "06gw2d4k1", Policy: app.Name, Target: app.Target.String(), Mode: app.Mode, Since: now, Ticks: 1,
		Observation: look(now), Decision: d, Queries: journal.Queries(app), App: &app, State: &past,
	}
}

// settling is an entry of a policy that waits before it shrinks.
func settling(t *testing.T) journal.Entry {
	t.Helper()
	e := decided(t, 6, 6*0.3, 6*110)
	e.State.Most.Asked = []decide.Ask{{At: noon.Add(-12 * time.Second), Replicas: 6}}
	_, e.Decision = decide.Next(*e.App, *e.State, e.Observation)
	return e
}

func TestTheExampleOfTheDocumentIsReal(t *testing.T) {
	page, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, settling(t)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "\n```text\n"+b.String()+"```\n") {
		t.Errorf("docs/explain.md does not have\n%s", b.String())
	}
}

func TestExplainNamesTheNumbers(t *testing.T) {
	queries := []journal.SignalQuery{
		{Signal: "cpu", Query: `rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name="shop_web"}[10s])`, Goal: "60%", Unit: policy.Share},
		{Signal: "rps", Query: `sum(rate(http_requests_total{service="shop_web"}[10s]))`, Goal: "250", Unit: policy.Plain},
	}
	entries := map[string]journal.Entry{
		"scaled": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Active, Since: noon, Ticks: 1, Queries: queries,
			Observation: decide.Observation{Now: noon, Desired: 2, Ready: 2, Signals: []decide.Reading{
				{Signal: "cpu", Samples: replicaSamples(0.93, 0.99)},
				{Signal: "rps", Samples: []decide.Sample{{At: noon, Value: 610}}},
			}},
			Decision: decide.Decision{
				Action: decide.Grow, From: 2, To: 4, Apply: true,
				Stages: []decide.Stage{
					{Name: "signal", Signal: "cpu", In: 2, Out: 4, Reason: decide.Quote("", "192% / 60% = 3.2")},
					{Name: "signal", Signal: "rps", In: 2, Out: 3, Reason: decide.Quote("", "610 / 250 = 2.44")},
					{Name: "combine", In: 2, Out: 4, Reason: decide.Quote("", "the most that any signal wants")},
				},
			}.Quote("cpu wants 4: 192% over 2 replicas, 60% for each"),
			Result: journal.Accepted, Attempts: 2,
		},
		"held": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Active, Since: noon.Add(-40 * time.Second), Ticks: 21, Queries: queries,
			Observation: decide.Observation{Now: noon, Desired: 4, Ready: 3, Starting: 1, Updating: true, Signals: []decide.Reading{
				{Signal: "cpu", Err: "the query returns nothing"},
			}},
			Decision: decide.Decision{
				Action: decide.Hold, From: 4, To: 4,
				Stages: []decide.Stage{{Name: "combine", In: 4, Out: 4, Bound: true, Reason: decide.Quote("", "scale-in needs every signal")}},
				Gates:  []decide.Gate{{Name: decide.GateInvalid, Signal: "cpu", Reason: decide.Quote("", "the query returns nothing")}, {Name: decide.GateUpdating, Reason: decide.Quote("", "a rollout is under way")}},
			}.Quote("less would do, but cpu has no data"),
		},
		"advice": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Advise, Since: noon, Ticks: 1,
			Observation: decide.Observation{Now: noon, Desired: 1, Ready: 1},
			Decision:    decide.Decision{Action: decide.Grow, From: 1, To: 3}.Quote("cpu wants 3"),
		},
		"blind": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Active, Since: noon, Ticks: 1,
			Observation: decide.Observation{Now: noon, Err: "look at service shop_web: workload not found"},
			Decision:    decide.Decision{Action: decide.Hold}.Quote("the platform cannot be asked"),
		},
	}
	entries["steady"] = decided(t, 4, 4*0.45, 4*220)
	entries["example"] = settling(t)
	all := settling(t)
	all.Observation.Failing = 1
	all.Observation.Ahead = &decide.Ahead{Signal: "rps", Load: 1210, At: noon.Add(20 * time.Second), Model: "median of days", Most: 4000}
	all.Observation.Hand = decide.Hand{Pause: decide.PauseIn, PauseUntil: noon.Add(time.Hour), PauseBy: "ann (sale)", Floor: 5, Until: noon.Add(48 * time.Hour), By: "ben (sale)"}
	all.Observation.Bases = []decide.Base{{Event: "sale", Load: 3.1}}
	all.Observation.Lost, all.Observation.Frozen = []string{"n3"}, "3 of 9 policies are blind"
	throttled, pressure := 0.31, 0.2
	all.Observation.Signals[0].Throttled, all.Observation.Signals[0].Pressure = &throttled, &pressure
	_, all.Decision = decide.Next(*all.App, *all.State, all.Observation)
	entries["circumstances"] = all
	entries["limited"] = decided(t, 40, 40*0.8, 40*220)
	entries["growing"] = decided(t, 6, 6*0.9, 6*220)
	for name, e := range entries {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Write(&b, e); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExplainHandsNoControlCharactersToATerminal(t *testing.T) {
	evil := "a\x1b[2Jb\tc\nd\u009be"
	e := journal.Entry{Policy: "web", Err: evil, Result: journal.Unknown, Observation: decide.Observation{Now: noon, Err: evil}}
	e.Decision = e.Decision.Quote(evil)
	e.Observation.Signals = []decide.Reading{{Signal: "cpu", Err: evil}}
	e.Queries = []journal.SignalQuery{{Signal: "cpu", Query: evil}}
	e.Decision.Stages = []decide.Stage{{Name: "signal", Reason: decide.Quote("", evil)}}
	e.Decision.Gates = []decide.Gate{{Name: "invalid", Reason: decide.Quote("", evil)}}
	var b strings.Builder
	if err := Write(&b, e); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(b.String(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 || strings.Contains(b.String(), "\nd") {
		t.Errorf("%q", b.String())
	}
}

func ExampleWrite() {
	var b strings.Builder
	_ = Write(&b, journal.Entry{
		Policy: "web", Target: "swarm/web", Mode: policy.Advise,
		Observation: decide.Observation{Now: noon, Desired: 1, Ready: 1},
		Decision:    decide.Decision{Action: decide.Grow, From: 1, To: 3}.Quote("cpu wants 3: 104% over 1 replica, 35% for each"),
	})
	fmt.Print(b.String())
	// Output:
	// web: would scale out from 1 to 3, but only advises
	// cpu wants 3: 104% over 1 replica, 35% for each
	//
	// target    swarm/web, mode advise
	// time      2026-11-21 12:00:00.000 UTC
	// platform  1 asked for, 1 ready
}

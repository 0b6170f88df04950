package scaler

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

func replicaSamples(values ...float64) []decide.Sample {
	var s []decide.Sample
	for i, v := range values {
		s = append(s, decide.Sample{Replica: string(rune('a' + i)), At: noon.Add(-time.Duration(i+1) * 400 * time.Millisecond), Value: v})
	}
	return s
}

func TestExplainNamesTheNumbers(t *testing.T) {
	queries := []SignalQuery{
		{Signal: "cpu", Query: `rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name="shop_web"}[10s])`, Goal: "60%", Unit: policy.Share},
		{Signal: "rps", Query: `sum(rate(http_requests_total{service="shop_web"}[10s]))`, Goal: "250", Unit: policy.Plain},
	}
	entries := map[string]Entry{
		"scaled": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Active, Since: noon, Ticks: 1, Queries: queries,
			Observation: decide.Observation{Now: noon, Desired: 2, Ready: 2, Signals: []decide.Reading{
				{Signal: "cpu", Samples: replicaSamples(0.93, 0.99)},
				{Signal: "rps", Samples: []decide.Sample{{At: noon, Value: 610}}},
			}},
			Decision: decide.Decision{
				Action: decide.Grow, From: 2, To: 4, Apply: true,
				Why: "cpu wants 4: 192% over 2 replicas, 60% for each",
				Stages: []decide.Stage{
					{Name: "signal", Signal: "cpu", In: 2, Out: 4, Reason: "192% / 60% = 3.2"},
					{Name: "signal", Signal: "rps", In: 2, Out: 3, Reason: "610 / 250 = 2.44"},
					{Name: "combine", In: 2, Out: 4, Reason: "the most that any signal wants"},
				},
			},
			Result: resultAccepted, Attempts: 2,
		},
		"held": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Active, Since: noon.Add(-40 * time.Second), Ticks: 21, Queries: queries,
			Observation: decide.Observation{Now: noon, Desired: 4, Ready: 3, Starting: 1, Updating: true, Signals: []decide.Reading{
				{Signal: "cpu", Err: "the query returns nothing"},
			}},
			Decision: decide.Decision{
				Action: decide.Hold, From: 4, To: 4, Why: "less would do, but cpu has no data",
				Stages: []decide.Stage{{Name: "combine", In: 4, Out: 4, Bound: true, Reason: "scale-in needs every signal"}},
				Gates:  []decide.Gate{{Name: decide.GateInvalid, Signal: "cpu", Why: "the query returns nothing"}, {Name: decide.GateUpdating, Why: "a rollout is under way"}},
			},
		},
		"advice": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Advise, Since: noon, Ticks: 1,
			Observation: decide.Observation{Now: noon, Desired: 1, Ready: 1},
			Decision:    decide.Decision{Action: decide.Grow, From: 1, To: 3, Why: "cpu wants 3"},
		},
		"blind": {
			Policy: "web", Target: "swarm/shop_web", Mode: policy.Active, Since: noon, Ticks: 1,
			Observation: decide.Observation{Now: noon, Err: "look at service shop_web: workload not found"},
			Decision:    decide.Decision{Action: decide.Hold, Why: "the platform cannot be asked"},
		},
	}
	for name, e := range entries {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Explain(&b, e); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "explain_"+name+".txt")
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
	e := hold("web", 0)
	e.Observation.Err, e.Decision.Why, e.Err, e.Result = evil, evil, evil, resultUnknown
	e.Observation.Signals = []decide.Reading{{Signal: "cpu", Err: evil}}
	e.Queries = []SignalQuery{{Signal: "cpu", Query: evil}}
	e.Decision.Stages = []decide.Stage{{Name: "signal", Reason: evil}}
	e.Decision.Gates = []decide.Gate{{Name: "invalid", Why: evil}}
	var b strings.Builder
	if err := Explain(&b, e); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(b.String(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 || strings.Contains(b.String(), "\nd") {
		t.Errorf("%q", b.String())
	}
}

package policy_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// facts stands for a parser: what it says of a query is in the query.
func facts(query string) (policy.Facts, error) {
	var f policy.Facts
	f.Many = strings.Contains(query, "many")
	if strings.Contains(query, "_total") && !strings.Contains(query, "rate") {
		f.Bare = []string{"x_total"}
	}
	for text, back := range map[string]time.Duration{"[5m]": 5 * time.Minute, "[10m]": 10 * time.Minute} {
		if strings.Contains(query, text) {
			f.Back = back
		}
	}
	return f, nil
}

// warned are tests of the warnings: each text takes the place of the signals of a
// policy with min 2 and max 20, or comes behind them.
var warned = []struct {
	text string
	want string // empty for none
}{
	{"  signals: [{source: cpu, target: 60%}]", ""},
	{"  signals: [{source: cpu, type: threshold, max: 60%, min: 40%}]", `policy.yaml:7:13: apps[0].signals[0]: W-FLAP: at 3 replicas, in 3->2 turns 40% into 60%, too near max 60%, so that it is not done, raise max, lower min, lower step_in, or use type track`},
	{"  signals: [{source: cpu, type: threshold, max: 60%, min: 37%}]", ""},
	{"  signals: [{source: cpu, type: steps, rows: [{above: 60%, add: 1}, {below: 40%, remove: 1}]}]", `policy.yaml:7:69: apps[0].signals[0].rows[1]: W-FLAP: at 3 replicas, in 3->2 turns 40% into 60%, too near 60%, above which another row grows, so that it is not done, lower below, or remove fewer`},
	{"  signals: [{source: cpu, type: steps, rows: [{above: 60%, add: 1}, {below: 30%, remove: 1}]}]", ""},
	{"  signals: [{source: cpu, type: steps, rows: [{above: 60%, add: 1}, {below: 20%, remove: 75%}]}]", `policy.yaml:7:69: apps[0].signals[0].rows[1]: W-FLAP: at 8 replicas, in 8->2 turns 20% into 80%, too near 60%, above which another row grows, so that it is not done, lower below, or remove fewer`},
	{"  signals: [{source: cpu, type: steps, rows: [{above: 60%, add: 1}, {below: 14%, remove: 75%}]}]", ""},
	{"  signals: [{source: cpu, type: threshold, max: 80%, min: 30%, step_out: 19}]", `policy.yaml:7:74: apps[0].signals[0].step_out: W-STEP: 19 is more than the 18 replicas between min and max, lower it, or raise max`},
	{"  signals: [{source: cpu, type: threshold, max: 80%, min: 30%, step_out: 18}]", ""},
	{"  signals: [{source: cpu, type: steps, rows: [{above: 60%, add: 19}]}]", `policy.yaml:7:65: apps[0].signals[0].rows[0].add: W-STEP: 19 is more than the 18 replicas between min and max, lower it, or raise max`},
	{"  signals: [{source: cpu, type: steps, rows: [{above: 60%, set: 21}]}]", `policy.yaml:7:65: apps[0].signals[0].rows[0].set: W-STEP: 21 is not between min 2 and max 20, which hold all the same, change one of them`},
	{"  signals: [{source: query, query: 'avg(DCGM_FI_DEV_GPU_UTIL)', kind: average, target: 60}]", `policy.yaml:7:36: apps[0].signals[0].query: W-GPU-UTIL: one request keeps a GPU as busy as a hundred do, and nothing else says how many there are, add a signal of what waits, such as requests running and queued, or of the memory for them`},
	{"  signals: [{source: query, query: 'avg(plimsoll_container_gpu_sm_utilization_ratio)', type: threshold, max: 80%, min: 30%}, {source: memory, target: 60%}]", `policy.yaml:7:36: apps[0].signals[0].query: W-GPU-UTIL: one request keeps a GPU as busy as a hundred do, and nothing else says how many there are, add a signal of what waits, such as requests running and queued, or of the memory for them`},
	{"  signals: [{source: query, query: 'avg(DCGM_FI_DEV_GPU_UTIL)', kind: average, target: 60}, {name: queue, source: query, query: sum(waiting), target: 5}]", ""},
	{"  signals: [{source: query, query: avg(gpu_cache_usage), kind: average, target: 60}]", ""},
	{"  signals: [{source: query, query: sum(x_total), target: 60}]", `policy.yaml:7:36: apps[0].signals[0].query: W-COUNTER: x_total only ever grows, and so would what it asks for, take rate(…[1m]) of it`},
	{"  signals: [{source: query, query: 'sum(rate(x_total[1m]))', target: 60}]", ""},
	{"  signals: [{source: query, query: many, target: 60}]", `policy.yaml:7:36: apps[0].signals[0].query: W-MANY: may return more than one series, and then says nothing, wrap it in sum(…) or max(…)`},
	{"  signals: [{source: query, query: many, kind: average, target: 60}]", ""},
	{"  signals: [{source: query, query: avg(busy_ratio), type: threshold, max: 80, min: 0.3}]", `policy.yaml:7:75: apps[0].signals[0].max: W-RATIO: 80 is never reached: a ratio reads 0 to 1, write 80%`},
	{"  signals: [{source: query, query: avg(busy_ratio) * 100, type: threshold, max: 80, min: 30}]", ""},
	{"  signals: [{source: query, query: sum(busy_ratio), target: 5}]", ""},
	{"  signals: [{source: cpu, target: 95%}]", `policy.yaml:7:35: apps[0].signals[0].target: W-SATURATION: replicas at 95% count as full, from 95% on, and 3 times as many are asked for, lower target, or write saturation: {boost: 1}`},
	{"  signals: [{source: cpu, target: 95%, saturation: {boost: 1}}]", ""},
	{"  signals: [{source: query, query: 'sum(rate(x[10m]))', target: 5}]", `policy.yaml:3:3: apps[0].in.window: W-LOOK-BACK: is shorter than the 10m that "query" looks back, a lull between two peaks would be over before it is seen: raise it, or shorten the range of the query`},
	{"  signals: [{source: query, query: 'sum(rate(x[10m]))', target: 5}]\n  in: {window: 10m}", ""},
	{"  signals: [{source: query, query: 'sum(rate(x[5m]))', target: 5}]", ""},
	{"  signals: [{source: query, query: 'sum(rate(x[5m]))', target: 5}]\n  in: {window: 5m}", ""},
	{"  signals: [{source: query, query: 'sum(rate(x[5m]))', target: 5}]\n  in: {window: 1m}", `policy.yaml:8:16: apps[0].in.window: W-LOOK-BACK: is shorter than the 5m that "query" looks back, a lull between two peaks would be over before it is seen: raise it, or shorten the range of the query`},
	{"  signals: [{source: cpu, target: 60%}]\n  in: {rate: [{replicas: 100, per: 15s}]}", `policy.yaml:8:8: apps[0].in.rate: W-IN-FASTER: lets replicas go faster than out.rate lets them come, what was removed too soon is then missed for long: slow it down`},
	{"  signals: [{source: cpu, target: 60%}]\n  in: {rate: []}", ""},
	{"  signals: [{source: cpu, target: 60%}]\n  in: {rate: []}\n  out: {rate: []}", ""},
	{"  signals: [{source: cpu, target: 60%}]\n  min: 20", `policy.yaml:6:8: apps[0].max: W-FIXED: is min as well, so that there are always 20 replicas, raise max, or remove the policy`},
	{"  signals: [{source: cpu, target: 60%}]\n  fallback: {replicas: 1}", `policy.yaml:8:24: apps[0].fallback.replicas: W-FALLBACK: 1 is less than min 2, which holds all the same, raise it, or lower min`},
	{"  signals: [{source: cpu, target: 60%}]\n  fallback: {replicas: 2}", ""},
	{"  signals: [{source: cpu, target: 60%}]\n  schedules: [{name: a, cron: 0 8 * * *, tz: UTC, duration: 1h, floor: 2}]", `policy.yaml:8:72: apps[0].schedules[0].floor: W-SCHEDULE: 2 is no more than min 2, so that it changes nothing, raise it, or lower min`},
	{"  signals: [{source: cpu, target: 60%}]\n  schedules: [{name: a, cron: 0 8 * * *, tz: UTC, duration: 1h, ceiling: 1}]", `policy.yaml:8:15: apps[0].schedules[0]: W-SCHEDULE: 1 replicas are less than min 2, which holds all the same, raise the ceiling, or lower min`},
	{"  signals: [{source: cpu, target: 60%}]\n  schedules: [{name: a, cron: 0 8 * * *, tz: UTC, duration: 1h, ceiling: 5}, {name: b, cron: 0 8 * * *, tz: UTC, duration: 2h, floor: 6}]", `policy.yaml:8:78: apps[0].schedules[1]: W-SCHEDULE: opens together with "a", and a floor of 6 is above a ceiling of 5: the floor holds, lower the floor, or move one of them`},
	{"  signals: [{source: cpu, target: 60%}]\n  schedules: [{name: a, cron: 0 8 * * *, tz: UTC, duration: 1h, ceiling: 5}, {name: b, cron: 0 9 * * *, tz: UTC, duration: 2h, floor: 6}]", ""},
	{"  signals: [{source: cpu, target: 60%}]\n  events: [{name: a, at: '2026-11-11T00:00:00Z', duration: 1h, factor: 11}]", `policy.yaml:8:72: apps[0].events[0].factor: W-EVENT: 11 times the load of min 2 takes 22 replicas, and max is 20, raise max, or lower the factor`},
	{"  signals: [{source: cpu, target: 60%}]\n  events: [{name: a, at: '2026-11-11T00:00:00Z', duration: 1h, factor: 10}]", ""},
	{"  signals: [{source: cpu, target: 60%}]\n  forecast: {season: weekly}", `policy.yaml:8:3: apps[0].forecast: W-HISTORY: never has the 22 days that a season of a week takes: samples are kept for 15 days, keep them for longer, or remove forecast`},
	{"  signals: [{source: cpu, target: 60%}]\n  forecast: {season: daily}", ""},
	{"  signals: [{source: cpu, target: 60%}]\n  forecast: {season: weekly, enabled: false}", ""},
	{"  signals: [{source: query, query: sum(x), target: 5}]\n  min: 0\n  allow_zero: {}", ""},
}

func TestWhatIsHardlyMeantIsToldWithItsRemedy(t *testing.T) {
	for _, tt := range warned {
		t.Run(tt.text, func(t *testing.T) {
			head := "version: plimsoll.scaler/v1\napps:\n- name: shop\n  target: {driver: swarm, service: shop_web}\n  # the least\n  max: 20\n"
			if !strings.Contains(tt.text, " min: 0\n") && !strings.Contains(tt.text, " min: 20") {
				tt.text += "\n  min: 2\n"
			}
			file, problems := load(t, head+tt.text, policy.Options{CheckQuery: facts, Retention: 15 * 24 * time.Hour})
			if len(problems) > 0 {
				t.Fatal(problems.Render())
			}
			if got := file.Warnings.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Each warning has a test that meets it, and a line of the docs.
func TestTheWarningsAreThoseOfTheDocs(t *testing.T) {
	source, err := os.ReadFile("lint.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`\bW-[A-Z-]+[A-Z]`)
	inSource := unique(code.FindAllString(string(source), -1))
	var met []string
	for _, tt := range warned {
		met = append(met, code.FindAllString(tt.want, -1)...)
	}
	var told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(W-[A-Z-]+)` \\|").FindAllStringSubmatch(docs(t), -1) {
		told = append(told, m[1])
	}
	if got := unique(met); !slices.Equal(got, inSource) {
		t.Errorf("tests meet %v, there are %v", got, inSource)
	}
	if got := unique(told); !slices.Equal(got, inSource) || len(got) != len(told) {
		t.Errorf("docs/policies.md has %v, there are %v", told, inSource)
	}
}

func unique(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}

func TestTheExamplesHaveNoWarnings(t *testing.T) {
	file, problems := load(t, example(t), policy.Options{})
	if len(problems) > 0 || len(file.Warnings) > 0 {
		t.Error(problems, file.Warnings)
	}
}

func TestWhatIsInheritedIsWarnedOfOnce(t *testing.T) {
	file, problems := load(t, `version: plimsoll.scaler/v1
defaults: {max: 9, signals: [{source: cpu, target: 96%}]}
apps:
- {name: a, target: {driver: swarm, service: a}}
- {name: b, target: {driver: swarm, service: b}}
`, policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := file.Warnings.Error(); !strings.HasPrefix(got, "policy.yaml:2:52: defaults.signals[0].target: W-SATURATION") || len(file.Warnings) != 1 {
		t.Error(got)
	}
}

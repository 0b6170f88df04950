package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func load(t *testing.T, text string, opts policy.Options) (*policy.File, conf.Problems) {
	t.Helper()
	doc, err := conf.Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return policy.Load(doc, opts)
}

// shop is a sound policy to which a test adds lines.
const shop = `version: plimsoll.scaler/v1
apps:
- name: shop
  target: {driver: swarm, service: shop_web}
  max: 20
  signals:
  - {source: cpu, target: 60%}
`

// most is the coverage of a policy that does not say.
var most = policy.Coverage{Out: 0.5, In: 0.8}

func TestTheLeastPolicyHasSafeDefaults(t *testing.T) {
	file, problems := load(t, shop, policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := policy.App{
		Name: "shop", Mode: policy.Advise, Target: policy.Target{Driver: "swarm", Service: "shop_web"},
		Interval: 2 * time.Second, Min: 1, Max: 20, Ceiling: 500,
		Signals: []policy.Signal{{
			Name: "cpu", Type: policy.Track, Source: policy.CPU, Of: policy.Limit, Kind: policy.Utilization,
			Target: policy.Amount{Value: 0.6, Unit: policy.Share}, Window: 5 * time.Second, MaxAge: 15 * time.Second,
			Saturation: policy.Saturation{Above: 0.95, Boost: 3}, Coverage: most,
		}},
		Out:          policy.Out{Tolerance: 0.07, Rate: []policy.Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}}, Lead: policy.Span{Auto: true}},
		DuringUpdate: policy.HoldIn,
		In: policy.In{
			DeadBand: 0.07, Window: 220 * time.Second, Rate: []policy.Rate{{Replicas: 1, Percent: 0.5, Per: 30 * time.Second}},
			Settle: policy.Span{Auto: true},
		},
	}
	if diff := cmp.Diff([]policy.App{want}, file.Apps); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheDefaultsOfASignalFollowItsSource(t *testing.T) {
	tests := map[string]policy.Signal{
		"{source: memory, target: 70%}": {
			Name: "memory", Type: policy.Track, Source: policy.Memory, Of: policy.Limit, Kind: policy.Utilization,
			Target: policy.Amount{Value: 0.7, Unit: policy.Share}, MaxAge: 15 * time.Second, Coverage: most,
		},
		"{source: cpu, of: cores, target: 1.5, window: 30s}": {
			Name: "cpu", Type: policy.Track, Source: policy.CPU, Of: policy.Cores, Kind: policy.Average,
			Target: policy.Amount{Value: 1.5, Unit: policy.Plain}, Window: 30 * time.Second, MaxAge: 15 * time.Second, Coverage: most,
		},
		"{source: memory, of: bytes, target: 64MiB, max_age: 1m}": {
			Name: "memory", Type: policy.Track, Source: policy.Memory, Of: policy.Bytes, Kind: policy.Average,
			Target: policy.Amount{Value: 64 << 20, Unit: policy.Size}, MaxAge: time.Minute, Coverage: most,
		},
		"{name: rps, source: query, query: sum(rps), target: 250}": {
			Name: "rps", Type: policy.Track, Source: policy.Query, Query: "sum(rps)", OnEmpty: policy.EmptyInvalid, Kind: policy.Total,
			Target: policy.Amount{Value: 250, Unit: policy.Plain}, MaxAge: 15 * time.Second, Coverage: most,
		},
		"{source: query, type: threshold, query: p99, max: 0.4, min: 0.1}": {
			Name: "query", Type: policy.Threshold, Source: policy.Query, Query: "p99", OnEmpty: policy.EmptyInvalid,
			Max: policy.Amount{Value: 0.4, Unit: policy.Plain}, Min: policy.Amount{Value: 0.1, Unit: policy.Plain},
			Window: time.Minute, Samples: 3, StepOut: 1, StepIn: 1, MaxAge: 15 * time.Second, Coverage: most,
		},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			file, problems := load(t, strings.Replace(shop, "{source: cpu, target: 60%}", text, 1), policy.Options{})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(want, file.Apps[0].Signals[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// mistakes are texts that take the place of a line of shop; line 8 is one more.
var mistakes = []struct {
	line int
	text string
	want string
}{
	{1, "version: v2", `policy.yaml:1:10: version: "v2" is not known, this version reads plimsoll.scaler/v1`},
	{1, "version: 1", `policy.yaml:1:10: version: must be text, got the number 1, put it in quotes: "1"`},
	{8, "pools: []", `policy.yaml:8:1: unknown key "pools", this version scales workloads, not nodes; remove it`},
	{8, "app: []", `policy.yaml:8:1: unknown key "app", did you mean "apps"?`},
	{3, "- nam: shop", `policy.yaml:3:3: apps[0]: unknown key "nam", did you mean "name"?`},
	{3, "- name: -x", `policy.yaml:3:9: apps[0].name: "-x" is not a name, use up to 63 letters, digits, dots, dashes and underscores`},
	{8, "  mode: activ", `policy.yaml:8:9: apps[0].mode: unknown: "activ", did you mean active?`},
	{8, "  mode: ''", `policy.yaml:8:9: apps[0].mode: is missing, available: advise, active, paused`},
	{8, "  interval: 5", `policy.yaml:8:13: apps[0].interval: "5" is not a duration, add a unit: 5s`},
	{8, "  interval: 100ms", `policy.yaml:8:13: apps[0].interval: must be 1s to 1h, got 100ms`},
	{8, "  min: 0", `policy.yaml:8:8: apps[0].min: must be 1 or more, got 0, to scale to zero add allow_zero: {}`},
	{8, "  min: 1.5", `policy.yaml:8:8: apps[0].min: must be a whole number, got the number 1.5`},
	{8, "  min: 21", `policy.yaml:5:8: apps[0].max: 20 is less than min 21, max is the greater of the two`},
	{5, "", `policy.yaml:3:3: apps[0].max: is missing, say how many replicas the platform can carry`},
	{4, "  target: {driver: swarm, sevice: a}", `policy.yaml:4:27: apps[0].target: unknown key "sevice", did you mean "service"?`},
	{5, "  max: 5000", `policy.yaml:5:8: apps[0].max: 5000 exceeds the ceiling of 500 replicas, lower it, or raise the scaler's ceiling`},
	{5, "  max: 1000000000000", `policy.yaml:5:8: apps[0].max: 1000000000000 exceeds the ceiling of 500 replicas, lower it, or raise the scaler's ceiling`},
	{5, "  max:", `policy.yaml:5:3: apps[0].max: has no value, give it one, or remove the key`},
	{8, "  panic: {threshold: 1}", `policy.yaml:8:22: apps[0].panic.threshold: must be 1.1 to 10, got 1`},
	{8, "  panic: {hold: 1s}", `policy.yaml:8:17: apps[0].panic.hold: must be 10s to 1h, got 1s`},
	{8, "  panic: {max_add: 1000}", `policy.yaml:8:20: apps[0].panic.max_add: must be 0 to 500, got 1000, 0 stands for up to max`},
	{8, "  events: [{name: sale, at: \"2026-11-11T00:00:00\", duration: 2h, factor: 8}]", `policy.yaml:8:29: apps[0].events[0].at: "2026-11-11T00:00:00" is not a time with its offset, write it like 2026-11-11T00:00:00+08:00`},
	{8, "  events: [{name: sale, duration: 2h, factor: 8}]", `policy.yaml:8:12: apps[0].events[0].at: is missing, write it like 2026-11-11T00:00:00+08:00`},
	{8, "  events: [{duration: 30s, factor: 0, base: p95}]", `policy.yaml:8:12: apps[0].events[0].name: is missing, give the event a name`},
	{8, "  events: [{duration: 30s, factor: 0, base: p95}]", `policy.yaml:8:23: apps[0].events[0].duration: must be 1m to 168h, got 30s`},
	{8, "  events: [{duration: 30s, factor: 0, base: p95}]", `policy.yaml:8:36: apps[0].events[0].factor: must be above 0 and at most 1000, got 0, say how many times the base load there will be`},
	{8, "  events: [{duration: 30s, factor: 0, base: p95}]", `policy.yaml:8:45: apps[0].events[0].base: unknown: "p95", available: same_hour_last_week, p95_7d`},
	{8, "  forecast: {season: monthly}", `policy.yaml:8:22: apps[0].forecast.season: unknown: "monthly", available: daily, weekly, auto`},
	{8, "  forecast: {quantile: 90%}", `policy.yaml:8:24: apps[0].forecast.quantile: must be a number, got "90%"`},
	{8, "  forecast: {quantile: 0.999}", `policy.yaml:8:24: apps[0].forecast.quantile: must be 0.5 to 0.99, got 0.999`},
	{8, "  forecast: {min_gain: 20}", `policy.yaml:8:24: apps[0].forecast.min_gain: "20" is not a percentage, write 20%`},
	{8, "  forecast: {max_cost: 101%}", `policy.yaml:8:24: apps[0].forecast.max_cost: must be 0% to 100%, got 101%`},
	{8, "  forecast: {max_factor: 0.5}", `policy.yaml:8:26: apps[0].forecast.max_factor: must be 1 to 10, got 0.5`},
	{8, "  stuck_after: 30s", `policy.yaml:8:16: apps[0].stuck_after: must be 1m to 24h, got 30s`},
	{8, "  needs: {}", `policy.yaml:8:3: apps[0].needs: says nothing, give it cpu, memory or gpu`},
	{8, "  needs: {cpu: -1}", `policy.yaml:8:16: apps[0].needs.cpu: must be 0 to 1024, got -1, it is a number of cores`},
	{8, "  needs: {memory: 64}", `policy.yaml:8:19: apps[0].needs.memory: "64" is not a size, add a unit: 64MiB, or 64B for bytes`},
	{8, "  needs: {gpu: 65}", `policy.yaml:8:16: apps[0].needs.gpu: must be 0 to 64, got 65, it is a number of devices`},
	{8, "  allow_zero: {}", `policy.yaml:8:3: apps[0].allow_zero: does nothing while min is 1, set min: 0`},
	{8, "  min: 0\n  allow_zero: {}", `policy.yaml:9:3: apps[0].allow_zero: needs a signal that tells without replicas whether one is wanted again, add one of source query, of kind total or type desired, such as the length of a queue`},
	{8, "  min: -1\n  allow_zero: {}", `policy.yaml:8:8: apps[0].min: must be 0 or more, got -1`},
	{8, "  allow_zero: {idle_for: 1s}", `policy.yaml:8:26: apps[0].allow_zero.idle_for: must be 10s to 24h, got 1s`},
	{8, "  allow_zero: {activation: -1}", `policy.yaml:8:28: apps[0].allow_zero.activation: must be 0 or more, got -1`},
	{4, "  target: swarm", `policy.yaml:4:11: apps[0].target: must be a mapping, got "swarm", write keys and values, like "key: value"`},
	{4, "  target: {driver: swarm}", `policy.yaml:4:3: apps[0].target.service: is missing, name the service with its stack, as docker service ls does`},
	{4, "  target: {driver: swarm, service: a b}", `policy.yaml:4:36: apps[0].target.service: "a b" is not the name of a service, use up to 63 letters, digits, dots, dashes and underscores`},
	{4, "  target: {driver: kubernetes, service: a}", `policy.yaml:4:20: apps[0].target.driver: "kubernetes" is not available in this version, available: swarm`},
	{4, "  target: {driver: swram, service: a}", `policy.yaml:4:20: apps[0].target.driver: unknown: "swram", did you mean swarm?`},
	{4, "  target: {driver: fake, service: a}", `policy.yaml:4:20: apps[0].target.driver: unknown: "fake", available: swarm`},
	{4, "  target: {driver: swarm, service: a, kind: b}", `policy.yaml:4:45: apps[0].target.kind: does nothing for driver swarm, it takes service`},
	{4, "  target: {driver: swarm, service: a, url: b}", `policy.yaml:4:39: apps[0].target: unknown key "url", it belongs to a driver that this version does not have; swarm takes service`},
	{8, "  out: {tolerance: 70}", `policy.yaml:8:20: apps[0].out.tolerance: "70" is not a percentage, write 70%`},
	{8, "  out: {tolerance: 70%}", `policy.yaml:8:20: apps[0].out.tolerance: must be 0% to 50%, got 70%`},
	{8, "  out: {window: 2h}", `policy.yaml:8:17: apps[0].out.window: must be 0s to 1h, got 2h`},
	{8, "  out: {lead: 11m}", `policy.yaml:8:15: apps[0].out.lead: must be 0s to 10m, got 11m`},
	{8, "  out: {lead: on}", `policy.yaml:8:15: apps[0].out.lead: "on" is not a time, write auto, off, or a duration like 30s`},
	{8, "  in: {settle: 2h}", `policy.yaml:8:16: apps[0].in.settle: must be 0s to 1h, got 2h`},
	{8, "defaults: {name: x}", `policy.yaml:8:18: defaults.name: belongs to one policy alone, move it to that one`},
	{8, "defaults: {interval: 1ms}", `policy.yaml:8:22: defaults.interval: must be 1s to 1h, got 1ms`},
	{8, "defaults: {intervall: 1s}", `policy.yaml:8:12: defaults: unknown key "intervall", did you mean "interval"?`},
	{7, "  - {source: cpu, coverage: {out: 0%}, target: 60%}", `policy.yaml:7:35: apps[0].signals[0].coverage.out: must be 1% to 100%, got 0%`},
	{7, "  - {source: cpu, coverage: {in: 40%}, target: 60%}", `policy.yaml:7:34: apps[0].signals[0].coverage.in: 40% is less than out 50%, to shrink takes no less than to grow`},
	{7, "  - {source: query, query: x, coverage: {in: 90%}, target: 6}", `policy.yaml:7:31: apps[0].signals[0].coverage: does nothing for type track and source query, remove it`},
	{7, "  - {source: cpu, on_empty: zero, target: 60%}", `policy.yaml:7:29: apps[0].signals[0].on_empty: does nothing for type track and source cpu, remove it`},
	{7, "  - {source: query, query: x, on_empty: nil, target: 6}", `policy.yaml:7:41: apps[0].signals[0].on_empty: unknown: "nil", available: invalid, zero`},
	{7, "  - {source: query, query: x, on_empty: zero, target: 6}", `policy.yaml:7:5: apps[0].signals[0].guard: is missing, say when an empty answer can be trusted, like guard: 'up{job="rabbit"} == 1'`},
	{7, "  - {source: query, query: x, guard: up, target: 6}", `policy.yaml:7:38: apps[0].signals[0].guard: does nothing without on_empty: zero, add that, or remove guard`},
	{7, "  - {source: query, query: x, on_empty: zero, guard: up(, target: 6}", `policy.yaml:7:54: apps[0].signals[0].guard: parse error: unclosed left parenthesis`},
	{7, "  - {source: query, type: desired, query: x}\n  events: [{name: a, at: \"2026-11-11T00:00:00Z\", duration: 1h, factor: 2}]", `policy.yaml:8:3: apps[0].events: multiply the load that a signal of type track knows, and there is none, add one, or make schedules of them`},
	{7, "  - {source: query, type: desired, query: x}\n  forecast: {}", `policy.yaml:8:3: apps[0].forecast: is of the load that a signal of type track knows, and there is none, add one, or remove forecast`},
	{8, "  out: {rate: [{percent: 2000%, per: 1s}]}", `policy.yaml:8:26: apps[0].out.rate[0].percent: must be 0% to 1000%, got 2000%`},
	{8, "  out: {rate: [{replicas: -1, per: 1s}]}", `policy.yaml:8:27: apps[0].out.rate[0].replicas: must be 0 or more, got -1`},
	{8, "  out: {rate: [{per: 1s}]}", `policy.yaml:8:16: apps[0].out.rate[0]: allows no change at all, give replicas, percent or both`},
	{8, "  out: {rate: [{replicas: 1}]}", `policy.yaml:8:16: apps[0].out.rate[0].per: is missing, say in which time, like per: 60s`},
	{8, "  out: {rate: [{replicas: 1, per: 0s}]}", `policy.yaml:8:35: apps[0].out.rate[0].per: must be 1s to 1h, got 0s`},
	{8, "  in: {window: 1s}", `policy.yaml:8:16: apps[0].in.window: must be 5s to 24h, got 1s`},
	{8, "  in: {window: -5m}", `policy.yaml:8:16: apps[0].in.window: must be 5s to 24h, got -5m`},
	{8, "  in: {dead_band: -1%}", `policy.yaml:8:19: apps[0].in.dead_band: must be 0% to 50%, got -1%`},
	{8, "  in: {cooldown: 25h}", `policy.yaml:8:18: apps[0].in.cooldown: must be 0s to 24h, got 25h`},
	{8, "  during_update: stop", `policy.yaml:8:18: apps[0].during_update: unknown: "stop", available: hold_in, hold`},
	{8, "  budget: {}", `policy.yaml:8:3: apps[0].budget.changes: must be 1 to 10000, got 0`},
	{8, "  fallback: {action: max}", `policy.yaml:8:3: apps[0].fallback.replicas: must be 1 to max, got 0`},
	{8, "  fallback: {replicas: 21}", `policy.yaml:8:24: apps[0].fallback.replicas: must be 1 to max, got 21`},
	{8, "  fallback: {replicas: 2, allow_in: true}", `policy.yaml:8:37: apps[0].fallback.allow_in: does nothing for action max, which never shrinks, remove it`},
	{8, "  in: {rate: [{percent: 200%, per: 1s}]}", `policy.yaml:8:25: apps[0].in.rate[0].percent: must be 0% to 100%, got 200%`},
	{8, "  in: {rate: [{percent: 10%, per: 1m}]}", `policy.yaml:8:25: apps[0].in.rate[0].percent: 10% of fewer than 10 replicas is less than one, so that min 1 is never reached, add replicas: 1`},
	{7, "  - {target: 60%}", `policy.yaml:7:5: apps[0].signals[0].source: is missing, available: cpu, memory, query`},
	{7, "  - {source: gpu, target: 60%}", `policy.yaml:7:14: apps[0].signals[0].source: "gpu" is not available in this version, available: cpu, memory, query`},
	{7, "  - {source: cpu, type: steps}", `policy.yaml:7:5: apps[0].signals[0].rows: has 0 rows, give 1 to 16, like {above: 0.4, add: 20%}`},
	{7, "  - {source: cpu, type: desired}", `policy.yaml:7:14: apps[0].signals[0].source: a number of replicas is none of cpu, give a query that returns one, with source: query`},
	{7, "  - {source: cpu, type: steps, rows: [{add: 1}]}", `policy.yaml:7:39: apps[0].signals[0].rows[0]: has to be above or below a value, one of the two, make two rows of it`},
	{7, "  - {source: cpu, type: steps, rows: [{above: 60%}]}", `policy.yaml:7:39: apps[0].signals[0].rows[0]: does nothing, give it add or set`},
	{7, "  - {source: cpu, type: steps, rows: [{above: 60, add: 1}]}", `policy.yaml:7:47: apps[0].signals[0].rows[0].above: 60 has the wrong unit, write a percentage like 60%`},
	{7, "  - {source: cpu, type: steps, rows: [{above: 60%, add: 1.5}]}", `policy.yaml:7:57: apps[0].signals[0].rows[0].add: 1.5 is no number of replicas, write 1 to 100, or a share of them like 20%`},
	{7, "  - {source: cpu, type: steps, rows: [{above: 60%, add: 1, remove: 1}]}", `policy.yaml:7:68: apps[0].signals[0].rows[0].remove: would shrink where the load is high, write below, or add`},
	{7, "  - {source: cpu, type: steps, rows: [{above: 60%, add: 1}, {below: 60%, remove: 1}]}", `policy.yaml:7:69: apps[0].signals[0].rows[1].below: 60% is not below 60%, above which another row grows, leave room between the two`},
	{7, "  - {source: cpu}", `policy.yaml:7:5: apps[0].signals[0].target: is missing, write a percentage like 60%`},
	{7, "  - {source: cpu, target: 60}", `policy.yaml:7:27: apps[0].signals[0].target: 60 has the wrong unit, write a percentage like 60%`},
	{7, "  - {source: cpu, target: sixty}", `policy.yaml:7:27: apps[0].signals[0].target: "sixty" is not an amount, write a number, a percentage like 60%, or a size like 256MiB`},
	{7, "  - {source: cpu, target: .nan}", `policy.yaml:7:27: apps[0].signals[0].target: ".nan" is not an amount, write a number, a percentage like 60%, or a size like 256MiB`},
	{7, "  - {source: cpu, target: NaN}", `policy.yaml:7:27: apps[0].signals[0].target: "NaN" is not an amount, write a number, a percentage like 60%, or a size like 256MiB`},
	{7, "  - {source: cpu, target: 1e400}", `policy.yaml:7:27: apps[0].signals[0].target: "1e400" is not an amount, write a number, a percentage like 60%, or a size like 256MiB`},
	{7, "  - {source: cpu, target: 0%}", `policy.yaml:7:27: apps[0].signals[0].target: must be above 0, got 0%`},
	{7, "  - {source: cpu, target: 160%}", `policy.yaml:7:27: apps[0].signals[0].target: must be at most 100%, got 160%`},
	{7, "  - {source: cpu, of: bytes, target: 1}", `policy.yaml:7:23: apps[0].signals[0].of: unknown: "bytes", available: limit, cores`},
	{7, "  - {source: memory, of: request, target: 1MiB}", `policy.yaml:7:26: apps[0].signals[0].of: "request" is not available in this version, available: limit, bytes`},
	{7, "  - {source: memory, of: bytes, target: 64}", `policy.yaml:7:41: apps[0].signals[0].target: 64 has the wrong unit, write a size like 256MiB`},
	{7, "  - {source: cpu, kind: total, target: 60%}", `policy.yaml:7:25: apps[0].signals[0].kind: cpu of limit is read as utilization, remove kind`},
	{7, "  - {source: cpu, kind: sum, target: 60%}", `policy.yaml:7:25: apps[0].signals[0].kind: unknown: "sum", available: utilization, average, total`},
	{7, "  - {source: cpu, query: x, target: 60%}", `policy.yaml:7:26: apps[0].signals[0].query: does nothing for type track and source cpu, remove it`},
	{7, "  - {source: memory, window: 5s, target: 60%}", `policy.yaml:7:30: apps[0].signals[0].window: does nothing for type track and source memory, remove it`},
	{7, "  - {source: cpu, step_in: 2, target: 60%}", `policy.yaml:7:28: apps[0].signals[0].step_in: does nothing for type track and source cpu, remove it`},
	{7, "  - {source: cpu, window: 1s, target: 60%}", `policy.yaml:7:27: apps[0].signals[0].window: must be 2s to 1h, got 1s`},
	{7, "  - {source: cpu, max_age: 0s, target: 60%}", `policy.yaml:7:28: apps[0].signals[0].max_age: must be 2s to 10m, got 0s`},
	{7, "  - {source: cpu, name: ' ', target: 60%}", `policy.yaml:7:25: apps[0].signals[0].name: " " is not a name, use up to 63 letters, digits, dots, dashes and underscores`},
	{7, "  - {source: query, target: 5}", `policy.yaml:7:5: apps[0].signals[0].query: is missing, source query needs PromQL`},
	{7, "  - {source: query, query: sum(x, target: 5}", `policy.yaml:7:28: apps[0].signals[0].query: parse error: unclosed left parenthesis`},
	{7, "  - {source: query, query: x, of: limit, target: 5}", `policy.yaml:7:35: apps[0].signals[0].of: does nothing for type track and source query, remove it`},
	{7, "  - {source: query, query: x, target: 5%}", `policy.yaml:7:39: apps[0].signals[0].target: 5% has the wrong unit, write a number like 250 or a size like 256MiB`},
	{7, "  - {source: query, query: x, kind: utilization, target: 5}", `policy.yaml:7:58: apps[0].signals[0].target: 5 has the wrong unit, write a percentage like 60%`},
	{7, "  - {source: cpu, type: threshold, max: 80%}", `policy.yaml:7:5: apps[0].signals[0].min: is missing, write a percentage like 60%`},
	{7, "  - {source: cpu, type: threshold, max: 80%, min: 30%, target: 5%}", `policy.yaml:7:64: apps[0].signals[0].target: does nothing for type threshold and source cpu, remove it`},
	{7, "  - {source: cpu, type: threshold, max: 80%, min: 30%, step_out: 0}", `policy.yaml:7:66: apps[0].signals[0].step_out: must be 1 to 100, got 0`},
	{7, "  - {source: cpu, type: threshold, max: 80%, min: 30%, samples: 99}", `policy.yaml:7:65: apps[0].signals[0].samples: must be 1 to 60, got 99`},
	{7, "  - {source: query, query: x, type: threshold, max: 80, min: 30%}", `policy.yaml:7:62: apps[0].signals[0].min: 30% does not compare with 80, write both as numbers, both with % or both as sizes`},
	{7, "  - {source: query, query: x, type: steps, rows: [{above: 80, add: 1}, {below: 30%, remove: 1}]}", `policy.yaml:7:80: apps[0].signals[0].rows[1].below: 30% does not compare with 80, write both as numbers, both with % or both as sizes`},
	{7, "  - {source: query, query: x, type: steps, rows: [{below: 30, remove: 1}, {above: 80%, add: 1}]}", `policy.yaml:7:83: apps[0].signals[0].rows[1].above: 80% does not compare with 30, write both as numbers, both with % or both as sizes`},
	{7, "  - {source: cpu, type: threshold, max: 30%, min: 80%}", `policy.yaml:7:51: apps[0].signals[0].min: 80% is not below max 30%, leave room between the two`},
	{7, "  - {source: cpu, type: threshold, max: 80%, min: 30%, saturation: {above: 95%}}", `policy.yaml:7:56: apps[0].signals[0].saturation: does nothing for type threshold and source cpu, remove it`},
	{7, "  - {source: cpu, target: 60%}\n  - {source: cpu, target: 70%}", `policy.yaml:8:5: apps[0].signals[1].name: "cpu" is the name of signals[0] already, give each signal its own`},
	{8, "- name: shop\n  target: {driver: swarm, service: other}\n  max: 2\n  signals: [{source: cpu, target: 60%}]", `policy.yaml:8:9: apps[1].name: "shop" is the name of apps[0] already, give each policy its own`},
	{8, "- name: other\n  target: {driver: swarm, service: shop_web}\n  max: 2\n  signals: [{source: cpu, target: 60%}]", `policy.yaml:9:3: apps[1].target: swarm/shop_web is already controlled by apps[0], one workload takes one policy; put all signals into that one`},
}

func TestEachMistakeIsToldWithItsRemedy(t *testing.T) {
	opts := policy.Options{CheckQuery: func(query string) (policy.Facts, error) {
		if strings.Contains(query, "(") != strings.Contains(query, ")") {
			return policy.Facts{}, errors.New("parse error: unclosed left parenthesis")
		}
		return policy.Facts{}, nil
	}}
	for _, tt := range mistakes {
		t.Run(tt.text, func(t *testing.T) {
			file, problems := load(t, replace(tt.line, tt.text), opts)
			if file != nil {
				t.Error("a file with mistakes was handed out")
			}
			if got := problems.Error(); !slices.Contains(strings.Split(got, "\n"), tt.want) {
				t.Errorf("got  %v\nwant %s", got, tt.want)
			}
		})
	}
}

// replace is shop with text as its line n, from 1, or behind its last.
func replace(n int, text string) string {
	lines := strings.Split(shop, "\n")
	lines[n-1] = text
	return strings.Join(lines, "\n")
}

func TestAllMistakesOfAFileAreToldAtOnce(t *testing.T) {
	_, problems := load(t, "apps:\n- max: -1\n  mode: on\n  target: {driver: marathon}\n  signals: [{source: cpu, target: 5}, {type: x}]\n", policy.Options{})
	want := `policy.yaml:1:1: version: is missing, start the file with version: plimsoll.scaler/v1
policy.yaml:2:3: apps[0].name: is missing, give the policy a name
policy.yaml:2:8: apps[0].max: -1 is less than min 1, max is the greater of the two
policy.yaml:3:9: apps[0].mode: unknown: "on", available: advise, active, paused
policy.yaml:4:3: apps[0].target.app: is missing, driver marathon needs it
policy.yaml:4:20: apps[0].target.driver: "marathon" is not available in this version, available: swarm
policy.yaml:5:35: apps[0].signals[0].target: 5 has the wrong unit, write a percentage like 60%
policy.yaml:5:39: apps[0].signals[1].source: is missing, available: cpu, memory, query
policy.yaml:5:46: apps[0].signals[1].type: unknown: "x", available: track, threshold, steps, desired`
	if diff := cmp.Diff(want, problems.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAListThatIsMissingOrNoneIsToldOnce(t *testing.T) {
	const head = "version: plimsoll.scaler/v1\n"
	tests := map[string]string{
		"# nothing yet\n":                       "policy.yaml: version: is missing, start the file with version: plimsoll.scaler/v1\npolicy.yaml: apps: is missing, add a policy, or an empty list: apps: []",
		head:                                    "policy.yaml:1:1: apps: is missing, add a policy, or an empty list: apps: []",
		head + "apps: 5\n":                      "policy.yaml:2:7: apps: must be a list, got the number 5, start each item with a dash, or write [a, b]",
		head + "apps: [5]\n":                    "policy.yaml:2:8: apps[0]: must be a mapping, got the number 5, write keys and values, like \"key: value\"",
		head + "apps: []\n":                     "",
		shop[:strings.Index(shop, "  signals")]: "policy.yaml:3:3: apps[0].signals: has 0 signals, give 1 to 16",
		shop + strings.Repeat("  - 1\n", 16):    "policy.yaml:6:3: apps[0].signals: has 17 signals, give 1 to 16",
	}
	for text, want := range tests {
		t.Run(want, func(t *testing.T) {
			_, problems := load(t, text, policy.Options{})
			if got := problems.Error(); !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestTheCeilingAndTheDriversAreTheScalers(t *testing.T) {
	text := strings.NewReplacer("max: 20", "max: 2000", "swarm", "fake").Replace(shop)
	file, problems := load(t, text, policy.Options{Ceiling: 3000, Drivers: []string{"swarm", "fake"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := file.Apps[0].Ceiling; got != 3000 {
		t.Errorf("ceiling %d, want 3000", got)
	}
}

func TestParseTellsOfFormAndMeaning(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":     "policy.yaml:1:4: sequence end token ']' not found",
		"apps: []": "policy.yaml:1:1: version: is missing, start the file with version: plimsoll.scaler/v1",
		shop:       "",
	} {
		file, err := policy.Parse("policy.yaml", []byte(text), policy.Options{})
		if got := fmt.Sprint(err); got != want && (want != "" || err != nil) || (file == nil) != (err != nil) {
			t.Errorf("file %v, error %s, want %s", file, got, want)
		}
	}
}

func TestAPolicySurvivesJSON(t *testing.T) {
	file, problems := load(t, example(t), policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	data, err := json.Marshal(file.Apps)
	if err != nil {
		t.Fatal(err)
	}
	var back []policy.App
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(file.Apps, back); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func example(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "policies.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheExampleOfTheDocsLoads(t *testing.T) {
	file, problems := load(t, example(t), policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems.Render())
	}
	if n := len(file.Apps); n != 4 {
		t.Errorf("%d policies, want 4", n)
	}
}

// docs is what people read of all this.
func docs(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "policies.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// row is a line of a table of keys: | `key` | default | …
var row = regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\| ([^|]+) \\|")

func TestTheDocsHaveEveryKeyWithItsDefault(t *testing.T) {
	documented := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(docs(t), -1) {
		if strings.HasPrefix(m[1], "aliyun.") {
			continue // a label
		}
		documented[m[1]] = m[2]
	}
	file, problems := load(t, shop, policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	keys(t, reflect.ValueOf(file).Elem(), "", func(key string, v reflect.Value) {
		text, ok := documented[key]
		if !ok {
			t.Errorf("docs/policies.md does not have %s", key)
		}
		delete(documented, key)
		if got := "`" + display(v) + "`"; strings.HasPrefix(text, "`") && text != got {
			t.Errorf("docs/policies.md gives %s the default %s, it is %s", key, text, got)
		}
	})
	for key := range documented {
		t.Errorf("docs/policies.md has %s, which no file can have", key)
	}
}

// keys calls f with every key of a file and the value it has in v.
func keys(t *testing.T, v reflect.Value, prefix string, f func(string, reflect.Value)) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "-" || name == "" {
			continue
		}
		key, field := prefix+name, v.Field(i)
		f(key, field)
		if field.Kind() == reflect.Pointer && field.IsNil() {
			field = reflect.New(field.Type().Elem())
			if d, ok := field.Interface().(interface{ SetDefaults() }); ok {
				d.SetDefaults()
			}
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		if field.Kind() == reflect.Slice {
			if field.Len() == 0 { // what an entry has that says nothing
				entry := reflect.New(field.Type().Elem())
				if d, ok := entry.Interface().(interface{ SetDefaults() }); ok {
					d.SetDefaults()
				}
				field = reflect.Append(field, entry.Elem())
			}
			key, field = key+"[]", field.Index(0)
		}
		_, single := field.Addr().Interface().(conf.Setter)
		if field.Kind() == reflect.Struct && !single && name != "defaults" {
			keys(t, field, key+".", f)
		}
	}
}

func display(v reflect.Value) string {
	if d, ok := v.Interface().(time.Duration); ok {
		return policy.Short(d)
	}
	return fmt.Sprint(v.Interface())
}

func FuzzLoad(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "policies.example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(shop))
	f.Add([]byte("defaults: {max: 9, in: {window: 1m}, signals: &s [{source: cpu, target: 6%}]}\napps: [{name: a, signals: *s}, {<<: *s}]\n"))
	for _, a := range mistakes {
		f.Add([]byte(replace(a.line, a.text)))
	}
	f.Add([]byte(replace(7, "  - {source: cpu, type: threshold, max: 60%, min: 34%}")))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := conf.Parse("fuzz.yaml", data)
		if err != nil {
			return
		}
		file, problems := policy.Load(doc, policy.Options{CheckQuery: facts})
		if (file == nil) != (len(problems) > 0) {
			t.Fatal("either a file or problems")
		}
		problems.Render()
		if file == nil {
			return
		}
		file.Warnings.Render()
		for _, a := range file.Apps {
			if a.Min < 1 && a.AllowZero == nil || a.Min < 0 || a.Max < a.Min || a.Max > policy.DefaultCeiling || len(a.Signals) == 0 {
				t.Errorf("let pass: %+v", a)
			}
		}
	})
}

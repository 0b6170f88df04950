package scaler

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// crowd is a world with n services of two replicas, and a policy for each.
func crowd(n int) (*world, []policy.App) {
	w := &world{load: 20}
	apps := make([]policy.App, n)
	for i := range apps {
		apps[i] = holding(policy.Active)
		apps[i].Name = fmt.Sprintf("policy-%d", i)
		apps[i].Target.Service = fmt.Sprintf("service-%d", i)
		w.platform.Add(driver.Workload{Name: apps[i].Target.Service}, 2)
	}
	return w, apps
}

// containers is a store that knows two replicas of each service, on two nodes, and
// counts what it is asked.
type containers struct {
	use func(service string) float64

	takes time.Duration // for an answer
	hangs string        // what queries have in them that are never answered

	mu    sync.Mutex
	asked []string
	fail  error
}

var asksFor = regexp.MustCompile(`service_name=~?"([^"]*)"`)

func (c *containers) Query(ctx context.Context, promql string, at time.Time, _ time.Duration) ([]Sample, error) {
	<-time.After(c.takes)
	c.mu.Lock()
	c.asked = append(c.asked, promql)
	fail := c.fail
	c.mu.Unlock()
	if c.hangs != "" && strings.Contains(promql, c.hangs) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if fail != nil {
		return nil, fail
	}
	var samples []Sample
	for _, service := range strings.Split(asksFor.FindStringSubmatch(promql)[1], "|") {
		for _, node := range []string{"n1", "n2"} {
			s := Sample{Labels: map[string]string{policy.ServiceLabel: service, "node": node, "id": "/docker/" + service}, At: at, Value: c.use(service)}
			switch {
			case strings.Contains(promql, "timestamp("):
				s.Value = float64(at.Add(-400*time.Millisecond).UnixMilli()) / 1000
			case strings.Contains(promql, "throttled"):
				s.Value = 0.05
			case strings.Contains(promql, "pressure"):
				s.Value = 0.1
			}
			samples = append(samples, s)
		}
	}
	return samples, nil
}

func (c *containers) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

// byCPU makes policies of a target of 50 % of the limit.
func byCPU(apps []policy.App) []policy.App {
	for i := range apps {
		apps[i].Signals = []policy.Signal{{
			Name: "cpu", Type: policy.Track, Source: policy.CPU, Of: policy.Limit, Kind: policy.Utilization, Window: 5 * time.Second,
			Target: policy.Amount{Value: 0.5, Unit: policy.Share}, MaxAge: 15 * time.Second, Saturation: policy.Saturation{Above: 0.95, Boost: 3},
			Coverage: policy.Coverage{Out: 0.5, In: 0.8},
		}}
	}
	return apps
}

// TestManyPoliciesAskAHandfulOfQuestions is the budget: one list of the platform
// and two queries for each thousand services, each interval, and two more where some
// are near their targets.
func TestManyPoliciesAskAHandfulOfQuestions(t *testing.T) {
	for name, tt := range map[string]struct {
		use  float64
		asks int // for each thousand
	}{"quiet ones": {0.4, 2}, "hot ones": {0.5, 4}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n, thousands, intervals = mostServices + 100, 2, 2
				w, apps := crowd(n)
				store := &containers{use: func(string) float64 { return tt.use }}
				s := playOver(t, w, store, Options{Policies: byCPU(apps)})
				s.pass(6 * time.Second)
				ticks, queries, lists, reads := s.metric("evaluations_total", "trigger=interval"), store.count(), w.platform.Lists(), w.platform.Reads()
				s.pass(intervals * 2 * time.Second)
				if got := s.metric("evaluations_total", "trigger=interval") - ticks; got != intervals*n {
					t.Errorf("%v evaluations in %d intervals, want %d", got, intervals, intervals*n)
				}
				if got := store.count() - queries; got != intervals*thousands*tt.asks {
					t.Errorf("%d queries in %d intervals, want %d in each", got, intervals, thousands*tt.asks)
				}
				if l, r := w.platform.Lists()-lists, w.platform.Reads()-reads; l != intervals || r != 0 {
					t.Errorf("%d lists and %d single looks in %d intervals, want one list in each", l, r, intervals)
				}
				if got := s.metric("queries_total", ""); got != float64(store.count()) {
					t.Errorf("%v queries counted, %d asked", got, store.count())
				}
				for _, p := range s.scaler.Policies() {
					r := p.Last.Observation.Signals[0]
					if full := r.Throttled != nil && *r.Throttled == 0.05 && r.Pressure != nil && *r.Pressure == 0.1; r.Err != "" || len(r.Samples) != 2 || full != (tt.asks == 4) {
						t.Fatalf("%s reads %+v", p.Policy.Name, r)
					}
				}
			})
		})
	}
}

// TestOnlyServicesNearTheirTargetsAreAskedHowFullTheyAre is about what a decision
// makes use of: of two signals that read the same, the lower target counts.
func TestOnlyServicesNearTheirTargetsAreAskedHowFullTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		uses := map[string]float64{"service-0": 0.44, "service-1": 0.46, "service-2": 0.9, "service-3": 0.2, "service-4": 0.2}
		w, apps := crowd(len(uses))
		apps = byCPU(apps)
		for i := range apps {
			apps[i].Max = 2
		}
		lower := apps[3].Signals[0]
		lower.Name, lower.Target.Value = "low", 0.2
		apps[3].Signals = append(apps[3].Signals, lower)
		store := &containers{use: func(service string) float64 { return uses[service] }}
		s := playOver(t, w, store, Options{Policies: apps})
		s.pass(5 * time.Second)

		near := map[string]bool{"service-1": true, "service-2": true, "service-3": true}
		for _, p := range s.scaler.Policies() {
			for _, r := range p.Last.Observation.Signals {
				if got := r.Throttled != nil && r.Pressure != nil; got != near[p.Policy.Target.Service] {
					t.Errorf("%s, %s: throttled %v, pressure %v", p.Policy.Name, r.Signal, r.Throttled, r.Pressure)
				}
			}
		}
		full := 0
		for _, promql := range store.asked {
			if !strings.Contains(promql, "throttled") && !strings.Contains(promql, "pressure") {
				continue
			}
			full++
			for _, service := range strings.Split(asksFor.FindStringSubmatch(promql)[1], "|") {
				if !near[service] {
					t.Errorf("%s is asked how full it is", service)
				}
			}
		}
		if full == 0 {
			t.Error("nothing is asked how full it is")
		}
	})
}

// TestHowFullReplicasAreDelaysNobodyElse, and costs no reading if it is never told.
func TestHowFullReplicasAreDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(2)
		store := &containers{hangs: "throttled", use: func(service string) float64 {
			return map[string]float64{"service-0": 0.4, "service-1": 0.9}[service]
		}}
		s := playOver(t, w, store, Options{Policies: byCPU(apps)})
		s.pass(time.Second)
		before := s.metric("ticks_total", "policy=policy-0")
		s.pass(time.Minute)
		if got := s.metric("ticks_total", "policy=policy-0") - before; got != 30 {
			t.Errorf("%v ticks of the quiet one in a minute, want 30", got)
		}
		if got := s.metric("query_errors_total", "policy=policy-1,signal=cpu"); got != 0 {
			t.Errorf("%v readings of the hot one are lost", got)
		}
		if got := len(w.platform.Replicas(driver.Workload{Name: "service-1"})); got < 4 {
			t.Errorf("the hot one has %d replicas, want 4", got)
		}
	})
}

func TestPoliciesThatAskTogetherAreAnsweredEachItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(3)
		store := &containers{use: func(service string) float64 {
			return map[string]float64{"service-0": 0.5, "service-1": 0.9, "service-2": 0.1}[service]
		}}
		s := playOver(t, w, store, Options{Policies: byCPU(apps)})
		s.pass(time.Minute)
		for i, want := range []int{2, 4, 2} {
			if got := len(w.platform.Replicas(driver.Workload{Name: fmt.Sprintf("service-%d", i)})); got < want {
				t.Errorf("service-%d has %d replicas, want %d", i, got, want)
			}
		}
		if got := len(w.platform.Replicas(driver.Workload{Name: "service-0"})); got != 2 {
			t.Errorf("service-0, which has what it needs, has %d replicas", got)
		}
	})
}

func TestAQuestionThatFailsHasFailedForAllWhoAskedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(5)
		store := &containers{use: func(string) float64 { return 0.5 }}
		s := playOver(t, w, store, Options{Policies: byCPU(apps)})
		s.pass(10 * time.Second)
		store.mu.Lock()
		store.fail = errors.New("too many samples")
		store.mu.Unlock()
		before := store.count()
		s.pass(2 * time.Second)
		if got := store.count() - before; got != 2 {
			t.Errorf("%d queries, want the 2 that fail and no more", got)
		}
		for _, p := range s.scaler.Policies() {
			if r := p.Last.Observation.Signals[0]; r.Err != "too many samples" || p.Last.Decision.Action != decide.Hold {
				t.Errorf("%s reads %+v and does %s", p.Policy.Name, r, p.Last.Decision.Action)
			}
			if got := s.metric("query_errors_total", "policy="+p.Policy.Name+",signal=cpu"); got != 1 {
				t.Errorf("%s: %v errors counted", p.Policy.Name, got)
			}
		}
		w.platform.FailStatus(errors.New("no manager"))
		s.pass(2 * time.Second)
		for _, p := range s.scaler.Policies() {
			if !strings.Contains(p.Last.Observation.Err, "no manager") {
				t.Errorf("%s: %+v", p.Policy.Name, p.Last.Observation)
			}
		}
	})
}

func TestPoliciesThatAreLateTogetherGoOnTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(50)
		store := &containers{use: func(string) float64 { return 0.4 }, takes: 2900 * time.Millisecond}
		s := playOver(t, w, store, Options{Policies: byCPU(apps)})
		s.pass(30 * time.Second)
		if got := store.count(); got > 2*11 {
			t.Errorf("%d queries in 30 s of answers that take 3 s, want 2 each time", got)
		}
	})
}

// TestAWriteIsDecidedOnAFreshLook: what a list said is compared by the platform,
// and a conflict is looked at alone.
func TestAWriteIsDecidedOnAFreshLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(3)
		s := play(t, w, Options{Policies: apps})
		s.pass(time.Second)
		one := driver.Workload{Name: "service-1"}
		for range 3 { // whoever writes first, someone else was faster
			w.platform.BeforeScale(func() { w.platform.Edit(one, 9) })
		}
		reads := w.platform.Reads()
		s.set(40)
		s.pass(time.Second)
		if got := len(w.platform.Replicas(one)); got != 9 {
			t.Errorf("service-1 has %d replicas, want the 9 of whom was faster", got)
		}
		if w.platform.Reads() == reads {
			t.Error("nothing was looked at again")
		}
	})
}

func TestAHungQueryOfOneDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(3)
		apps[1].Signals[0].Query = "other"
		w.spoil(func(ctx context.Context) ([]Sample, error) { <-ctx.Done(); return nil, ctx.Err() }) // answers "load"
		s := play(t, w, Options{Policies: apps})
		s.pass(time.Second)
		before := s.metric("ticks_total", "policy=policy-1")
		s.pass(time.Minute)
		if got := s.metric("ticks_total", "policy=policy-1") - before; got != 30 {
			t.Errorf("%v ticks of the sound one in a minute, want 30", got)
		}
	})
}

func TestAnEmptyAnswerIsZeroOnlyWhereItsGuardVouches(t *testing.T) {
	signal := query(policy.Total)
	signal.OnEmpty, signal.Guard = policy.EmptyZero, "guard"
	tests := map[string]struct {
		guard []Sample
		err   error
		want  string // error
	}{
		"it does":           {guard: []Sample{{Value: 1}}},
		"it returns none":   {want: "the query returns nothing, and so does its guard"},
		"it cannot be told": {err: errors.New("timeout"), want: "the query returns nothing, and its guard fails: timeout"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, r := listening(t, signal, func(promql string, _ time.Time) ([]Sample, error) {
				if promql == "guard" {
					return tt.guard, tt.err
				}
				return nil, nil
			})
			got, _ := l.read(t.Context(), r, &signal)
			if got.Err != tt.want || got.Empty != (tt.want == "") || got.Empty && (len(got.Samples) != 1 || got.Samples[0].Value != 0 || !got.Samples[0].At.Equal(noon)) {
				t.Errorf("reading %+v, want error %q", got, tt.want)
			}
		})
	}
}

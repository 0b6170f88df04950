package alerting_test

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// second is how far apart samples and evaluations are in a slow world.
const second = 5 * time.Second

// slow is a world in which time passes only where it is told to: hours in
// moments. It has a real store and nobody to tell; what fires can be looked at.
type slow struct {
	*process
	w     *world
	stop  context.CancelFunc
	ended chan error
	mu    sync.Mutex
	away  map[string]bool
	back  map[string]time.Time
	store func(ctx context.Context, query string) error // nil: it answers
}

func inSlowWorld(t *testing.T, rules string, story func(s *slow)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir()}
		var err error
		if w.db, err = tsdb.Open(filepath.Join(w.dir, "tsdb"), nil, nil, tsdb.DefaultOptions(), nil); err != nil {
			t.Fatal(err)
		}
		w.engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
		w.write("alertmanager.yml", "route: {receiver: nobody, group_wait: 0s, group_interval: 1s}\nreceivers: [{name: nobody}]\n")
		w.write("rules.yml", rules)
		t.Cleanup(func() {
			if err := w.engine.Close(); err != nil {
				t.Error(err)
			}
			if err := w.db.Close(); err != nil {
				t.Error(err)
			}
		})
		s := &slow{w: w, away: map[string]bool{}, back: map[string]time.Time{}}
		s.start()
		t.Cleanup(func() { s.end() })
		story(s)
	})
}

func (s *slow) start() {
	t := s.w.t
	t.Helper()
	opts := alerting.Options{
		Engine: s.w.engine, Queryable: s.w.db, Appendable: s.w.db,
		ConfigFile: s.w.path("alertmanager.yml"), RuleFiles: []string{s.w.path("rules.yml")},
		EvaluationInterval: second, DataDir: s.w.path("alerting"),
		ExternalURL: &url.URL{Scheme: "http", Host: "plimsoll.example:9900"},
		Registerer:  prometheus.NewRegistry(),
		Lost:        s.lost,
		QueryFunc:   s.ask,
	}
	a, err := alerting.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.process = &process{Alerting: a, t: t, reg: opts.Registerer.(*prometheus.Registry)}
	s.stop, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- a.Run(ctx) }()
	synctest.Wait()
}

func (s *slow) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
}

// pass lets time go by, in steps at which what holds is written.
func (s *slow) pass(d time.Duration, holds ...func()) {
	s.t.Helper()
	for range d / second {
		for _, write := range holds {
			write()
		}
		<-time.After(second)
		synctest.Wait()
	}
}

// sample is something that holds: a series has a value.
func (s *slow) sample(v float64, series ...string) func() {
	return func() {
		s.t.Helper()
		app := s.w.db.Appender(s.t.Context())
		if _, err := app.Append(0, labels.FromStrings(series...), time.Now().UnixMilli(), v); err != nil {
			s.t.Fatal(err)
		}
		if err := app.Commit(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *slow) memory(used float64) func() {
	return func() {
		s.t.Helper()
		s.sample(used, "__name__", "container_memory_working_set_bytes", "id", "/docker/web", "name", "web", "node", "n1")()
		s.sample(100, "__name__", "container_spec_memory_limit_bytes", "id", "/docker/web", "name", "web", "node", "n1")()
	}
}

func (s *slow) up(v float64) func() {
	return s.sample(v, "__name__", "up", "job", "plimsoll-agent", "node", "n1", "instance", "n1:9900")
}

// lose ends what is known of the node, as the collector does.
func (s *slow) lose() {
	s.mu.Lock()
	s.away["n1"] = true
	s.mu.Unlock()
	s.memory(math.Float64frombits(value.StaleNaN))()
}

func (s *slow) find() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away["n1"], s.back["n1"] = false, time.Now()
}

func (s *slow) lost(node string) (away bool, back time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away[node], s.back[node]
}

// ask evaluates, unless the store has a problem.
func (s *slow) ask(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
	s.mu.Lock()
	problem := s.store
	s.mu.Unlock()
	if problem != nil {
		if err := problem(ctx, query); err != nil {
			return nil, err
		}
	}
	return promrules.EngineQueryFunc(s.w.engine, s.w.db)(ctx, query, at)
}

// fails gives the store a problem.
func (s *slow) fails(problem func(ctx context.Context, query string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store = problem
}

// fires lists what fires, the newest first.
func (s *slow) fires() string {
	var all []string
	for _, a := range s.Active(s.t.Context()) {
		all = append(all, a.Name)
	}
	return strings.Join(all, " ")
}

func (s *slow) mustFire(want, when string) {
	s.t.Helper()
	if got := s.fires(); got != want {
		s.t.Fatalf("%s [%s] fires, want [%s]", when, got, want)
	}
}

// throughout fails if anything but want fires at any step while time passes.
func (s *slow) throughout(d time.Duration, want, when string, holds ...func()) {
	s.t.Helper()
	for range d / second {
		s.pass(second, holds...)
		s.mustFire(want, when)
	}
}

const memoryHigh = `groups:
  - name: test
    rules:
      - alert: MemoryHigh
        expr: container_memory_working_set_bytes / (container_spec_memory_limit_bytes > 0) > 0.9
        labels: {severity: warning}
`

const agentDown = `
  - name: agents
    rules:
      - alert: AgentDown
        expr: max by (node) (up{job="plimsoll-agent"}) == 0
        for: 15s
        labels: {severity: critical}
`

// calm is how long after a start nothing is excused by it any more.
const calm = 2 * time.Minute

func TestAnAlertWhoseRuleFailsFiresOnAndResolvesOnceTheRuleCanTell(t *testing.T) {
	for name, limit := range map[string]int{"the expression fails": 0, "the rule gives more alerts than it may": 3} {
		t.Run(name, func(t *testing.T) {
			rules := fmt.Sprintf(`groups:
  - name: test
    limit: %d
    rules:
      - alert: QueueLong
        expr: queue > on (name) group_left () most
`, limit)
			inSlowWorld(t, rules, func(s *slow) {
				queue := func(v float64) func() { return s.sample(v, "__name__", "queue", "name", "a") }
				most := s.sample(10, "__name__", "most", "name", "a")
				breaks := func() {
					if limit == 0 { // two of what must be one
						s.sample(10, "__name__", "most", "name", "a", "copy", "1")()
						return
					}
					for i := range 2 * limit {
						s.sample(100, "__name__", "queue", "name", "a", "part", fmt.Sprint(i))()
					}
				}
				mends := func() {
					stale := math.Float64frombits(value.StaleNaN)
					if limit == 0 {
						s.sample(stale, "__name__", "most", "name", "a", "copy", "1")()
					}
					for i := range 2 * limit {
						s.sample(stale, "__name__", "queue", "name", "a", "part", fmt.Sprint(i))()
					}
				}
				s.pass(calm, queue(50), most)
				s.mustFire("QueueLong", "above its limit")
				s.throughout(20*time.Minute, "QueueLong", "while its rule fails", queue(50), most, breaks)
				if s.metric("prometheus_rule_evaluation_failures_total") < 100 {
					t.Fatal("the rule does not fail")
				}
				if n := s.metric("plimsoll_alerting_held_alerts", "reason", "evaluation"); limit == 0 && n != 1 {
					t.Errorf("%v alerts are said to be held", n)
				}
				mends()
				s.pass(3*time.Minute, queue(5), most)
				s.mustFire("", "with its rule mended and its queue short")
				if n := s.metric("plimsoll_alerting_held_alerts"); n != 0 {
					t.Errorf("%v alerts are said to be held in the end", n)
				}
			})
		})
	}
}

func TestAnAlertOfALostNodeFiresUntilItsDataAreBack(t *testing.T) {
	inSlowWorld(t, memoryHigh+agentDown, func(s *slow) {
		s.pass(calm, s.memory(95), s.up(1))
		s.mustFire("MemoryHigh", "above its limit")
		since := s.Active(t.Context())[0].Since

		s.lose()
		s.pass(30*time.Second, s.up(0))
		s.throughout(30*time.Minute, "AgentDown MemoryHigh", "while its agent is away", s.up(0))
		if n := s.metric("plimsoll_alerting_held_alerts", "reason", "node"); n != 1 {
			t.Errorf("%v alerts are said to be held", n)
		}

		s.find()
		s.pass(2*second, s.memory(95), s.up(1))
		s.throughout(10*time.Minute, "MemoryHigh", "with its agent back and still above", s.memory(95), s.up(1))
		if now := s.Active(t.Context())[0].Since; !now.Equal(since) {
			t.Errorf("it fires since %v, and did since %v", now, since)
		}

		s.lose()
		s.pass(time.Minute, s.up(0))
		s.mustFire("AgentDown MemoryHigh", "with its agent away again")
		s.find()
		s.pass(4*second, s.memory(50), s.up(1))
		s.mustFire("", "with its agent back and below")
		if n := s.metric("plimsoll_alerting_held_alerts"); n != 0 {
			t.Errorf("%v alerts are said to be held in the end", n)
		}
		s.throughout(20*time.Minute, "", "afterwards", s.memory(50), s.up(1))
	})
}

func TestAnAlertOfAContainerThatEndedResolvesAtOnce(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.mustFire("MemoryHigh", "above its limit")
		s.memory(math.Float64frombits(value.StaleNaN))()
		s.pass(2 * second)
		s.mustFire("", "after the container's end")
	})
}

func TestWhatResolvedBeforeItsNodeWasLostStaysResolved(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.pass(2*second, s.memory(50))
		s.mustFire("", "below its limit")
		s.lose()
		s.throughout(20*time.Minute, "", "while its agent is away")
	})
}

func TestAContainerThatIsNotThereWhenItsAgentIsBackHasEnded(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.lose()
		s.pass(time.Minute)
		s.find()
		s.throughout(80*time.Second, "MemoryHigh", "while its data may still come")
		s.pass(20 * time.Second)
		s.mustFire("", "when they did not")
	})
}

func TestReadingsThatComeLateAfterAnOutageResolveNothing(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.lose()
		s.pass(10 * time.Second)
		s.find()
		used := s.sample(95, "__name__", "container_memory_working_set_bytes", "id", "/docker/web", "name", "web", "node", "n1")
		s.throughout(time.Minute, "MemoryHigh", "before the limit is read again", used)
		s.throughout(10*time.Minute, "MemoryHigh", "once it is", s.memory(95))
	})
}

func TestAnAlertThatWaitsForItsForAfterAnOutageIsHeldMeanwhile(t *testing.T) {
	rules := strings.Replace(memoryHigh, "labels:", "for: 5m\n        labels:", 1)
	inSlowWorld(t, rules, func(s *slow) {
		s.pass(calm+5*time.Minute, s.memory(95))
		s.mustFire("MemoryHigh", "above its limit for long")
		s.lose()
		s.pass(time.Minute)
		s.find()
		s.throughout(20*time.Minute, "MemoryHigh", "after the outage", s.memory(95))
	})
}

func TestARangeIsWaitedForUntilItsRuleCanTell(t *testing.T) {
	const rules = `groups:
  - name: test
    rules:
      - {alert: Busy, expr: 'rate(work_total[1m]) > 0.9'}
`
	inSlowWorld(t, rules, func(s *slow) {
		total := 0.0
		works := func() {
			total += second.Seconds()
			s.sample(total, "__name__", "work_total", "name", "web", "node", "n1")()
		}
		s.pass(calm, works)
		s.mustFire("Busy", "at work")
		s.mu.Lock()
		s.away["n1"] = true
		s.mu.Unlock()
		s.sample(math.Float64frombits(value.StaleNaN), "__name__", "work_total", "name", "web", "node", "n1")()
		s.throughout(5*time.Minute, "Busy", "while its agent is away")
		s.find()
		s.throughout(10*time.Minute, "Busy", "with its agent back", works)
	})
}

func TestNoAlertIsHeldForMoreThanAnHourWithoutData(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.lose()
		s.throughout(59*time.Minute, "MemoryHigh", "within the hour")
		s.pass(3 * time.Minute)
		s.mustFire("", "after an hour")
		if n := s.metric("plimsoll_alerting_held_expired_total"); n != 1 {
			t.Errorf("%v alerts are said to have been held for too long", n)
		}
		s.throughout(30*time.Minute, "", "afterwards")
	})
}

func TestAnAlertWhoseRuleIsTakenAwayWhileItIsHeldEnds(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.lose()
		s.pass(time.Minute)
		s.mustFire("MemoryHigh", "while its agent is away")
		s.w.write("rules.yml", "groups: []\n")
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
		s.pass(2 * second)
		s.mustFire("", "without a rule")
	})
}

func TestARestartResolvesNothingThatStillFires(t *testing.T) {
	for name, down := range map[string]time.Duration{"for a moment": 10 * time.Second, "for longer than a query looks back": 30 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			inSlowWorld(t, memoryHigh+agentDown, func(s *slow) {
				s.pass(calm, s.memory(95), s.up(1))
				s.mustFire("MemoryHigh", "before")
				s.end()
				<-time.After(down)
				s.start()
				s.throughout(15*time.Second, "MemoryHigh", "before the agent is back")
				s.throughout(10*time.Minute, "MemoryHigh", "once it is", s.memory(95), s.up(1))
			})
		})
	}
}

func TestWhatEndedWhileTheCollectorWasDownResolvesOnceDataAreThere(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.end()
		<-time.After(30 * time.Minute)
		s.start()
		s.throughout(30*time.Second, "MemoryHigh", "before the agent is back")
		s.pass(4*second, s.memory(50))
		s.mustFire("", "once it is")
	})
}

func TestAfterARestartAnAlertOfALostNodeIsHeld(t *testing.T) {
	inSlowWorld(t, memoryHigh+agentDown, func(s *slow) {
		s.pass(calm, s.memory(95), s.up(1))
		s.end()
		<-time.After(10 * time.Second)
		s.start()
		s.pass(15 * time.Second)
		s.mustFire("MemoryHigh", "before the agent is missed")
		s.lose()
		s.pass(30*time.Second, s.up(0))
		s.throughout(20*time.Minute, "AgentDown MemoryHigh", "while its agent is away", s.up(0))
		s.find()
		s.pass(2*time.Minute, s.memory(50), s.up(1))
		s.mustFire("", "with its agent back and below")
	})
}

func TestGPUsThatTheAgentCannotAskForHoldTheirAlerts(t *testing.T) {
	const rules = `groups:
  - name: test
    rules:
      - {alert: GPUHot, expr: 'DCGM_FI_DEV_GPU_TEMP > 83'}
`
	inSlowWorld(t, rules, func(s *slow) {
		hot := s.sample(90, "__name__", "DCGM_FI_DEV_GPU_TEMP", "gpu", "0", "node", "n1")
		helper := func(up float64) func() { return s.sample(up, "__name__", "plimsoll_gpu_helper_up", "node", "n1") }
		s.pass(calm, hot, helper(1))
		s.mustFire("GPUHot", "when hot")
		helper(0)()
		s.sample(math.Float64frombits(value.StaleNaN), "__name__", "DCGM_FI_DEV_GPU_TEMP", "gpu", "0", "node", "n1")()
		s.pass(second, helper(0))
		s.throughout(10*time.Minute, "GPUHot", "while nobody can ask the GPU", helper(0))
		cool := s.sample(40, "__name__", "DCGM_FI_DEV_GPU_TEMP", "gpu", "0", "node", "n1")
		s.pass(4*second, cool, helper(1))
		s.mustFire("", "when it answers and is cool")
	})
}

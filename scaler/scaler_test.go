package scaler

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestAStepOfLoadIsAnsweredAtTheNextTick(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Minute)
		if n := len(s.platform.Writes()); n != 0 {
			t.Fatalf("%d writes while nothing changes", n)
		}
		s.set(75)
		s.pass(2 * time.Second)
		if s.replicas() != 8 {
			t.Errorf("%d replicas one interval after the load went from 20 to 75, want 8: %s", s.replicas(), s.last().Decision.Why())
		}
		s.pass(time.Minute)
		if n := len(s.platform.Writes()); n != 1 {
			t.Errorf("writes %+v, want one", s.platform.Writes())
		}
		if got := s.metric("actions_total", "direction=out,policy=web,result=accepted"); got != 1 {
			t.Errorf("%v actions counted, want 1", got)
		}
		for name, want := range map[string]float64{"replicas_desired": 8, "replicas_ready": 8, "replicas_wanted": 8, "replicas_unbounded": 8, "replicas_min": 1, "replicas_max": 20} {
			if got := s.metric(name, "policy=web"); got != want {
				t.Errorf("%s %v, want %v", name, got, want)
			}
		}
	})
}

func TestWhatTheSignalsAskForBeyondMaxIsShown(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.set(300)
		s.pass(10 * time.Minute)
		if wanted, asked := s.metric("replicas_wanted", "policy=web"), s.metric("replicas_unbounded", "policy=web"); wanted != 20 || asked != 30 {
			t.Errorf("%v replicas wanted and %v asked for, want 20, the maximum, and 30", wanted, asked)
		}
		w.platform.FailStatus(slices.Repeat([]error{errors.New("gone")}, 100)...)
		s.pass(time.Minute)
		if got := s.metric("replicas_unbounded", "policy=web"); !math.IsNaN(got) {
			t.Errorf("%v replicas asked for of a platform that says nothing", got)
		}
	})
}

func TestALullIsObeyedOnlyAfterItsWindow(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(10 * time.Minute)
		s.set(15)
		s.pass(4*time.Minute + 50*time.Second)
		if s.replicas() != 4 {
			t.Fatalf("%d replicas before the window is over", s.replicas())
		}
		s.pass(10 * time.Minute)
		if s.replicas() != 2 {
			t.Errorf("%d replicas long after, want 2: %s", s.replicas(), s.last().Decision.Why())
		}
		writes := s.platform.Writes()
		for i, write := range writes {
			if write.To != write.From-1 || i > 0 && write.At.Sub(writes[i-1].At) < time.Minute {
				t.Errorf("writes %+v, want one replica a minute", writes)
			}
		}
	})
}

// TestWhatIsNoLoadMovesNothing is about a store that answers with everything
// but a load, in both directions and for longer than any window.
func TestWhatIsNoLoadMovesNothing(t *testing.T) {
	one := func(v float64) func(context.Context) ([]Sample, error) {
		return func(context.Context) ([]Sample, error) { return []Sample{{At: time.Now(), Value: v}}, nil }
	}
	tests := map[string]func(context.Context) ([]Sample, error){
		"an empty answer": func(context.Context) ([]Sample, error) { return nil, nil },
		"an error":        func(context.Context) ([]Sample, error) { return nil, errors.New("execution: out of memory") },
		"no number":       one(math.NaN()),
		"infinity":        one(math.Inf(1)),
		"minus infinity":  one(math.Inf(-1)),
		"a trillion":      one(1e12),
		"1e308":           one(1e308),
		"less than none":  one(-40),
		"old data": func(context.Context) ([]Sample, error) {
			return []Sample{{At: time.Now().Add(-time.Minute), Value: 0}}, nil
		},
		"two series": func(context.Context) ([]Sample, error) {
			return []Sample{{Labels: map[string]string{"a": "1"}, At: time.Now()}, {Labels: map[string]string{"a": "2"}, At: time.Now()}}, nil
		},
		"a hung query": func(ctx context.Context) ([]Sample, error) { <-ctx.Done(); return nil, ctx.Err() },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			stage(t, 4, func(t *testing.T, w *world) {
				s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
				s.pass(10 * time.Minute)
				s.spoil(answer)
				s.pass(30 * time.Minute)
				if writes := s.platform.Writes(); len(writes) != 0 {
					t.Errorf("writes %+v: %s", writes, s.last().Decision.Why())
				}
				if why := s.last().Decision.Why(); why == "" {
					t.Error("the last tick has no reason")
				}
			})
		})
	}
}

func TestAnAbsurdWishIsRefusedAndTold(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.set(1e12)
		s.pass(10 * time.Second)
		if e := s.last(); e.Decision.Action != decide.Refuse || len(s.platform.Writes()) != 0 {
			t.Errorf("decision %+v, writes %+v; want refused and none", e.Decision, s.platform.Writes())
		}
		if got := s.metric("refused_total", "policy=web,reason=signal"); !(got >= 4) {
			t.Errorf("%v refusals counted, want one each tick", got)
		}
	})
}

func TestMissingDataIsToldAsMissing(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Second)
		if got := s.metric("metric_available", "policy=web,signal=load"); got != 1 {
			t.Errorf("available %v, want 1", got)
		}
		s.spoil(func(context.Context) ([]Sample, error) { return nil, errors.New("no") })
		s.pass(4 * time.Second)
		if got := s.metric("metric_available", "policy=web,signal=load"); got != 0 {
			t.Errorf("available %v, want 0", got)
		}
		if got := s.metric("query_errors_total", "policy=web,signal=load"); got != 2 {
			t.Errorf("%v query errors, want 2", got)
		}
	})
}

func TestAPlatformThatDoesNotAnswerHasNoNumbers(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Second)
		w.platform.FailStatus(errors.New("connection refused"), errors.New("connection refused"))
		s.set(100)
		s.pass(2 * time.Second)
		if got := s.metric("replicas_desired", "policy=web"); !math.IsNaN(got) {
			t.Errorf("replicas_desired is %v while nobody knows, want no series", got)
		}
		if e := s.last(); e.Decision.Action != decide.Hold || len(w.platform.Writes()) != 0 {
			t.Errorf("decision %+v, writes %+v", e.Decision, w.platform.Writes())
		}
		s.pass(4 * time.Second)
		if s.replicas() != 10 {
			t.Errorf("%d replicas once the platform answers again, want 10", s.replicas())
		}
	})
}

func TestAdviceTouchesNothing(t *testing.T) {
	for _, mode := range []policy.Mode{policy.Advise, policy.Paused} {
		t.Run(string(mode), func(t *testing.T) {
			stage(t, 4, func(t *testing.T, w *world) {
				s := play(t, w, Options{Policies: []policy.App{holding(mode)}})
				for _, load := range []float64{40, 150, 5, 1e12, 60} {
					s.set(load)
					s.pass(20 * time.Minute)
				}
				if writes := w.platform.Writes(); len(writes) != 0 {
					t.Errorf("writes %+v", writes)
				}
				if got := s.metric("replicas_wanted", "policy=web"); mode == policy.Advise && got != 6 {
					t.Errorf("replicas_wanted %v, want the advice, 6", got)
				}
			})
		})
	}
}

func TestAHungPlatformDelaysNoOtherPolicy(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		var stuck fake.Platform
		stuck.Add(driver.Workload{Name: "api"}, 2)
		for range 100 {
			stuck.HangStatus()
		}
		api := holding(policy.Active)
		api.Name, api.Target = "api", policy.Target{Driver: "stuck", Service: "api"}

		s, err := New(Options{
			Policies: []policy.App{api, holding(policy.Active)}, Query: w, Registerer: prometheus.NewRegistry(),
			Drivers: map[string]driver.Driver{"fake": &w.platform, "stuck": &stuck},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := w.platform.Reads(); n < 30 {
			t.Errorf("the sound platform was looked at %d times in a minute, want 30", n)
		}
		if n := stuck.Reads(); n > 13 {
			t.Errorf("the hung platform was looked at %d times in a minute, want never two at once", n)
		}
		if got := testutil.ToFloat64(s.metrics.skipped.WithLabelValues("api")); got < 10 {
			t.Errorf("%v ticks counted as skipped, want those that a hung one covered", got)
		}
	})
}

func TestAConflictIsDecidedAnew(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Second)
		w.platform.BeforeScale(func() { w.platform.Edit(web, 7) }) // someone is faster
		s.set(60)
		s.pass(time.Second) // until the tick, not until what the platform tells leads to another
		if s.replicas() != 7 || len(w.platform.Writes()) != 0 {
			t.Errorf("%d replicas, writes %+v; want their 7 to stand, as 6 would do", s.replicas(), w.platform.Writes())
		}
		if e := s.last(); e.Attempts != 2 || e.Decision.From != 7 {
			t.Errorf("entry %+v, want the second attempt to start from 7", e)
		}
	})
}

func TestEndlessConflictsEnd(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Second)
		for i := range maxAttempts {
			w.platform.BeforeScale(func() { w.platform.Edit(web, 1+i) })
		}
		s.set(100)
		s.pass(time.Second)
		if e := s.last(); e.Result != journal.Conflict || e.Attempts != maxAttempts {
			t.Errorf("result %q after %d attempts, want conflict after %d", e.Result, e.Attempts, maxAttempts)
		}
		s.pass(2 * time.Second)
		if s.replicas() != 10 {
			t.Errorf("%d replicas at the next tick, want 10", s.replicas())
		}
	})
}

func TestAnUnknownOutcomeIsLookedAtAgain(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Second)
		w.platform.HangScale()
		s.set(60)
		s.pass(8 * time.Second)
		if got := s.metric("actions_total", "direction=out,policy=web,result=unknown"); got != 1 {
			t.Errorf("%v unknown outcomes, want 1", got)
		}
		s.pass(20 * time.Second)
		if s.replicas() != 6 {
			t.Errorf("%d replicas in the end, want 6: %s", s.replicas(), s.last().Decision.Why())
		}
	})
}

// TestARestartNeverShrinks ends the scaler at many points of a lull and starts
// it again, with its memory, without, and with one that is damaged.
func TestARestartNeverShrinks(t *testing.T) {
	for name, keep := range map[string]bool{"with its memory": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			stage(t, 6, func(t *testing.T, w *world) {
				opts := Options{Policies: []policy.App{holding(policy.Active)}}
				if keep {
					opts.StateFile = filepath.Join(t.TempDir(), "state.json")
				}
				s := play(t, w, opts)
				s.pass(10 * time.Minute)
				s.set(20)
				begin := time.Now()
				for range 8 { // restarts all 30 s, for less than the window
					s.pass(30 * time.Second)
					s.end()
					s = play(t, w, opts)
				}
				s.pass(time.Second)
				if s.replicas() != 6 {
					t.Fatalf("%d replicas %v into the lull, want 6", s.replicas(), time.Since(begin))
				}
				s.pass(5*time.Minute - time.Since(begin) + 10*time.Second)
				shrank := s.replicas() < 6
				if shrank != keep {
					t.Errorf("shrank: %v just after the window; want %v, for the past is known: %v", shrank, keep, keep)
				}
			})
		})
	}
}

// TestACrashAfterAPeakDoesNotShrink ends the scaler a second after it grew, and
// starts it again with the file as it was then.
func TestACrashAfterAPeakDoesNotShrink(t *testing.T) {
	stage(t, 6, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "state.json")
		opts := Options{Policies: []policy.App{holding(policy.Active)}, StateFile: file}
		s := play(t, w, opts)
		s.pass(10*time.Minute + time.Second)
		s.set(120)
		s.pass(2 * time.Second)
		s.set(60)
		left, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.end() // which writes the file anew
		if err := os.WriteFile(file, left, 0o600); err != nil {
			t.Fatal(err)
		}
		s = play(t, w, opts)
		s.pass(4 * time.Minute)
		if s.replicas() != 12 {
			t.Errorf("%d replicas after the crash, want the 12 that were asked for within the window: %s", s.replicas(), s.last().Decision.Why())
		}
	})
}

func TestReloadKeepsThePastOfWhatStays(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		w.platform.Add(driver.Workload{Name: "api"}, 4)
		w.platform.Add(driver.Workload{Name: "job"}, 4)
		named := func(name string) policy.App {
			app := holding(policy.Active)
			app.Name, app.Target.Service = name, name
			return app
		}
		s := play(t, w, Options{Policies: []policy.App{named("web"), named("api"), named("job")}})
		s.pass(10 * time.Minute)
		s.set(20)
		s.pass(4 * time.Minute)

		changed := named("api")
		changed.Max = 19
		if err := s.scaler.Reload([]policy.App{changed, named("web")}); err != nil {
			t.Fatal(err)
		}
		s.pass(90 * time.Second)
		if n := len(w.platform.Replicas(driver.Workload{Name: "web"})); n == 4 {
			t.Error("web did not shrink: its past was lost although it did not change")
		}
		if n := len(w.platform.Replicas(driver.Workload{Name: "api"})); n != 4 {
			t.Errorf("api has %d replicas: it shrank on the past of another policy", n)
		}
		if n := len(w.platform.Replicas(driver.Workload{Name: "job"})); n != 4 {
			t.Errorf("job has %d replicas although nobody scales it any more", n)
		}
		if got := s.metric("replicas_max", "policy=job"); !math.IsNaN(got) {
			t.Errorf("job still has series: max %v", got)
		}
		if got := s.metric("replicas_max", "policy=api"); got != 19 {
			t.Errorf("max of api is %v, want 19", got)
		}
	})
}

func TestABadReloadChangesNothing(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		twin := holding(policy.Active)
		twin.Name = "twin"
		other := holding(policy.Active)
		other.Name, other.Target.Driver = "other", "marathon"
		never := policy.App{Name: "never", Target: policy.Target{Driver: "fake", Service: "never"}}

		err := s.scaler.Reload([]policy.App{holding(policy.Active), twin, other, other, never})
		for _, hint := range []string{"policy web already", `no driver "marathon"`, "two of that name", "interval"} {
			if err == nil || !strings.Contains(err.Error(), hint) {
				t.Errorf("error %v, want it to say %q", err, hint)
			}
		}
		s.pass(2 * time.Second)
		if all := s.scaler.Policies(); len(all) != 1 || all[0].Last == nil {
			t.Errorf("policies %+v, want the one from before", all)
		}
	})
}

func TestEveryTickHasAReason(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		j := open(t, journal.Options{Dir: t.TempDir()})
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}, Journal: j})
		for _, load := range []float64{20, 80, math.NaN(), 15, 200} {
			s.set(load)
			s.pass(3 * time.Minute)
		}
		s.end()
		ticks := 0
		entries := read(t, j, journal.Query{Policy: "web", Limit: 1000})
		for _, e := range entries {
			ticks += e.Ticks
			if e.Decision.Why() == "" {
				t.Errorf("entry of %v has no reason", e.At())
			}
		}
		if want := int(s.metric("ticks_total", "policy=web")); ticks != want || want < 450 {
			t.Errorf("the journal accounts for %d ticks, %d were made", ticks, want)
		}
		if len(entries) > 150 {
			t.Errorf("%d entries for %d ticks: holds are not drawn together", len(entries), ticks)
		}
	})
}

// TestEveryDecisionCanBeMadeAgain takes what is written of a live scaler, first
// ticks and runs, and decides anew.
func TestEveryDecisionCanBeMadeAgain(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		dir := t.TempDir()
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}, Journal: open(t, journal.Options{Dir: dir})})
		s.pass(time.Minute)
		s.set(75)
		s.pass(10 * time.Second)
		s.end()

		j := open(t, journal.Options{Dir: dir})
		entries := read(t, j, journal.Query{Policy: "web"})
		if !slices.ContainsFunc(entries, func(e journal.Entry) bool { return e.Result == journal.Accepted }) {
			t.Error("no accepted change in the journal")
		}
		if !slices.ContainsFunc(entries, func(e journal.Entry) bool { return e.Ticks > 1 }) {
			t.Error("no run in the journal")
		}
		for _, e := range entries {
			record, err := j.Find(e.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := journal.Replay(record); err != nil || !got.Same {
				t.Errorf("%s is made again as\n%s, error %v; recorded is\n%s", e.ID, got.Made, err, got.Recorded)
			}
		}
	})
}

func TestTheEndOfTheScalerDoesNotCutAWrite(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Second)
		w.platform.BeforeScale(func() { <-time.After(3 * time.Second) })
		s.set(60)
		<-time.After(2 * time.Second) // now the write is under way
		s.end()
		if s.replicas() != 6 {
			t.Errorf("%d replicas, want the write to be finished", s.replicas())
		}
		if e := s.last(); e.Result != journal.Accepted {
			t.Errorf("result %q, want it recorded", e.Result)
		}
	})
}

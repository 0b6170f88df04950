package scaler

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestTheBusiestMinuteIsTheOneThatIsKnown(t *testing.T) {
	nan := math.NaN()
	for name, tt := range map[string]struct {
		values []float64
		want   float64
	}{
		"the most":                  {[]float64{1, 5, 3}, 5},
		"before a gap":              {[]float64{100, 500, nan, 3}, 500},
		"with a gap at the end":     {[]float64{100, 500, nan}, 500},
		"with a gap at the start":   {[]float64{nan, 100, 500}, 500},
		"of what can be measured":   {[]float64{7, math.Inf(1), -1, math.Inf(-1), 3}, 7},
		"none of what is not known": {[]float64{nan, nan}, nan},
		"none of nothing":           {nil, nan},
	} {
		h := forecast.History{Start: noon, Step: time.Minute, Values: tt.values}
		if got := busiest(h, time.Hour); got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("%s: %v of %v, want %v", name, got, tt.values, tt.want)
		}
	}
}

// slowly is a store that has all of the rush, and takes its time for those who ask
// for what is slow.
type slowly struct {
	archive
	slow func(ctx context.Context, promql string) error
}

func (s *slowly) QueryRange(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]Series, error) {
	if err := s.slow(ctx, promql); err != nil {
		return nil, err
	}
	return s.archive.QueryRange(ctx, promql, from, to, step)
}

// looking looks ahead for policies until the test ends.
func looking(t *testing.T, store RangeQuerier, apps ...policy.App) (*ahead, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	a := newAhead(store, time.Now, slog.New(slog.DiscardHandler), newAheadMetrics(reg))
	a.adopt(apps)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { a.run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	return a, reg
}

func named(app policy.App, name string) policy.App {
	app.Name = name
	app.Signals = append([]policy.Signal(nil), app.Signals...)
	app.Signals[0].Query = name
	return app
}

// heard fails if in any of some minutes nothing is foretold of web.
func heard(t *testing.T, a *ahead, minutes int) {
	t.Helper()
	for i := range minutes {
		<-time.After(time.Minute)
		synctest.Wait()
		if _, out := a.of("web", time.Now(), 0); out == nil {
			t.Fatalf("nothing is foretold after %d minutes: %+v", i+1, a.foresee("web").Gate)
		}
	}
}

func TestAForecastDoesNotWaitForTheBasesOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apps := []policy.App{named(foreseeing(), "web")}
		for i := range 10 {
			app := named(holding(policy.Active), fmt.Sprintf("a slow one %d", i))
			app.Events = []policy.Event{{Name: "sale", At: time.Now().Add(2*time.Hour + 10*time.Minute), Duration: time.Hour, Factor: 2, Base: policy.P95SevenDays}}
			apps = append(apps, app)
		}
		a, _ := looking(t, &slowly{archive{at: since(14, rush)}, func(ctx context.Context, promql string) error {
			if strings.Contains(promql, "slow") {
				<-time.After(200 * time.Millisecond)
			}
			return ctx.Err()
		}}, apps...)
		<-time.After(4 * time.Minute)
		heard(t, a, 26)
		for _, app := range apps[1:] {
			if bases, _ := a.of(app.Name, time.Now(), 0); len(bases) != 1 {
				t.Errorf("%s has the bases %v", app.Name, bases)
			}
		}
	})
}

func TestAForecastDoesNotWaitForHistoriesThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		hang := false
		const hanging = 90
		web := named(foreseeing(), "web")
		a, reg := looking(t, &slowly{archive{at: since(14, rush)}, func(ctx context.Context, promql string) error {
			mu.Lock()
			hangs := hang && strings.Contains(promql, "slow")
			mu.Unlock()
			if hangs {
				<-ctx.Done()
			}
			return ctx.Err()
		}}, web)
		<-time.After(5 * time.Minute)
		heard(t, a, 1)
		a.mu.Lock()
		for i := range hanging {
			v := *a.views["web"]
			v.app = named(web, fmt.Sprintf("a slow one %d", i))
			v.load.Values, v.load.Censored = slices.Clip(v.load.Values), slices.Clip(v.load.Censored)
			a.views[v.app.Name] = &v
		}
		a.mu.Unlock()
		<-time.After(2 * time.Minute)
		if _, out := a.of("a slow one 7", time.Now(), 0); out == nil {
			t.Error("nothing is foretold of the others either")
		}
		mu.Lock()
		hang = true
		mu.Unlock()
		heard(t, a, 30)
		if errors := count(t, reg, "plimsoll_scaler_history_errors_total"); errors < hanging {
			t.Errorf("errors of %d policies are counted, want all of %d", errors, hanging)
		}
		mu.Lock()
		hang = false
		mu.Unlock()
		<-time.After(2 * time.Minute)
		for i := range hanging {
			if _, out := a.of(fmt.Sprintf("a slow one %d", i), time.Now(), 0); out == nil {
				t.Errorf("%d does not go on when its history can be had again", i)
			}
		}
	})
}

// count is how many series a metric has.
func count(t *testing.T, reg *prometheus.Registry, name string) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return len(f.GetMetric())
		}
	}
	return 0
}

func TestOfAPolicyThatIsRemovedNothingIsReadAndNothingIsTold(t *testing.T) {
	event := []policy.Event{{Name: "sale", At: noon, Duration: time.Hour, Factor: 2, Base: policy.P95SevenDays}}
	for name, tt := range map[string]struct {
		forecast bool
		event    bool
	}{"a forecast": {forecast: true}, "an event": {event: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := named(holding(policy.Active), "web")
				if tt.forecast {
					app = named(foreseeing(), "web")
				}
				if tt.event {
					app.Events = event
					app.Events[0].At = time.Now().Add(time.Hour)
				}
				var mu sync.Mutex
				asked, ended := 0, 0
				a, reg := looking(t, &slowly{archive{at: since(14, rush)}, func(ctx context.Context, _ string) error {
					mu.Lock()
					asked++
					mu.Unlock()
					<-ctx.Done()
					mu.Lock()
					ended++
					mu.Unlock()
					return ctx.Err()
				}}, app)
				synctest.Wait()
				a.adopt(nil)
				synctest.Wait()
				mu.Lock()
				if asked != 1 || ended != 1 {
					t.Errorf("%d queries asked, %d ended when the policy was removed; want one of each", asked, ended)
				}
				mu.Unlock()
				<-time.After(5 * time.Minute)
				synctest.Wait()
				for _, metric := range []string{"history_errors_total", "forecast_standing", "event_base_load"} {
					if n := count(t, reg, "plimsoll_scaler_"+metric); n != 0 {
						t.Errorf("%d series of %s", n, metric)
					}
				}
			})
		})
	}
}

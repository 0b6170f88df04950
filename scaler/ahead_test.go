package scaler

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/explain"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// archive is a store that knows what a load was at any time.
type archive struct {
	mu    sync.Mutex
	at    func(time.Time) float64 // NaN where it knows nothing
	fails error
	asked []string
}

// QueryRange implements RangeQuerier.
func (a *archive) QueryRange(_ context.Context, promql string, from, to time.Time, step time.Duration) ([]Series, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, promql)
	if a.fails != nil {
		return nil, a.fails
	}
	line := Series{Labels: map[string]string{"job": "web"}}
	for at := from; !at.After(to) && !at.After(time.Now()); at = at.Add(step) {
		if v := a.at(at); !math.IsNaN(v) {
			line.Samples = append(line.Samples, Point{at, v})
		}
	}
	return []Series{line}, nil
}

func (a *archive) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fails = err
}

// always makes the world's load what the archive says of now.
func (w *world) always(a *archive) {
	w.spoil(func(context.Context) ([]Sample, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		now := time.Now()
		return []Sample{{At: now, Value: a.at(now)}}, nil
	})
}

// rush is a load with a rush from two to three o'clock in the morning.
func rush(at time.Time) float64 {
	if at.UTC().Hour() == 2 {
		return 150
	}
	return 30 + float64(at.UTC().Minute()%3)
}

// since is a load of which nothing is known before some days ago.
func since(days int, of func(time.Time) float64) func(time.Time) float64 {
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -days) // where a bubble begins
	return func(at time.Time) float64 {
		if at.Before(begin) {
			return math.NaN()
		}
		return of(at)
	}
}

// foreseeing is the policy web with a forecast, which decides not too often for a
// test of hours.
func foreseeing() policy.App {
	app := foreseen()
	app.Max, app.Interval = 40, 10*time.Second
	return app
}

func foresee(t *testing.T, s *scene) *Foresight {
	t.Helper()
	f := s.scaler.Policies()[0].Forecast
	if f == nil {
		t.Fatal("the policy has no forecast")
	}
	return f
}

func TestAForecastHasReplicasReadyWhenTheRushBegins(t *testing.T) {
	ready := func(forecast bool) (before, within int) {
		stage(t, 4, func(t *testing.T, w *world) {
			a := &archive{at: since(14, rush)}
			w.always(a)
			app := foreseeing()
			app.Forecast.Enabled = forecast
			s := play(t, w, Options{Policies: []policy.App{app}, History: a})
			s.pass(2*time.Hour - time.Second)
			before = s.replicas()
			if forecast {
				f := foresee(t, s)
				if f.Standing != "on" || f.Ahead == nil || f.Trial == nil || f.Trial.Span != 7*24*time.Hour || f.From.Sub(time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -14)).Abs() > time.Minute {
					t.Errorf("%+v", f)
				}
				if on := s.metric("forecast_standing", "policy=web,standing=on"); on != 1 {
					t.Errorf("metric on %v", on)
				}
				if load := s.metric("forecast_load", "policy=web"); load < 140 || load > 170 {
					t.Errorf("metric load %v", load)
				}
			}
			s.pass(3 * time.Second)
			within = s.replicas()
		})
		return before, within
	}
	if before, _ := ready(false); before != 4 {
		t.Errorf("without: %d replicas before the rush, want 4", before)
	}
	if before, within := ready(true); before < 15 || within < 15 {
		t.Errorf("with: %d replicas before the rush and %d as it begins, want 15 or more", before, within)
	}
}

func TestAForecastThatIsNotWorthItStaysOffAndSaysWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		at       func(time.Time) float64
		standing forecast.Standing
		why      string
	}{
		"too short a history":             {since(4, rush), forecast.Learning, "takes"},
		"a history too short for a trial": {since(5, rush), forecast.Learning, "a trial takes 6 days of history, and there are 5.0"},
		"a load that does not move":       {since(14, func(time.Time) float64 { return 40 }), forecast.Off, "nothing to foretell"},
		"no history at all":               {func(time.Time) float64 { return math.NaN() }, forecast.Learning, "no history"},
	} {
		t.Run(name, func(t *testing.T) {
			stage(t, 4, func(t *testing.T, w *world) {
				s := play(t, w, Options{Policies: []policy.App{foreseeing()}, History: &archive{at: tt.at}})
				s.pass(3 * time.Minute)
				if f := foresee(t, s); f.Standing != tt.standing || !strings.Contains(f.Why, tt.why) || f.Ahead != nil {
					t.Errorf("%+v, want %s, because … %s …", f, tt.standing, tt.why)
				}
				e := s.last()
				if e.Observation.Ahead != nil || !strings.HasPrefix(e.Forecast, string(tt.standing)+": ") {
					t.Errorf("decisions are told %+v, and that it is %q", e.Observation.Ahead, e.Forecast)
				}
				var said strings.Builder
				if err := explain.Write(&said, e); err != nil || !strings.Contains(said.String(), tt.why) {
					t.Errorf("explain does not tell why: %v\n%s", err, said.String())
				}
			})
		})
	}
}

func TestAStoreThatCannotBeAskedIsAskedAgain(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		a := &archive{at: since(14, rush)}
		a.fail(errors.New("too busy"))
		s := play(t, w, Options{Policies: []policy.App{foreseeing()}, History: a})
		s.pass(3 * time.Minute)
		if f := foresee(t, s); f.Standing != forecast.Off || !strings.Contains(f.Why, "too busy") {
			t.Errorf("%+v", f)
		}
		a.fail(nil)
		s.pass(11 * time.Minute)
		if f := foresee(t, s); f.Standing != forecast.On || f.Ahead == nil {
			t.Fatalf("%+v", f)
		}
		// What it said counts for a few minutes, and no longer.
		a.fail(errors.New("too busy"))
		s.pass(2 * time.Minute)
		if f := foresee(t, s); f.Ahead != nil {
			t.Errorf("it still says %+v", f.Ahead)
		}
		if n := s.metric("history_errors_total", "policy=web"); !(n > 1) {
			t.Errorf("%v errors", n)
		}
		a.fail(nil)
		s.pass(2 * time.Minute)
		if f := foresee(t, s); f.Ahead == nil {
			t.Errorf("it does not go on: %+v", f)
		}
	})
}

func TestWithoutHistoryThereIsNoForecastAndNoBase(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		app := foreseeing()
		app.Events = []policy.Event{{Name: "sale", At: time.Now(), Duration: time.Hour, Factor: 2, Base: policy.SameHourLastWeek}}
		s := play(t, w, Options{Policies: []policy.App{app}})
		s.pass(3 * time.Minute)
		if f := foresee(t, s); f.Standing != forecast.Off || !strings.Contains(f.Why, "nobody to ask") {
			t.Errorf("%+v", f)
		}
		if o := s.last().Observation; len(o.Bases) > 0 || o.Ahead != nil {
			t.Errorf("decisions are told %+v %+v", o.Bases, o.Ahead)
		}
	})
}

// Where the load went otherwise for an hour, nothing is foretold, and the next hour
// as well.
func TestAForecastIsSuspendedWhenTheLoadGoesOtherwise(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		begin := time.Now()
		a := &archive{at: since(14, func(at time.Time) float64 {
			if at.After(begin.Add(30*time.Minute)) && at.Before(begin.Add(75*time.Minute)) {
				return 400
			}
			return rush(at)
		})}
		w.always(a)
		s := play(t, w, Options{Policies: []policy.App{foreseeing()}, History: a})
		s.pass(20 * time.Minute)
		if f := foresee(t, s); f.Standing != forecast.On {
			t.Fatalf("%+v", f)
		}
		s.pass(30 * time.Minute)
		f := foresee(t, s)
		if f.Standing != forecast.Suspended || f.Until.IsZero() || f.Missed == nil || *f.Missed < 0.25 {
			t.Errorf("%+v", f)
		}
		if o := s.last().Observation; o.Ahead != nil {
			t.Errorf("decisions are told %+v", o.Ahead)
		}
	})
}

func TestThePastIsReadAsItWas(t *testing.T) {
	from := noon
	to := from.Add(10 * time.Minute)
	line := func(labels map[string]string, of func(i int) float64) Series {
		s := Series{Labels: labels}
		for i := 0; ; i++ {
			at := from.Add(time.Duration(i+1) * historyPeek)
			if at.After(to) {
				return s
			}
			if v := of(i); !math.IsNaN(v) {
				s.Samples = append(s.Samples, Point{at, v})
			}
		}
	}
	one, two := map[string]string{"id": "1"}, map[string]string{"id": "2"}
	gap := func(of func(int) float64) func(int) float64 {
		return func(i int) float64 {
			if i >= 8 && i < 12 {
				return math.NaN()
			}
			return of(i)
		}
	}
	index := func(i int) float64 { return float64(i) }
	cpu := policy.Signal{Name: "cpu", Type: policy.Track, Source: policy.CPU, Of: policy.Limit, Kind: policy.Utilization, Saturation: policy.Saturation{Above: 0.95, Boost: 3}}
	mean := policy.Signal{Name: "mean", Type: policy.Track, Source: policy.Query, Kind: policy.Average, Query: "mean"}
	total := policy.Signal{Name: "total", Type: policy.Track, Source: policy.Query, Kind: policy.Total, Query: "total"}
	nan := math.NaN()
	for name, tt := range map[string]struct {
		signal  policy.Signal
		answers map[string][]Series
		want    []float64
		full    int // minutes that are censored
	}{
		"the most of each minute counts":            {total, map[string][]Series{"total": {line(nil, index)}}, []float64{3, 7, 11, 15, 19, 23, 27, 31, 35, 39}, 0},
		"a gap is none":                             {total, map[string][]Series{"total": {line(nil, gap(index))}}, []float64{3, 7, nan, 15, 19, 23, 27, 31, 35, 39}, 0},
		"what is below zero is none":                {total, map[string][]Series{"total": {line(nil, func(i int) float64 { return 11 - float64(i) })}}, []float64{11, 7, 3, nan, nan, nan, nan, nan, nan, nan}, 0},
		"several where one is meant are none":       {total, map[string][]Series{"total": {line(one, index), line(two, gap(index))}}, []float64{nan, nan, 11, nan, nan, nan, nan, nan, nan, nan}, 0},
		"replicas are added up":                     {mean, map[string][]Series{"mean": {line(one, index), line(two, gap(index))}}, []float64{6, 14, 11, 30, 38, 46, 54, 62, 70, 78}, 0},
		"a mean is of all that are ready":           {mean, map[string][]Series{"mean": {line(nil, index)}, "ready": {line(nil, func(int) float64 { return 3 })}}, []float64{9, 21, 33, 45, 57, 69, 81, 93, 105, 117}, 0},
		"a mean of nobody knows how many is none":   {mean, map[string][]Series{"mean": {line(nil, index)}}, []float64{nan, nan, nan, nan, nan, nan, nan, nan, nan, nan}, 0},
		"minutes in which all were full are marked": {cpu, map[string][]Series{"sum": {line(nil, index)}, "avg": {line(nil, func(i int) float64 { return float64(i) / 20 })}}, []float64{3, 7, 11, 15, 19, 23, 27, 31, 35, 39}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAhead(rangeFunc(func(promql string, _, _ time.Time, _ time.Duration) []Series {
					for key, series := range tt.answers {
						if strings.HasPrefix(promql, key) || key == "ready" && strings.Contains(promql, `plimsoll_scaler_replicas_ready{policy="web"}`) {
							return series
						}
					}
					return nil
				}), time.Now, nil, nil)
				h, err := a.read(t.Context(), policy.App{Name: "web", Signals: []policy.Signal{{Type: policy.Threshold}, tt.signal}}, from, to, true)
				if err != nil {
					t.Fatal(err)
				}
				same := cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b })
				if diff := cmp.Diff(tt.want, h.Values, same); diff != "" {
					t.Error(diff)
				}
				full := 0
				for _, c := range h.Censored {
					if c {
						full++
					}
				}
				if full != tt.full || !h.Start.Equal(from) || h.Step != time.Minute {
					t.Errorf("%d minutes censored, want %d; begins %v", full, tt.full, h.Start)
				}
			})
		})
	}
}

type rangeFunc func(promql string, from, to time.Time, step time.Duration) []Series

func (f rangeFunc) QueryRange(_ context.Context, promql string, from, to time.Time, step time.Duration) ([]Series, error) {
	return f(promql, from, to, step), nil
}

func TestTheBaseOfAnEventIsFoundBeforeItBegins(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		begin := time.Now()
		a := &archive{at: since(20, func(at time.Time) float64 {
			switch day := begin.Sub(at).Hours() / 24; {
			case at.After(begin.Add(3 * time.Hour)):
				return 900 // the sale itself
			case day > 6.8 && day < 6.9: // within the hour a week before
				return 70
			}
			return 30
		})}
		app := holding(policy.Active)
		at := begin.Add(3 * time.Hour)
		app.Events = []policy.Event{
			{Name: "sale", At: at, Duration: time.Hour, Factor: 2, Base: policy.SameHourLastWeek},
			{Name: "sale too", At: at, Duration: time.Hour, Factor: 2, Base: policy.P95SevenDays},
			{Name: "later", At: at.Add(24 * time.Hour), Duration: time.Hour, Factor: 2, Base: policy.P95SevenDays},
			{Name: "over", At: at.Add(-24 * time.Hour), Duration: time.Hour, Factor: 2, Base: policy.P95SevenDays},
		}
		app.Interval = 10 * time.Second
		s := play(t, w, Options{Policies: []policy.App{app}, History: a})
		s.pass(30 * time.Minute)
		if b := s.last().Observation.Bases; len(b) > 0 {
			t.Errorf("bases %+v long before", b)
		}
		s.pass(2 * time.Hour)
		want := []decide.Base{{Event: "sale", Load: 70}, {Event: "sale too", Load: 30}}
		if diff := cmp.Diff(want, s.last().Observation.Bases); diff != "" {
			t.Errorf("before it begins: %s", diff)
		}
		s.pass(time.Hour + 20*time.Minute)
		if diff := cmp.Diff(want, s.last().Observation.Bases); diff != "" {
			t.Errorf("within it: %s", diff)
		}
		if v := s.metric("event_base_load", "event=sale,policy=web"); v != 70 {
			t.Errorf("metric %v", v)
		}
		s.pass(time.Hour)
		if b := s.last().Observation.Bases; len(b) > 0 {
			t.Errorf("bases %+v when it is over", b)
		}
	})
}

func TestABaseThatIsHalfUnknownIsUnknown(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		app := holding(policy.Active)
		app.Events = []policy.Event{{Name: "sale", At: time.Now().Add(time.Hour), Duration: time.Hour, Factor: 2, Base: policy.P95SevenDays}}
		a := &archive{at: since(3, func(time.Time) float64 { return 30 })}
		s := play(t, w, Options{Policies: []policy.App{app}, History: a})
		s.pass(10 * time.Minute)
		if b := s.last().Observation.Bases; len(b) > 0 {
			t.Errorf("bases %+v", b)
		}
	})
}

func TestAForecastGoesOnWhenTheClockIsSet(t *testing.T) {
	for name, set := range map[string]time.Duration{
		"back":           -30 * time.Minute,
		"far back":       -5 * time.Hour,
		"ahead":          30 * time.Minute,
		"far ahead":      5 * time.Hour,
		"back by a week": -7 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			stage(t, 4, func(t *testing.T, w *world) {
				var astray time.Duration
				var mu sync.Mutex
				now := func() time.Time {
					mu.Lock()
					defer mu.Unlock()
					return time.Now().Add(astray)
				}
				s := play(t, w, Options{Policies: []policy.App{foreseeing()}, Now: now, History: rangeFunc(func(_ string, from, to time.Time, step time.Duration) []Series {
					line := Series{}
					for at := from; !at.After(to); at = at.Add(step) {
						line.Samples = append(line.Samples, Point{at, since(30, rush)(at)})
					}
					return []Series{line}
				})})
				s.pass(5 * time.Minute)
				if f := foresee(t, s); f.Standing != forecast.On || f.Ahead == nil {
					t.Fatalf("%+v", f)
				}
				mu.Lock()
				astray = set
				mu.Unlock()
				s.pass(3 * time.Minute)
				f := foresee(t, s)
				if f.Standing != forecast.On || f.Ahead == nil || f.Ahead.At.Sub(now()).Abs() > 5*time.Minute {
					t.Errorf("at %v %+v %+v", now(), f, f.Ahead)
				}
			})
		})
	}
}

// What cannot be written down is not said: an answer of the API would end there.
func TestALoadWithoutMeasureIsNotForetold(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{foreseeing()}, History: &archive{at: since(14, func(at time.Time) float64 { return rush(at) * 1e306 })}})
		s.pass(5 * time.Minute)
		if o := s.last().Observation; o.Ahead != nil {
			t.Errorf("%+v", o.Ahead)
		}
		var all []Status
		if code, problem := get(t, s.scaler, PoliciesPath, &all); code != 200 || all[0].Forecast == nil {
			t.Errorf("%d %s", code, problem)
		}
	})
}

func TestAChangedPolicyLearnsAnew(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		a := &archive{at: since(14, rush)}
		app := foreseeing()
		s := play(t, w, Options{Policies: []policy.App{app}, History: a})
		s.pass(5 * time.Minute)
		if f := foresee(t, s); f.Standing != forecast.On {
			t.Fatalf("%+v", f)
		}
		// Of another query nothing is known yet.
		a.mu.Lock()
		a.at = func(time.Time) float64 { return math.NaN() }
		a.mu.Unlock()
		app.Signals = []policy.Signal{app.Signals[0]}
		app.Signals[0].Query = "other"
		if err := s.scaler.Reload([]policy.App{app}); err != nil {
			t.Fatal(err)
		}
		s.pass(5 * time.Minute)
		if f := foresee(t, s); f.Standing != forecast.Learning || f.Ahead != nil {
			t.Errorf("%+v", f)
		}
		app.Forecast = nil
		if err := s.scaler.Reload([]policy.App{app}); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Minute)
		if f := s.scaler.Policies()[0].Forecast; f != nil {
			t.Errorf("without a forecast: %+v", f)
		}
		if v := s.metric("forecast_standing", "policy=web,standing=learning"); !math.IsNaN(v) {
			t.Errorf("metric %v", v)
		}
	})
}

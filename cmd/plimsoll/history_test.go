package main

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// remembering is a store with a load by the half minute for some days until now,
// save for a gap of an hour.
func remembering(t *testing.T, days int, load func(at time.Time) float64) (past, time.Time) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Now().Truncate(time.Minute)
	gap := now.Add(-24 * time.Hour)
	app := s.Appender(t.Context())
	for at := now.AddDate(0, 0, -days); !at.After(now.Add(time.Minute)); at = at.Add(30 * time.Second) {
		if at.After(gap) && at.Before(gap.Add(time.Hour)) {
			continue
		}
		if _, err := app.Append(0, labels.FromStrings("__name__", "load", "node", "a"), at.UnixMilli(), load(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return past{query.NewEngine(query.EngineOptions{}), s}, now
}

func TestHistoryIsReadFromTheStore(t *testing.T) {
	p, now := remembering(t, 2, func(at time.Time) float64 { return float64(at.Unix() % 1000) })
	lines, err := p.QueryRange(t.Context(), "load", now.Add(-24*time.Hour), now.Add(-22*time.Hour), 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1 || lines[0].Labels["node"] != "a" || len(lines[0].Labels) != 1 {
		t.Fatalf("%d lines, labels %v", len(lines), lines[0].Labels)
	}
	// The last before the gap is seen for five minutes, and then nothing.
	begin, end := now.Add(-24*time.Hour).Add(5*time.Minute), now.Add(-23*time.Hour)
	for _, s := range lines[0].Samples {
		if s.At.After(begin) && s.At.Before(end) {
			t.Fatalf("a sample at %v, within the gap", s.At)
		}
	}
	if n := len(lines[0].Samples); n < 240+20 || n > 240+22 {
		t.Errorf("%d samples of an hour and five minutes, want some 261", n)
	}
	if _, err := p.QueryRange(t.Context(), "load[", now, now, time.Minute); err == nil {
		t.Error("what is no query is no mistake")
	}
}

// TestAForecastActsOnWhatTheStoreHas: the real store and engine, and a policy whose
// load rises each day at the hour that it is now.
func TestAForecastActsOnWhatTheStoreHas(t *testing.T) {
	begin := time.Now()
	p, _ := remembering(t, 9, func(at time.Time) float64 {
		phase := math.Mod(at.Sub(begin).Hours()+24*30, 24)
		if phase > 1 && phase < 3 {
			return 900
		}
		return 100 + float64(at.Unix()/30%7)
	})
	var forecast policy.Forecast
	forecast.SetDefaults()
	platform := &fake.Platform{}
	platform.Add(driver.Workload{Name: "web"}, 2)
	s, err := scaler.New(scaler.Options{
		Policies: []policy.App{{
			Name: "web", Mode: policy.Advise, Interval: time.Second, Target: policy.Target{Driver: "fake", Service: "web"}, Min: 1, Max: 50,
			Signals: []policy.Signal{{
				Name: "load", Type: policy.Track, Source: policy.Query, Query: "load", Kind: policy.Total,
				Target: policy.Amount{Value: 20, Unit: policy.Plain}, MaxAge: time.Minute, Coverage: policy.Coverage{Out: conf.Percent(0.5), In: conf.Percent(0.8)},
			}},
			Out:      policy.Out{Rate: []policy.Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}}},
			In:       policy.In{DeadBand: 0.1, Window: 5 * time.Minute, Rate: []policy.Rate{{Replicas: 1, Percent: 0.1, Per: time.Minute}}},
			Forecast: &forecast,
		}},
		Query: asker(func(ctx context.Context, text string, at time.Time, lookback time.Duration) ([]query.Sample, error) {
			return query.Instant(ctx, p.engine, p.store, text, at, lookback)
		}),
		History: p, Drivers: map[string]driver.Driver{"fake": platform},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for {
		f := s.Policies()[0].Forecast
		if f != nil && f.Trial != nil {
			if f.Standing != "on" || f.Trial.Span != 4*24*time.Hour || f.Trial.Gain() < 0.2 || begin.Sub(f.From).Round(time.Hour) != 9*24*time.Hour {
				t.Errorf("%+v %+v", f, f.Trial)
			}
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not tried: %+v", f)
		}
	}
}

package scaler

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// foreseen is a policy with a forecast: each replica is to carry 10.
func foreseen() policy.App {
	f := policy.Forecast{}
	f.SetDefaults()
	app := policy.App{
		Name: "web", Mode: policy.Active, Interval: 2 * time.Second,
		Target: policy.Target{Driver: "fake", Service: "web"},
		Min:    1, Max: 400,
		Signals: []policy.Signal{{
			Name: "load", Type: policy.Track, Source: policy.Query, Query: "load",
			Kind: policy.Total, Target: policy.Amount{Value: 10, Unit: policy.Plain}, MaxAge: 15 * time.Second,
		}},
		Out: policy.Out{Rate: []policy.Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}}},
		In: policy.In{
			DeadBand: 0.1, Window: 5 * time.Minute,
			Rate: []policy.Rate{{Replicas: 1, Percent: 0.1, Per: time.Minute}},
		},
		Forecast: &f,
	}
	return app
}

// trace is a load by the minute, from a Monday on.
type trace struct {
	name     string
	seasonal bool // there is something to foretell
	at       func(m int, chance *rand.Rand) float64
}

var aMonday = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func daily(m int) float64 { return math.Sin(2 * math.Pi * float64(m%1440) / 1440) }

// traces are loads of all sorts.
func traces() []trace {
	walk := 300.0
	level := 200.0
	return []trace{
		{"a sale every evening", true, func(m int, c *rand.Rand) float64 {
			if h := m % 1440 / 60; h == 20 {
				return 2000 + 30*c.NormFloat64()
			}
			return 300 + 10*c.NormFloat64()
		}},
		{"a wave every day", true, func(m int, c *rand.Rand) float64 { return 500 + 300*daily(m) + 10*c.NormFloat64() }},
		{"a rise every morning", true, func(m int, c *rand.Rand) float64 {
			if h := m % 1440; h >= 480 && h < 1080 {
				return 1500 + 20*c.NormFloat64()
			}
			return 150 + 10*c.NormFloat64()
		}},
		{"weeks with week-ends", true, func(m int, c *rand.Rand) float64 {
			v := 600 + 400*daily(m)
			if m/1440%7 >= 5 {
				v /= 4
			}
			return v + 10*c.NormFloat64()
		}},
		{"the same all the time", false, func(m int, c *rand.Rand) float64 { return 400 }},
		{"noise", false, func(m int, c *rand.Rand) float64 { return 400 + 80*c.NormFloat64() }},
		{"a walk", false, func(m int, c *rand.Rand) float64 {
			walk = min(max(walk+6*c.NormFloat64(), 50), 1500)
			return walk
		}},
		{"surges at any time", false, func(m int, c *rand.Rand) float64 {
			if level > 200 {
				if c.IntN(20) == 0 {
					level = 200
				}
			} else if c.IntN(700) == 0 {
				level = 1500
			}
			return level + 5*c.NormFloat64()
		}},
		{"on and off by chance", false, func(m int, c *rand.Rand) float64 {
			if c.IntN(45) == 0 {
				level = 1000 - level
			}
			return level
		}},
		{"slow growth", false, func(m int, c *rand.Rand) float64 { return 100 + float64(m)/100 + 5*c.NormFloat64() }},
		{"a season that ends", true, func(m int, c *rand.Rand) float64 {
			if h := m % 1440 / 60; h == 20 && m < 10*1440 {
				return 2000
			}
			return 300 + 10*c.NormFloat64()
		}},
		{"a load that goes away", true, func(m int, c *rand.Rand) float64 {
			if m >= 10*1440+600 {
				return 20 + c.NormFloat64()
			}
			return 800 + 500*daily(m) + 10*c.NormFloat64()
		}},
		{"a season that moves", true, func(m int, c *rand.Rand) float64 {
			hour := 20
			if m >= 10*1440 {
				hour = 8
			}
			if h := m % 1440 / 60; h == hour || h == hour+1 {
				return 2000 + 20*c.NormFloat64()
			}
			return 300 + 10*c.NormFloat64()
		}},
		{"a season in noise", false, func(m int, c *rand.Rand) float64 {
			return max(0, 400+30*daily(m)+120*c.NormFloat64())
		}},
	}
}

func (tr trace) days(n int) forecast.History {
	c := rand.New(rand.NewPCG(7, 11))
	h := forecast.History{Start: aMonday, Step: aheadStep}
	for m := range n * 1440 {
		h.Values = append(h.Values, max(tr.at(m, c), 0))
		h.Censored = append(h.Censored, false)
	}
	return h
}

// The gate lets what pays, and nothing else; and on no trace do the two days after it
// cost more than the cap, also where they are none like those before.
func TestTheGateOnTracesOfAllSorts(t *testing.T) {
	const learned, lived = 10, 2
	for _, tr := range traces() {
		t.Run(tr.name, func(t *testing.T) {
			app := foreseen()
			app.Forecast.Season = policy.Daily
			load := tr.days(learned + lived)
			from := aMonday.AddDate(0, 0, learned)
			hint, says, err := Foretell(app, load, from, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if acts := strings.HasPrefix(says, "forecast on: "); acts != tr.seasonal {
				t.Errorf("%s", says)
			}
			r := replay{app: only(app), load: load, begin: from, boot: time.Minute}
			without, err := r.run(nil)
			if err != nil {
				t.Fatal(err)
			}
			with, err := r.run(hint)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s; then θ_U %.3f → %.3f, %.0f → %.0f replica-hours", says, without.Under, with.Under, without.Hours, with.Hours)
			if with.Hours > without.Hours*1.15 {
				t.Errorf("%.0f replica-hours became %.0f, more than 15%% above", without.Hours, with.Hours)
			}
			if with.Under > without.Under {
				t.Errorf("θ_U %.3f became %.3f: a floor can only lift", without.Under, with.Under)
			}
		})
	}
}

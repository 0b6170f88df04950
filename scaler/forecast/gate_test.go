package forecast

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

var terms = Terms{MinGain: 0.2, MaxCost: 0.15}

// good is a trial that keeps to the terms.
func good() Trial {
	return Trial{
		Span: 7 * day, Model: "median of days", Rival: "the same as now", Skill: 0.4,
		Without: Run{Under: 2, Hours: 100}, With: Run{Under: 0.5, Hours: 110},
	}
}

func TestAForecastActsOnlyIfItIsWorthIt(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Trial)
		want   Standing
		why    string
	}{
		"as good as asked for":                  {func(*Trial) {}, On, "in 7 days it takes away 75% of the shortfall for +10% replica-hours"},
		"just enough gain":                      {func(t *Trial) { t.With.Under = 1.6 }, On, "20%"},
		"less gain":                             {func(t *Trial) { t.With.Under = 1.61 }, Off, "min_gain is 20%"},
		"a loss":                                {func(t *Trial) { t.With.Under = 3 }, Off, "-50%"},
		"just what it may cost":                 {func(t *Trial) { t.With.Hours = 115 }, On, "+15%"},
		"more":                                  {func(t *Trial) { t.With.Hours = 115.1 }, Off, "max_cost is 15%"},
		"no skill":                              {func(t *Trial) { t.Skill = 0 }, Off, "no better than the same as now"},
		"no skill that is a number":             {func(t *Trial) { t.Skill = math.NaN() }, Off, "too large"},
		"nothing to be gained":                  {func(t *Trial) { t.Without.Under, t.With.Under = 0, 0 }, Off, "nothing was short"},
		"a replay of nothing":                   {func(t *Trial) { t.Without, t.With = Run{}, Run{} }, Off, "nothing was short"},
		"a gain that is no number":              {func(t *Trial) { t.With.Under = math.NaN() }, Off, "too large"},
		"a replay in which there were no hours": {func(t *Trial) { t.Without.Hours = 0 }, Off, "max_cost"},
		"a replay with hours without end":       {func(t *Trial) { t.With.Hours = math.Inf(1) }, Off, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			trial := good()
			tt.change(&trial)
			g := Gate{Standing: Learning}.Tried(monday, trial, terms)
			if g.Standing != tt.want || !strings.Contains(g.Why, tt.why) || g.Acts() != (tt.want == On) || !g.Since.Equal(monday) {
				t.Errorf("%s since %v: %s; want %s: … %s …", g.Standing, g.Since, g.Why, tt.want, tt.why)
			}
		})
	}
}

func TestAnHourThatWentOtherwiseSuspendsForAnHour(t *testing.T) {
	at := func(minutes int) time.Time { return monday.Add(time.Duration(minutes) * time.Minute) }
	g := Gate{}.Tried(at(0), good(), terms)
	for _, tt := range []struct {
		minute int
		missed float64
		want   Standing
	}{
		{1, 0.25, On},
		{2, math.NaN(), On}, // not known is no reason
		{3, 0.26, Suspended},
		{4, 0, Suspended},
		{62, 0, Suspended},
		{63, 0, On},
		{64, 1, Suspended},
		{123, 1, Suspended},
		{124, 1, Suspended}, // once more
		{183, 0, Suspended},
		{184, 0, On},
	} {
		if g = g.Heard(at(tt.minute), tt.missed); g.Standing != tt.want {
			t.Fatalf("minute %d: %s (%s), want %s", tt.minute, g.Standing, g.Why, tt.want)
		}
	}
	g = g.Heard(at(190), 1)
	if again := g.Tried(at(200), good(), terms); again.Standing != Suspended || again.Trial.Skill != good().Skill {
		t.Errorf("a trial ends the suspension: %+v", again)
	}
	bad := good()
	bad.With.Hours = 200
	if off := g.Tried(at(200), bad, terms); off.Standing != Off {
		t.Errorf("a bad trial does not turn it off while it is suspended: %+v", off)
	}
	if back := g.Heard(at(-10_000), 0); back.Standing != On {
		t.Errorf("a clock that went back prolongs the suspension: %+v", back)
	}
}

func TestWhatIsNotTriedDoesNotAct(t *testing.T) {
	on := Gate{}.Tried(monday, good(), terms)
	for name, g := range map[string]Gate{
		"from the start":            {},
		"with too little history":   on.Learns(monday, errors.New("too short")),
		"when it could not be done": on.Fails(monday, errors.New("no store")),
	} {
		if g.Acts() {
			t.Errorf("%s it acts: %+v", name, g)
		}
		if heard := g.Heard(monday.Add(time.Hour), 0); heard.Acts() {
			t.Errorf("%s it acts after an hour: %+v", name, heard)
		}
	}
}

// A replay says at each step what Ahead would have said there, whatever came later.
func TestAReplayKnowsNothingOfWhatCameLater(t *testing.T) {
	all := load(10, 5, sale)
	past := all
	past.Values = all.Values[:8*1440]
	f, err := Fit(past, Options{Horizon: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	from := 8*1440 + 19*60
	steps, err := f.Replay(all, from)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != len(all.Values)-from {
		t.Fatalf("%d steps, want %d", len(steps), len(all.Values)-from)
	}
	for i := 0; i < len(steps); i += 7 {
		h := all
		h.Values = all.Values[:from+i+1]
		o, err := f.Ahead(h)
		if err != nil {
			t.Fatal(err)
		}
		if peak, known := o.Peak(); known != steps[i].Known() || peak != steps[i].Peak || o.Missed != steps[i].Missed || o.Trusted() != steps[i].Trusted() {
			t.Fatalf("step %d: %+v, want %+v missed %v", i, steps[i], peak, o.Missed)
		}
	}
	if _, err := f.Replay(all, len(all.Values)+1); err == nil {
		t.Error("a step beyond the end is no mistake")
	}
}

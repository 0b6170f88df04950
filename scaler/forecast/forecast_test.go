package forecast

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var monday = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// load is days of minutes of what f says of each, with some noise.
func load(days int, noise float64, f func(at time.Time) float64) History {
	chance := rand.New(rand.NewPCG(1, 2))
	h := History{Start: monday, Step: time.Minute}
	for i := range days * 24 * 60 {
		h.Values = append(h.Values, max(f(monday.Add(time.Duration(i)*time.Minute))+noise*chance.NormFloat64(), 0))
	}
	return h
}

func wave(at time.Time) float64 {
	return 100 + 60*math.Sin(2*math.Pi*float64(at.Hour()*60+at.Minute())/1440)
}

// sale is a flash sale of an hour at eight in the evening.
func sale(at time.Time) float64 {
	if at.Hour() == 20 {
		return 900
	}
	return 100
}

func weekend(at time.Time) float64 {
	if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
		return wave(at) / 3
	}
	return wave(at)
}

func TestAPatternIsLearnedAndNoPatternIsNot(t *testing.T) {
	walk := 100.0
	chance := rand.New(rand.NewPCG(3, 4))
	tests := map[string]struct {
		history History
		learned bool
	}{
		"a wave every day":                {load(10, 5, wave), true},
		"a sale every evening":            {load(10, 5, sale), true},
		"weeks with week-ends":            {load(28, 5, weekend), true},
		"noise alone":                     {load(10, 20, func(time.Time) float64 { return 100 }), false},
		"a walk that turns at every step": {load(10, 0, func(time.Time) float64 { walk = max(walk+chance.NormFloat64(), 0); return walk }), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := Fit(tt.history, Options{Horizon: 10 * time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s is better than %s by %.2f", f.Model, f.Rival, f.Skill)
			if got := f.Skill > 0.1; got != tt.learned {
				t.Errorf("skill %.2f of %s against %s", f.Skill, f.Model, f.Rival)
			}
		})
	}
}

func TestASeasonThatIsEverTheSameIsLearnedAndALoadThatDoesNotMoveIsNot(t *testing.T) {
	f, err := Fit(load(10, 0, sale), Options{Horizon: 10 * time.Minute, Season: Daily})
	if err != nil || f.Skill != 1 {
		t.Errorf("%+v %v, want the season itself", f, err)
	}
	if _, err := Fit(load(10, 0, func(time.Time) float64 { return 100 }), Options{Horizon: 10 * time.Minute}); !errors.Is(err, ErrIdle) {
		t.Errorf("a load that does not move: %v", err)
	}
}

func TestASaleIsSeenBeforeItBegins(t *testing.T) {
	all := load(10, 5, sale)
	f, err := Fit(all, Options{Horizon: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		minute int // of the last day, at which to look ahead
		atMost float64
		least  float64
	}{
		"an hour before":   {19 * 60, 200, 90},
		"as it draws near": {20*60 - 5, 1400, 800},
		"within it":        {20*60 + 30, 1400, 800},
		"after it":         {21*60 + 30, 200, 90},
	} {
		t.Run(name, func(t *testing.T) {
			h := all
			h.Values = h.Values[:9*1440+tt.minute]
			o, err := f.Ahead(h)
			if err != nil {
				t.Fatal(err)
			}
			peak, known := o.Peak()
			if !known || peak.Enough < tt.least || peak.Enough > tt.atMost {
				t.Errorf("%+v, want %v to %v", peak, tt.least, tt.atMost)
			}
			if first := o.Points[0].At; !first.Equal(h.Start.Add(time.Duration(len(h.Values)) * time.Minute)) {
				t.Errorf("the first point is at %v", first)
			}
		})
	}
}

// What was enough by the quantile is so about as often as it says, on days that
// nothing was learned from.
func TestTheQuantileIsKept(t *testing.T) {
	all := load(16, 10, wave)
	past := all
	past.Values = all.Values[:12*1440]
	f, err := Fit(past, Options{Horizon: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	enough, n := 0, 0
	for end := 12 * 1440; end+5 < len(all.Values); end += 37 {
		h := all
		h.Values = all.Values[:end]
		o, err := f.Ahead(h)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if all.Values[end+4] <= o.Points[4].Enough {
			enough++
		}
	}
	if share := float64(enough) / float64(n); share < 0.82 || share > 0.97 {
		t.Errorf("it was enough in %.2f of %d cases, want about 0.9", share, n)
	}
}

func TestAnHourThatWentOtherwiseIsNotTrusted(t *testing.T) {
	h := load(10, 5, wave)
	f, err := Fit(h, Options{Horizon: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change  func(v []float64)
		trusted bool
	}{
		"as expected": {func([]float64) {}, true},
		"thrice as much": {func(v []float64) {
			for i := range v {
				v[i] *= 3
			}
		}, false},
		"not known": {func(v []float64) {
			for i := range v {
				v[i] = math.NaN()
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			last := h
			last.Values = slices.Clone(h.Values)
			tt.change(last.Values[len(last.Values)-60:])
			o, err := f.Ahead(last)
			if err != nil {
				t.Fatal(err)
			}
			if o.Trusted() != tt.trusted {
				t.Errorf("%.2f missed", o.Missed)
			}
		})
	}
}

// A day that is not known must not look like a day without load.
func TestAGapTeachesNothing(t *testing.T) {
	whole := load(10, 5, wave)
	gap := whole
	gap.Values = slices.Clone(whole.Values)
	for i := 7 * 1440; i < 7*1440+1000; i++ {
		gap.Values[i] = math.NaN()
	}
	for _, h := range []History{whole, gap} {
		f, err := Fit(h, Options{Horizon: 5 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		o, err := f.Ahead(h)
		if err != nil {
			t.Fatal(err)
		}
		if peak, _ := o.Peak(); peak.Expected < 85 || peak.Expected > 115 {
			t.Errorf("%v at midnight, want about 100", peak.Expected)
		}
	}
}

// Minutes in which there was at least as much as is known must not be taken for
// minutes in which there was as little.
func TestWhatIsCensoredIsNotTakenForLittle(t *testing.T) {
	full := load(10, 5, sale)
	full.Censored = make([]bool, len(full.Values))
	for i, v := range full.Values {
		// On the last three days the workload could not take more than 300.
		if i > 7*1440 && v > 300 {
			full.Values[i], full.Censored[i] = 300, true
		}
	}
	m := holt{season: day, alpha: 0.2, beta: 0.01, gamma: 0.2, phi: 0.95}
	expected := m.roll(full, 1)[0][9*1440+20*60+29]
	full.Censored = nil
	believed := m.roll(full, 1)[0][9*1440+20*60+29]
	if expected < 800 || believed > 600 {
		t.Errorf("expected %.0f where it is known to be censored, %.0f else", expected, believed)
	}
}

func TestWhatCannotBeForecastSaysWhy(t *testing.T) {
	good := load(10, 5, wave)
	for name, tt := range map[string]struct {
		history History
		options Options
		want    string
	}{
		"no history":            {History{Step: time.Minute}, Options{Horizon: time.Minute}, "no history"},
		"two days":              {load(2, 1, wave), Options{Horizon: time.Minute}, "takes 120h0m0s of history"},
		"a week of weeks":       {load(7, 1, wave), Options{Horizon: time.Minute, Season: Weekly}, "a 168h0m0s pattern"},
		"an odd step":           {History{Step: 7 * time.Second, Values: []float64{1}}, Options{Horizon: time.Minute}, "a day must be a multiple"},
		"no horizon":            {good, Options{}, "a horizon of 0s"},
		"a horizon of a day":    {good, Options{Horizon: day}, "1 to 60 steps"},
		"a quantile of 2":       {good, Options{Horizon: time.Minute, Quantile: 2}, "quantile 2"},
		"a season of months":    {good, Options{Horizon: time.Minute, Season: "monthly"}, "daily, weekly or auto"},
		"hardly anything known": {History{Start: monday, Step: time.Minute, Values: unknown(10 * 1440)}, Options{Horizon: time.Minute}, "0% is known"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Fit(tt.history, tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) && !(name == "a horizon of a day" && strings.Contains(err.Error(), "60 steps")) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestTheSameHistoryHasTheSameForecast(t *testing.T) {
	h := load(8, 20, wave)
	one, err := Fit(h, Options{Horizon: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	two, _ := Fit(h, Options{Horizon: 5 * time.Minute})
	a, _ := one.Ahead(h)
	b, _ := two.Ahead(h)
	if !slices.Equal(a.Points, b.Points) || one.Skill != two.Skill {
		t.Errorf("%+v and %+v", a, b)
	}
}

// One value that cannot be is over when it is over.
func TestAHugeValueIsForgotten(t *testing.T) {
	h := load(10, 5, wave)
	h.Values[5*1440+77] = 1e300
	for _, m := range []model{median{day}, recent{time.Hour}} {
		if v := m.roll(h, 1)[0][len(h.Values)-1]; v < 80 || v > 120 {
			t.Errorf("%s: %v at midnight of the tenth day, want about 100", m.name(), v)
		}
	}
}

// Whatever is in a history, no forecast is below zero or not a number, and none
// looks into the future: cutting off what comes later changes nothing.
func FuzzForecast(f *testing.F) {
	f.Add(uint64(1), uint16(4000), uint8(3), uint8(0))
	f.Add(uint64(2), uint16(4999), uint8(60), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, horizon, holes uint8) {
		n %= 5000
		chance := rand.New(rand.NewPCG(seed, 0))
		h := History{Start: monday, Step: 5 * time.Minute, Censored: make([]bool, n)}
		for i := range n {
			v := chance.ExpFloat64() * 100
			if holes > 0 && chance.IntN(int(holes)) == 0 {
				v = []float64{math.NaN(), math.Inf(1), math.Inf(-1), -5, 1e300}[chance.IntN(5)]
			}
			h.Values = append(h.Values, v)
			h.Censored[i] = chance.IntN(5) == 0
		}
		steps := int(horizon)%20 + 1
		for _, m := range []model{median{day}, holt{day, 0.2, 0.01, 0.2, 0.9}, before{day}, recent{}, recent{time.Hour}} {
			all := m.roll(h, steps)
			cut := h
			cut.Values, cut.Censored = h.Values[:n/2], h.Censored[:n/2]
			for i, list := range m.roll(cut, steps) {
				for at, v := range list {
					w := all[i][at]
					if v != w && !(math.IsNaN(v) && math.IsNaN(w)) {
						t.Fatalf("%s says %v of step %d+%d, and %v if it knows what comes", m.name(), v, at, i+1, w)
					}
				}
			}
		}
		fitted, err := Fit(h, Options{Horizon: time.Duration(steps) * h.Step})
		if err != nil {
			return
		}
		o, err := fitted.Ahead(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range o.Points {
			if !(p.Enough >= 0) || math.IsInf(p.Enough, 1) || math.IsNaN(p.Expected) {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func BenchmarkFit(b *testing.B) {
	h := load(28, 5, weekend)
	for b.Loop() {
		if _, err := Fit(h, Options{Horizon: 5 * time.Minute}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAhead(b *testing.B) {
	h := load(28, 5, weekend)
	f, err := Fit(h, Options{Horizon: 5 * time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := f.Ahead(h); err != nil {
			b.Fatal(err)
		}
	}
}

package decide

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// trendOf feeds a load, a reading every two seconds.
func trendOf(seconds int, load func(t float64) float64) *Trend {
	var r Trend
	for t := 0; t <= seconds; t += 2 {
		r.add(noon.Add(time.Duration(t)*time.Second), load(float64(t)), 2*time.Second)
	}
	return &r
}

// latest is the slope when the last reading was taken.
func (r *Trend) latest() float64 { return r.slope(r.At, 2*time.Second) }

func TestATrendIsTheSlopeOfARamp(t *testing.T) {
	for name, tt := range map[string]struct {
		load func(t float64) float64
		want float64
	}{
		"a ramp":                      {func(t float64) float64 { return 10 + 0.5*t }, 0.5},
		"a ramp far up":               {func(t float64) float64 { return 400 + 0.01*t }, 0.01},
		"a ramp down is none":         {func(t float64) float64 { return 100 - 0.5*t }, 0},
		"a constant is none":          {func(float64) float64 { return 1.0 / 3 }, 0},
		"a step is none":              {func(t float64) float64 { return 1 + 10*math.Floor(t/100) }, 0},
		"a wave at its top is none":   {func(t float64) float64 { return 10 + 5*math.Sin(2*math.Pi*t/480) }, 0},
		"an old ramp, long over":      {func(t float64) float64 { return min(t, 60) }, 0},
		"a ramp after a long silence": {func(t float64) float64 { return max(0, t-60) }, 1},
	} {
		if got := trendOf(120, tt.load).latest(); math.Abs(got-tt.want) > 0.1*tt.want+1e-12 {
			t.Errorf("%s: slope %v, want %v", name, got, tt.want)
		}
	}
}

func TestAStepIsNeverATrendWheneverOneLooks(t *testing.T) {
	for at := 0.0; at < 120; at += 2 {
		for seconds := range 200 {
			r := trendOf(seconds, func(t float64) float64 {
				if t < at {
					return 2
				}
				return 20
			})
			if b := r.latest(); b != 0 {
				t.Fatalf("a step at %v s has the slope %v at %d s", at, b, seconds)
			}
		}
	}
}

func TestNoiseIsSeldomATrend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var r Trend
	trends, all := 0, 20000
	for i := range all {
		r.add(noon.Add(time.Duration(i)*2*time.Second), 10+random.NormFloat64(), 2*time.Second)
		if r.latest() > 0 {
			trends++
		}
	}
	if trends > all/1000 {
		t.Errorf("%d of %d moments look like a ramp", trends, all)
	}
}

func TestATrendTakesItsTime(t *testing.T) {
	ramp := func(t float64) float64 { return t }
	if b := trendOf(18, ramp).latest(); b != 0 {
		t.Errorf("slope %v after 18 s", b)
	}
	if b := trendOf(20, ramp).latest(); b == 0 {
		t.Error("no slope after 20 s")
	}
}

func TestATrendIsTheSameHoweverOftenOneLooks(t *testing.T) {
	often := trendOf(60, func(t float64) float64 { return t })
	busy := *often
	for range 10 {
		busy.add(noon.Add(60*time.Second+300*time.Millisecond), 1e6, 2*time.Second)
	}
	if busy != *often {
		t.Errorf("%+v became %+v", *often, busy)
	}
	back := *often
	back.add(noon, 3, 2*time.Second)
	if back.Count != 1 || back.latest() != 0 {
		t.Errorf("a clock that went back left %+v", back)
	}
}

func TestATrendOfRareReadingsNeedsAsManyOfThem(t *testing.T) {
	var r Trend
	for i := range 4 {
		r.add(noon.Add(time.Duration(i)*time.Minute), float64(i*i), time.Minute)
	}
	if b := r.latest(); b != 0 {
		t.Errorf("slope %v of 4 readings", b)
	}
	for i := range 10 {
		r.add(noon.Add(time.Duration(4+i)*time.Minute), 16+float64(i%2)*9, time.Minute)
	}
	if b := r.latest(); b != 0 {
		t.Errorf("slope %v of a load that goes up and down", b)
	}
}

func TestAfterAGapATrendBeginsAnew(t *testing.T) {
	r := trendOf(60, func(float64) float64 { return 2 })
	for i, y := range []float64{2, 3, 5} {
		if r.add(noon.Add(5*time.Minute+time.Duration(2*i)*time.Second), y, 2*time.Second); r.latest() != 0 {
			t.Fatalf("%d readings after a gap are a line: %+v", i+1, *r)
		}
	}
}

func TestATrendOfWhichNothingIsHeardAnyMoreIsOver(t *testing.T) {
	r := trendOf(60, func(t float64) float64 { return t })
	for _, tt := range []struct {
		later, interval time.Duration
		rises           bool
	}{
		{trendMemory, 2 * time.Second, true},
		{trendMemory + 1, 2 * time.Second, false},
		{trendMemory + 1, 10 * time.Second, true},
		{50*time.Second + 1, 10 * time.Second, false},
		{-1, 2 * time.Second, false},
	} {
		if got := r.slope(r.At.Add(tt.later), tt.interval) > 0; got != tt.rises {
			t.Errorf("%v after the last reading of those every %v: it rises %v", tt.later, tt.interval, got)
		}
	}
}

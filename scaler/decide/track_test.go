package decide

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// At 99.9% of its limit a workload has nothing left, whatever its tolerance.
func TestToleranceLeavesRoomBelowTheLimit(t *testing.T) {
	memory := `signals: [{source: memory, target: 95%}]`
	cpu := `signals: [{source: cpu, target: 94%, saturation: {boost: 1}}]`
	for _, tt := range []struct {
		keys string
		mean float64
		to   int
	}{
		{memory, 0.999, 11},
		{memory, 0.98, 11},
		{memory, 0.97, 10},
		{cpu, 1, 11},
		{cpu, 0.96, 10},
		{`signals: [{source: cpu, target: 60%, saturation: {boost: 1}}]`, 0.641, 10},
		{`signals: [{source: cpu, target: 60%, saturation: {boost: 1}}]`, 0.643, 11},
	} {
		p := parsed(tt.keys)
		p.Mode, p.Out.Rate, p.Out.Tolerance = policy.Active, nil, 0.07
		w := walk{policy: p, now: noon, desired: 10}
		d := w.step(2*time.Second, func(now time.Time, n int) []Reading {
			r := share(tt.mean*float64(n))(now, n)[0]
			r.Signal = p.Signals[0].Name
			return []Reading{r}
		})
		if d.To != tt.to {
			t.Errorf("%s at %v: %d, want %d: %s", tt.keys, tt.mean, d.To, tt.to, d.Why())
		}
	}
}

// Growth leaves replicas just below their target, where noise must not look like
// more than they can do: if they are throttled there they always are.
func TestNoiseAtTheTargetIsNoSaturation(t *testing.T) {
	for _, pressed := range []bool{false, true} {
		p := parsed(`signals: [{source: cpu, target: 60%}]`)
		p.Mode, p.Max, p.Out.Tolerance = policy.Active, 200, 0.07
		random := rand.New(rand.NewPCG(1, 2))
		half := 0.5
		w := walk{policy: p, now: noon, desired: 50}
		for range 5400 {
			d := w.step(2*time.Second, func(now time.Time, n int) []Reading {
				r := share(50*0.6*(0.99+0.02*random.NormFloat64()))(now, n)[0]
				if r.Throttled = &half; pressed {
					r.Throttled, r.Pressure = nil, &half
				}
				return []Reading{r}
			})
			if d.To > 60 { // boost would make it 150
				t.Fatalf("pressed %v: %s", pressed, d.Why())
			}
		}
	}
}

// A trend is not carried on once its load is not all seen any more.
func TestATrendEndsWhereItIsSeenNoMore(t *testing.T) {
	for name, change := range map[string]func(o *Observation){
		"one of many falls silent": func(o *Observation) { o.Signals[0].Samples = o.Signals[0].Samples[1:] },
		"a rollout":                func(o *Observation) { o.Updating = true },
	} {
		p := parsed(`signals: [{source: cpu, target: 60%}]`)
		p.Mode = policy.Active
		s, load, desired := State{}, 20*0.6*0.9, 20
		for i := range 100 {
			if i < 60 {
				load += 0.06
			}
			now := noon.Add(time.Duration(i) * p.Interval)
			o := Observation{Now: now, Desired: desired, Ready: desired, Boot: time.Minute, Signals: share(load)(now, desired)}
			if i >= 60 {
				change(&o)
			}
			var d Decision
			s, d = Next(p, s, o)
			desired = d.To
			rises := strings.Contains(d.Why(), "rising by") || strings.Contains(asJSON(d), `"lead"`)
			if i == 59 && !rises {
				t.Fatalf("%s: the ramp is not seen: %s", name, d.Why())
			}
			if i == 99 && rises {
				t.Errorf("%s: %s", name, d.Why())
			}
		}
	}
}

func TestSettlingIsBounded(t *testing.T) {
	p := web()
	p.In.Settle = policy.Span{Auto: true}
	s := rpsSignal()
	s.Back = 168 * time.Hour
	if got := settle(&p, &s); got != time.Hour {
		t.Errorf("%v", got)
	}
}

// One idle replica speaks for ten busy ones as long as only it is heard; what it said
// is not in the windows of the threshold when the others are back.
func TestWhatFewSayLetsNothingShrinkLater(t *testing.T) {
	for _, heard := range []int{1, 4, 6} {
		p := web()
		p.Signals = []policy.Signal{memorySignal()}
		p.In = policy.In{Window: 6 * time.Second}
		w := walk{policy: p, now: noon, desired: 10}
		for i := range 100 {
			n, v := heard, 0.02
			if i < 20 || i >= 60 {
				n, v = 10, 0.5
			}
			d := w.step(2*time.Second, func(now time.Time, _ int) []Reading { return []Reading{many(now, n, v)} })
			if d.To != 10 {
				t.Fatalf("%d heard: %s", heard, d.Why())
			}
		}
	}
}

// Nor does it let anything grow, if they are fewer than growth takes.
func TestWhatFewSayLetsNothingGrowLater(t *testing.T) {
	for heard, want := range map[int]int{4: 10, 5: 12} {
		p := web()
		p.Signals = []policy.Signal{memorySignal()}
		w := walk{policy: p, now: noon, desired: 10}
		for i := range 12 {
			n, v := heard, 0.95
			if i == 11 {
				n, v = 10, 0.95
			}
			w.step(2*time.Second, func(now time.Time, _ int) []Reading { return []Reading{many(now, n, v)} })
		}
		if w.desired != want {
			t.Errorf("%d heard: %d, want %d", heard, w.desired, want)
		}
	}
}

// many is a reading of the memory of n replicas.
func many(now time.Time, n int, v float64) Reading {
	r := Reading{Signal: "memory"}
	for i := range n {
		r.Samples = append(r.Samples, Sample{Replica: names[i], At: now, Value: v})
	}
	return r
}

// Where more are ready than are asked for, as in a rollout that starts the new ones
// first, the surplus is not what a row or a boost counts from.
func TestWhatIsAboutToEndIsNotCountedFrom(t *testing.T) {
	p := web()
	p.Max, p.Out.Rate = 200, nil
	ladder := desired()
	ladder.Name, ladder.Type = "p99", policy.Steps
	ladder.Rows = []policy.Row{{Above: policy.Amount{Value: 0.4, Unit: policy.Plain}, Add: policy.Amount{Value: 0.2, Unit: policy.Share}}}
	for _, tt := range []struct {
		signal  policy.Signal
		reading Reading
		to      int
	}{
		{ladder, whole("p99", noon, 0.5), 12},
		{cpuSignal(), share(20)(noon, 20)[0], 30},
	} {
		p.Signals = []policy.Signal{tt.signal}
		o := Observation{Now: noon, Desired: 10, Ready: 20, Updating: true, Signals: []Reading{tt.reading}}
		if _, d := Next(p, settled(p, noon, 10, 10), o); d.To != tt.to {
			t.Errorf("%s: %s, want %d", tt.signal.Name, d.Why(), tt.to)
		}
	}
}

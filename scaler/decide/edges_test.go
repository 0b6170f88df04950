package decide

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// failing is a reading of a query that failed.
func failing(signal string) []Reading { return []Reading{{Signal: signal, Err: "timeout"}} }

// evenly are readings of n replicas that each have v.
func evenly(signal string, now time.Time, n int, v float64) []Reading {
	r := Reading{Signal: signal}
	for i := range n {
		r.Samples = append(r.Samples, Sample{Replica: names[i], At: now, Value: v})
	}
	return []Reading{r}
}

// played is a workload that does what is decided.
type played struct {
	policy  policy.App
	state   State
	now     time.Time
	desired int
	last    Decision
}

// tick decides after a time, about what is seen.
func (w *played) tick(after time.Duration, see func(*Observation)) Decision {
	w.now = w.now.Add(after)
	o := Observation{Now: w.now, Desired: w.desired, Ready: w.desired}
	see(&o)
	w.state, w.last = Next(w.policy, w.state, o)
	if w.last.Apply {
		w.desired = w.last.To
	}
	return w.last
}

// crowded is a threshold policy whose three windows of a minute lie above max.
func crowded() *played {
	p := web()
	s := memorySignal()
	s.Window, s.Samples, s.MaxAge = time.Minute, 3, 15*time.Second
	p.Signals, p.Max = []policy.Signal{s}, 200
	return &played{policy: p, now: noon, desired: 5}
}

func TestASingleMissStopsNoThresholdFromGrowing(t *testing.T) {
	for name, see := range map[string]func(*Observation){
		"of the platform": func(o *Observation) { o.Err = "timeout" },
		"of a query":      func(o *Observation) { o.Signals = failing("memory") },
	} {
		t.Run(name, func(t *testing.T) {
			w := crowded()
			w.policy.In.Window = 5 * time.Second
			for i := range 900 {
				w.tick(2*time.Second+time.Millisecond, func(o *Observation) {
					if o.Signals = evenly("memory", o.Now, o.Desired, 0.95); i%60 == 59 {
						see(o)
					}
				})
			}
			if w.desired < 8 {
				t.Errorf("%d replicas after half an hour above max: %s", w.desired, w.last.Why())
			}
		})
	}
}

func TestAThresholdDoesNotCountOverALongMiss(t *testing.T) {
	w := crowded()
	step := func(d time.Duration, r func(o *Observation) []Reading) {
		w.tick(d, func(o *Observation) { o.Signals = r(o) })
	}
	full := func(o *Observation) []Reading { return evenly("memory", o.Now, o.Desired, 0.95) }
	for range 80 {
		step(2*time.Second, full)
	}
	for range 9 {
		step(2*time.Second, func(*Observation) []Reading { return failing("memory") })
	}
	for range 80 {
		step(2*time.Second, full)
	}
	if w.desired != 5 {
		t.Errorf("grew by windows that were not seen: %s", w.last.Why())
	}
}

func TestAHangingStoreDoesNotStopTheFallback(t *testing.T) {
	p := web()
	p.Interval = time.Second
	p.Fallback = &policy.Fallback{After: 2 * time.Minute, Action: policy.AtLeast, Replicas: 30}
	w := &played{policy: p, now: noon, desired: 5}
	for range 30 { // each tick waits 5 s for the store: longer than a gap
		w.tick(5050*time.Millisecond, func(o *Observation) { o.Signals = failing("cpu") })
	}
	if w.desired != 30 {
		t.Errorf("%d replicas: %s", w.desired, w.last.Why())
	}
}

func TestAStopOfTheCollectorIsNoSilence(t *testing.T) {
	p := web()
	p.Fallback = &policy.Fallback{After: 2 * time.Minute, Action: policy.AtLeast, Replicas: 30}
	w := &played{policy: p, now: noon, desired: 5}
	silent := func(o *Observation) { o.Signals = failing("cpu") }
	for range 5 {
		w.tick(2*time.Second, silent)
	}
	w.tick(24*time.Hour, silent) // it is back before the agents are
	if w.desired != 5 {
		t.Errorf("%d replicas: %s", w.desired, w.last.Why())
	}
	for range 61 {
		w.tick(2*time.Second, silent)
	}
	if w.desired <= 5 {
		t.Errorf("%d replicas after two minutes: %s", w.desired, w.last.Why())
	}
}

func TestAFallbackShrinksOnlyWhereNothingIsKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		see func(*Observation)
		to  int
	}{
		"nothing is heard":            {func(o *Observation) { o.Signals = failing("cpu") }, 2},
		"some are heard, and full":    {func(o *Observation) { o.Signals = evenly("cpu", o.Now, 4, 0.4) }, 10},
		"a change is rolled out":      {func(o *Observation) { o.Signals, o.Updating = failing("cpu"), true }, 10},
		"the agent of a node is gone": {func(o *Observation) { o.Signals, o.Lost = failing("cpu"), []string{"node-1"} }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			p := web()
			p.In.Rate = nil
			p.Fallback = &policy.Fallback{After: time.Minute, Action: policy.Exactly, Replicas: 2, AllowIn: true}
			w := &played{policy: p, now: noon, desired: 10}
			for range 200 {
				w.tick(2*time.Second, tt.see)
			}
			if w.desired != tt.to {
				t.Errorf("%d replicas, want %d: %s", w.desired, tt.to, w.last.Why())
			}
		})
	}
}

func TestARolloutThatHoldsHoldsFallbackAndPanic(t *testing.T) {
	p := web()
	p.DuringUpdate, p.Max = policy.HoldAll, 100
	p.Fallback = &policy.Fallback{After: time.Minute, Action: policy.AtLeast, Replicas: 30}
	w := &played{policy: p, now: noon, desired: 10}
	for range 60 {
		w.tick(2*time.Second, func(o *Observation) { o.Signals, o.Updating = failing("cpu"), true })
	}
	if w.desired != 10 || !gated(w.last, GateUpdating) || !strings.Contains(w.last.Why(), "30 asked for, but the platform is rolling out a change") {
		t.Errorf("fallback: %s", w.last.Why())
	}
	w.tick(2*time.Second, func(o *Observation) { o.Signals = failing("cpu") })
	if w.desired != 30 {
		t.Errorf("after the rollout: %s", w.last.Why())
	}

	p.Fallback, p.Panic, p.Signals = nil, &policy.Panic{Threshold: 2, Hold: time.Minute}, []policy.Signal{rpsSignal()}
	p.Out.Rate = []policy.Rate{{Replicas: 1, Per: time.Hour}}
	w = &played{policy: p, now: noon, desired: 10}
	w.tick(0, func(o *Observation) { o.Signals = []Reading{whole("rps", o.Now, 3000)} })
	w.desired = 10 // it could not be written
	w.tick(2*time.Second, func(o *Observation) { o.Signals, o.Updating = []Reading{whole("rps", o.Now, 3000)}, true })
	if w.desired != 10 || !gated(w.last, GateUpdating) {
		t.Errorf("panic: %s", w.last.Why())
	}
}

func TestAShareOfNothingIsOne(t *testing.T) {
	p, _ := queue()
	p.Min, p.AllowZero = 0, &policy.AllowZero{IdleFor: time.Minute}
	p.Out.Rate = []policy.Rate{{Percent: 1, Per: 15 * time.Second}}
	p.Fallback = &policy.Fallback{After: time.Minute, Action: policy.AtLeast, Replicas: 3}
	w := &played{policy: p, now: noon, desired: 0}
	for range 60 {
		w.tick(2*time.Second, func(o *Observation) { o.Signals = failing("rps") })
	}
	if w.desired != 3 {
		t.Errorf("%d replicas: %s", w.desired, w.last.Why())
	}
}

func TestAPanicGoesPastTheRatesForNoForecast(t *testing.T) {
	for _, window := range []time.Duration{0, time.Minute} {
		p, past := queue()
		p.Max, p.Out.Window = 400, window
		p.Panic = &policy.Panic{Threshold: 2, Hold: time.Minute}
		p.Out.Rate = []policy.Rate{{Replicas: 5, Per: time.Minute}}
		o := asks(2000)
		o.Ahead = &Ahead{Signal: "rps", Load: 15000, Most: 1e9, At: noon.Add(time.Minute), Model: "median"}
		_, d := Next(p, past, o)
		if d.To != 20 {
			t.Errorf("with an out window of %v: %s", window, d.Why())
		}
		if !gated(d, GateRate) && !gated(d, GateWindow) {
			t.Errorf("nothing tells why it is not 150: %s", d.Why())
		}
	}
}

func TestAPanicAddsNoMoreWhereTheClockStepsBack(t *testing.T) {
	p := web()
	p.Max = 200
	p.Panic = &policy.Panic{Threshold: 2, Hold: time.Minute, MaxAdd: 5}
	p.Out.Rate = []policy.Rate{{Replicas: 1, Per: time.Hour}}
	p.Signals = []policy.Signal{rpsSignal()}
	w := &played{policy: p, now: noon, desired: 10}
	for i := range 100 {
		after := 2 * time.Second
		if i%10 == 9 {
			after = -time.Millisecond
		}
		w.tick(after, func(o *Observation) { o.Ready, o.Signals = 10, []Reading{whole("rps", o.Now, 15000)} })
	}
	if w.desired > 16 { // the rate's one, and max_add
		t.Errorf("%d replicas: %s", w.desired, w.last.Why())
	}
}

func TestAPanicOutlastsNoClock(t *testing.T) {
	p, past := queue()
	p.Panic = &policy.Panic{Threshold: 2, Hold: time.Minute}
	past.Surge = Surge{Until: noon.Add(24 * time.Hour), From: 4, Most: 8}
	past, _ = Next(p, past, asks(300))
	if left := past.Surge.Until.Sub(noon); left > time.Minute {
		t.Errorf("a panic of a minute lasts %v more", left)
	}
}

func TestAReadingBeyondAllNumbersCanBeKept(t *testing.T) {
	w := crowded()
	for range 100 {
		w.tick(2*time.Second, func(o *Observation) { o.Signals = evenly("memory", o.Now, o.Desired, math.MaxFloat64) })
		if _, err := json.Marshal(w.state); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPersonsScaleOutStaysForAWholeWindow(t *testing.T) {
	for _, hand := range []int{30, 60} { // max is 40
		p := web()
		p.In.Rate = []policy.Rate{{Percent: 0.5, Per: 30 * time.Second}}
		w := &played{policy: p, now: noon, desired: 10}
		see := func(o *Observation) {
			o.Ready, o.Signals = min(o.Desired, 40), evenly("cpu", o.Now, o.Desired, 2/float64(o.Desired))
		}
		for range 60 {
			w.tick(2*time.Second, see)
		}
		w.desired = hand
		for i := range int(p.In.Window/p.Interval) + 1 {
			if w.tick(2*time.Second, see); w.desired != hand {
				t.Fatalf("%d left of %d after %d ticks: %s", w.desired, hand, i, w.last.Why())
			}
		}
		if w.tick(2*time.Second, see); w.desired != hand/2 {
			t.Errorf("after the window: %s", w.last.Why())
		}
	}
}

func TestWhatThePolicyAskedForIsNoPersons(t *testing.T) {
	p := web()
	p.In.Rate = nil
	past := settled(p, noon, 10, 4)
	see := Observation{Now: noon, Desired: 12, Ready: 12, Signals: evenly("cpu", noon, 12, 0.16)}
	if _, d := Next(p, past, see); d.To != 12 {
		t.Errorf("a person's 12: %s", d.Why())
	}
	past.Asked = 12
	if _, d := Next(p, past, see); d.To != 4 {
		t.Errorf("its own 12: %s", d.Why())
	}
}

func TestAWorkloadWithoutReplicasIsOnlyAPersonsIfOneWasSeen(t *testing.T) {
	p := web()
	none := Observation{Now: noon, Signals: failing("cpu")}
	s, d := Next(p, State{}, none)
	if d.To != 0 || strings.Contains(d.Why(), "by hand;") || !gated(d, GateStopped) {
		t.Errorf("on a fresh state: %s", d.Why())
	}
	none.Now = noon.Add(2 * time.Second)
	if _, d = Next(p, s, none); d.To != 0 || strings.Contains(d.Why(), "by hand;") {
		t.Errorf("a tick later: %s", d.Why())
	}
	if _, d = Next(p, settled(p, none.Now, 4, 4), none); d.To != 0 || !strings.Contains(d.Why(), "scaled to 0 by hand;") {
		t.Errorf("where there were some: %s", d.Why())
	}
}

func TestAnEditWakesWhatThePolicyPutToSleep(t *testing.T) {
	p, _ := queue()
	p.Min, p.AllowZero = 0, &policy.AllowZero{IdleFor: time.Minute}
	w := &played{policy: p, now: noon, desired: 0}
	w.tick(0, func(o *Observation) { o.Signals = []Reading{whole("rps", o.Now, 0)} })
	if w.desired != 0 {
		t.Fatal(w.last.Why())
	}
	w.policy.Min, w.policy.AllowZero = 3, nil
	w.state = w.state.Edited()
	w.tick(2*time.Second, func(o *Observation) { o.Signals = failing("rps") })
	if w.desired != 3 {
		t.Errorf("after the edit: %s", w.last.Why())
	}
	w.tick(2*time.Second, func(o *Observation) { o.Signals = failing("rps") })
	w.desired = 0
	if w.tick(2*time.Second, func(o *Observation) { o.Signals = failing("rps") }); w.desired != 0 {
		t.Errorf("a person's 0 does not stay: %s", w.last.Why())
	}
}

func TestTheChangesOfAFightAreBounded(t *testing.T) {
	p := web()
	p.Budget = &policy.Budget{Changes: 1000, Window: 24 * time.Hour}
	var s State
	sum := map[int]int{}
	for i := range 20_000 {
		n, way := 10, -1
		if i%2 == 1 {
			n, way = 14, +1
		}
		o := &Observation{Now: noon.Add(time.Duration(i) * 2 * time.Second), Desired: n}
		s.resume(&p, "fake/web", o)
		if i > 0 {
			sum[way] += 4
		}
		if len(s.Changes) > mostChanges+1 {
			t.Fatalf("%d changes", len(s.Changes))
		}
	}
	now := noon.Add(20_000 * 2 * time.Second)
	for way, want := range sum {
		if got := s.moved(now.Add(-24*time.Hour), way); got != want {
			t.Errorf("%d replicas moved %+d, want %d", got, way, want)
		}
		if got := s.moved(now.Add(-time.Minute), way); got < 4*15-4 || got > 4*15 {
			t.Errorf("%d replicas moved %+d in the last minute", got, way)
		}
	}
	for _, hours := range []int{1, 5, 10} { // what is put together counts for longer, and not for much
		ago := time.Duration(hours) * time.Hour
		if got, want := s.moved(now.Add(-ago), +1), 4*900*hours; got < want-4 || got > want*4/3 {
			t.Errorf("%d replicas came in %v, want %d", got, ago, want)
		}
	}
	if got := s.lastChange(); !got.Equal(now.Add(-2 * time.Second)) {
		t.Errorf("the last change was at %v", got)
	}
}

func TestACeilingBelowAFloorSaysSo(t *testing.T) {
	p := web()
	p.Schedules = []policy.Schedule{
		{Name: "night", At: noon.Add(-time.Hour), Duration: 5 * time.Hour, Ceiling: 5},
		{Name: "sale", At: noon.Add(-time.Hour), Duration: 5 * time.Hour, Floor: 20},
	}
	_, d := Next(p, State{}, Observation{Now: noon, Desired: 20, Ready: 20, Signals: evenly("cpu", noon, 20, 0.9)})
	if why := d.Why(); d.To != 20 || !gated(d, GateCeiling) || strings.Contains(why, "schedule night is 20") || !strings.Contains(why, "20") {
		t.Error(why)
	}
	p.Schedules, p.Min = nil, 8
	_, d = Next(p, State{}, Observation{
		Now: noon, Desired: 8, Ready: 8, Signals: evenly("cpu", noon, 8, 0.9),
		Hand: Hand{Ceiling: 3, Until: noon.Add(time.Hour), By: "eve"},
	})
	if why := d.Why(); d.To != 8 || strings.Contains(why, fmt.Sprintf("eve asks for %d at most", 8)) {
		t.Error(why)
	}
}

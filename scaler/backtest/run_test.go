package backtest_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

var begin = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// minutes is a load with a value for each minute.
func minutes(values ...float64) backtest.Load {
	return backtest.Load{Start: begin, Step: time.Minute, Values: values}
}

// fixed asks for numbers at times since the beginning, and for the last of them
// from then on.
type fixed []struct {
	at time.Duration
	n  int
}

func (f fixed) Tick(s *backtest.Seen) int {
	n := s.Desired
	for _, step := range f {
		if s.Now.Sub(begin) >= step.at {
			n = step.n
		}
	}
	return n
}

func (f fixed) Why() string { return "because" }

func run(t *testing.T, o backtest.Options, a backtest.Autoscaler) backtest.Result {
	t.Helper()
	r, err := backtest.Run(o, a)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// Ten minutes: 2 replicas are demanded, 4 from the third minute on, 1 from the
// seventh. 3 are asked for after 4 minutes and are there 30 s later, 1 after 8.
func TestScoresAreThoseOfACalculationByHand(t *testing.T) {
	o := backtest.Options{
		Plant: backtest.Plant{Boot: 30 * time.Second, Stop: 10 * time.Second},
		Lanes: []backtest.Lane{{Signal: "rps", Kind: backtest.Whole, Load: minutes(20, 20, 35, 35, 40, 40, 5, 5, 5, 5), Good: 10}},
		Trace: true, Worst: 3,
	}
	r := run(t, o, fixed{{4 * time.Minute, 3}, {8 * time.Minute, 1}})
	s := r.Scores
	// Missing: 2 of 4 for 150 s, 1 of 4 for 90 s. Too much: 2 of 1 for 120 s.
	want := backtest.Scores{
		KnownHours: 1. / 6, KnownPercent: 100,
		ThetaU: 100 * (0.5*150 + 0.25*90) / 600,
		ThetaO: 100 * (2. * 120) / 600,
		TauU:   100 * 240. / 600, TauO: 100 * 120. / 600,
		// Over a minute, demand moved at the minutes 2 and 6, supply between 4 and 5
		// and at 8: 4 of the 9 minutes.
		Upsilon:      100 * 4. / 9,
		Jitter:       (2. - 2) * 6,
		ReplicaHours: (2*240 + 3*240 + 1*120 + 2*10) / 3600.,
		Changes:      2, Reversals: 1, OverMinutes: 4, WorstSeconds: 240, Peak: 3,
	}
	got, wanted := reflect.ValueOf(s), reflect.ValueOf(want)
	for i := range got.NumField() {
		name := got.Type().Field(i).Name
		if got.Field(i).Kind() == reflect.Pointer {
			continue
		}
		g, w := got.Field(i).Convert(reflect.TypeFor[float64]()).Float(), wanted.Field(i).Convert(reflect.TypeFor[float64]()).Float()
		if !near(g, w) {
			t.Errorf("%s is %v, want %v", name, g, w)
		}
	}
	if s.LostPercent != nil {
		t.Errorf("%v %% of the load is lost, though nobody said what a replica can carry", *s.LostPercent)
	}
	if len(r.Worst) != 1 {
		t.Fatalf("%d shortfalls, want 1: %+v", len(r.Worst), r.Worst)
	}
	w := r.Worst[0]
	if !w.From.Equal(begin.Add(2*time.Minute)) || !w.To.Equal(begin.Add(6*time.Minute)) || !w.At.Equal(w.From) ||
		w.Missing != 2*150+90 || w.Demand != 4 || w.Ready != 2 || w.Desired != 2 || w.Why != "because" || !w.Asked.IsZero() {
		t.Errorf("got %+v", w)
	}
	// With one more at once there is enough after 30 s, and asked for from the beginning.
	r2 := run(t, o, fixed{{2 * time.Minute, 4}})
	if w := r2.Worst[0]; !w.Asked.Equal(w.From) || w.To.Sub(w.From) != 30*time.Second {
		t.Errorf("got %+v", w)
	}
	var at []time.Duration
	for _, p := range r.Trace {
		at = append(at, p.At.Sub(begin))
	}
	if want := []time.Duration{0, 2 * time.Minute, 4 * time.Minute, 4*time.Minute + 30*time.Second, 6 * time.Minute, 8 * time.Minute}; !reflect.DeepEqual(at, want) {
		t.Errorf("something changed at %v, want %v", at, want)
	}
}

func TestAGapIsNeitherJudgedNorZero(t *testing.T) {
	gap := math.NaN()
	lane := backtest.Lane{Signal: "rps", Kind: backtest.Whole, Load: minutes(40, 40, gap, gap, 40), Good: 10}
	var known []bool
	var ages []time.Duration
	watch := watcher(func(s *backtest.Seen) int {
		known = append(known, s.Signals[0].Known)
		if s.Signals[0].Known {
			ages = append(ages, s.Now.Sub(s.Signals[0].At))
			if v := s.Signals[0].Value; v != 40 {
				t.Errorf("at %v the signal reads %v", s.Now, v)
			}
		}
		return 2
	})
	r := run(t, backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{lane}, Every: time.Minute, Start: 2, Worst: 9}, watch)
	if want := []bool{false, true, true, true, true}; !reflect.DeepEqual(known, want) {
		t.Errorf("known is %v, want %v", known, want)
	}
	if want := []time.Duration{2 * time.Second, 2 * time.Second, time.Minute, 2 * time.Minute}; !reflect.DeepEqual(ages, want) {
		t.Errorf("readings are %v old, want %v", ages, want)
	}
	if s := r.Scores; !near(s.KnownHours, 3./60) || !near(s.TauU, 100) || !near(s.ThetaU, 50) || s.WorstSeconds != 120 || len(r.Worst) != 2 {
		t.Errorf("got %+v, %d shortfalls", s, len(r.Worst))
	}
}

type watcher func(*backtest.Seen) int

func (w watcher) Tick(s *backtest.Seen) int { return w(s) }

// Of replicas with one core each, 3.5 cores of load can only be seen as the 2 that
// are used, and those that boot serve nothing.
func TestWhatReplicasUseEndsAtWhatTheyHave(t *testing.T) {
	lane := backtest.Lane{
		Signal: "cpu", Kind: backtest.Shared, Load: minutes(3.5, 3.5, 3.5), Full: 1, Good: 0.5, Unit: 1, Window: 5 * time.Second,
	}
	read := map[int]backtest.Signal{}
	r := run(t, backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{lane}, Start: 2}, watcher(func(s *backtest.Seen) int {
		second := int(s.Now.Sub(begin).Seconds())
		read[second] = s.Signals[0]
		if second == 60 {
			if s.Starting != 0 || s.Ready != 2 {
				t.Errorf("%d ready and %d starting, want 2 and 0", s.Ready, s.Starting)
			}
		}
		if second == 62 {
			if s.Starting != 5 || s.Ready != 2 {
				t.Errorf("%d ready and %d starting, want 2 and 5", s.Ready, s.Starting)
			}
		}
		if second >= 60 {
			return 7
		}
		return 2
	}))
	for second, want := range map[int]backtest.Signal{
		60: {Value: 1, Replicas: 2},
		78: {Value: 1, Replicas: 2},                                   // they boot
		82: {Value: 1, Replicas: 2},                                   // and are there, but not yet seen
		84: {Value: (2*(3*1+2*0.5)/5 + 5*(2*0.5)/5) / 7, Replicas: 7}, // for two of the window's five seconds
		88: {Value: 0.5, Replicas: 7},
	} {
		got := read[second]
		if !got.Known || !near(got.Value, want.Value) || got.Replicas != want.Replicas || got.At != begin.Add(time.Duration(second-2)*time.Second) {
			t.Errorf("after %d s it reads %+v, want %+v", second, got, want)
		}
	}
	// 1.5 of 3.5 cores for 80 of 180 s.
	if got, want := r.Scores.LostPercent, 100*1.5*80/(3.5*180); got == nil || !near(*got, want) {
		t.Errorf("%v %% of the load is lost, want %v", got, want)
	}
}

func TestWhatWaitsIsServedLater(t *testing.T) {
	lane := backtest.Lane{Signal: "cpu", Kind: backtest.Shared, Load: minutes(3, 1, 1), Full: 2, Good: 2}
	o := backtest.Options{Plant: backtest.Plant{Cadence: time.Second, Queue: time.Minute}, Lanes: []backtest.Lane{lane}, Start: 1}
	var use []float64
	watch := watcher(func(s *backtest.Seen) int { use = append(use, s.Signals[0].Value); return 1 })
	if r := run(t, o, watch); *r.Scores.LostPercent != 0 {
		t.Errorf("%v %% is lost, though it could wait", *r.Scores.LostPercent)
	}
	// A minute of 1 too much takes another minute with 1 to spare.
	if u := use[len(use)-1]; use[15] != 2 || use[45] != 2 || u != 1 {
		t.Errorf("it uses %v, %v, %v; want 2, 2, 1", use[15], use[45], u)
	}
	o.Plant.Queue = 15 * time.Second // of 2 each: half of it
	if r := run(t, o, watch); !near(*r.Scores.LostPercent, 100*30./300) {
		t.Errorf("%v %% is lost, want 10", *r.Scores.LostPercent)
	}
}

func TestFaultsReachThePlant(t *testing.T) {
	lane := backtest.Lane{Signal: "rps", Kind: backtest.Whole, Load: minutes(10, 10, 10, 10, 10, 10), Good: 5}
	var ready, failing []int
	var age []time.Duration
	o := backtest.Options{
		Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{lane}, Every: time.Minute,
		Fault: func(w *backtest.World) {
			switch at := w.Now.Sub(begin); {
			case at == 30*time.Second:
				w.Lose(1) // is back at 50 s
			case at == 110*time.Second:
				w.Lose(2) // would be at 130 s, but gets stuck
				w.Stuck = true
			case at == 200*time.Second:
				w.Stuck, w.Mute = false, true
			case at == 250*time.Second:
				w.Ask(4)
			}
		},
	}
	run(t, o, watcher(func(s *backtest.Seen) int {
		ready, failing = append(ready, s.Ready), append(failing, s.Failing)
		age = append(age, s.Now.Sub(s.Signals[0].At))
		return s.Desired
	}))
	if want := []int{2, 2, 0, 0, 2, 4}; !reflect.DeepEqual(ready, want) {
		t.Errorf("ready are %v, want %v", ready, want)
	}
	if want := []int{0, 0, 2, 2, 0, 0}; !reflect.DeepEqual(failing, want) {
		t.Errorf("failing are %v, want %v", failing, want)
	}
	if want := []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second, 40 * time.Second, 100 * time.Second}; !reflect.DeepEqual(age[1:], want) {
		t.Errorf("readings are %v old, want %v", age[1:], want)
	}
}

// The load of a run is made by a generator without a state: anything at all may
// come after anything.
func TestWhatIsThereIsWhatWasAskedFor(t *testing.T) {
	seed := uint64(1)
	random := func(n int) int {
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << 17
		return int(seed % uint64(n))
	}
	for round := range 20 {
		load := make([]float64, 100)
		for i := range load {
			load[i] = float64(random(1000)) / 10
			if random(10) == 0 {
				load[i] = math.NaN()
			}
		}
		plant := backtest.Plant{
			Boot: time.Duration(random(90)) * time.Second, Stop: time.Duration(random(60)) * time.Second,
			Cadence: time.Second, Age: time.Duration(random(5)) * time.Second,
		}
		lane := backtest.Lane{Signal: "cpu", Kind: backtest.Shared, Load: minutes(load...), Full: 1, Good: 0.6, Window: 5 * time.Second}
		o := backtest.Options{Plant: plant, Lanes: []backtest.Lane{lane}, Trace: true, Worst: 5}
		asked := func() backtest.Result {
			seed = uint64(round) + 7
			return run(t, o, watcher(func(s *backtest.Seen) int {
				if s.Ready+s.Starting != s.Desired {
					t.Fatalf("round %d: %d ready and %d starting, %d asked for", round, s.Ready, s.Starting, s.Desired)
				}
				if sig := s.Signals[0]; sig.Known && (sig.Value < 0 || sig.Value > 1 || sig.Replicas > s.Ready) {
					t.Fatalf("round %d: reads %+v with %d ready", round, sig, s.Ready)
				}
				sum, n := 0.0, 0
				s.Each(0, func(_ int, _ time.Time, v float64) { sum, n = sum+v, n+1 })
				if n != s.Signals[0].Replicas || n > 0 && math.Abs(sum/float64(n)-s.Signals[0].Value) > 1e-9 {
					t.Fatalf("round %d: each of %d replicas reads %v on average, all of them %+v", round, n, sum/float64(n), s.Signals[0])
				}
				if random(20) > 0 {
					return s.Desired
				}
				return random(60)
			}))
		}
		first := asked()
		if again := asked(); !reflect.DeepEqual(first.Scores, again.Scores) || len(first.Trace) != len(again.Trace) {
			t.Fatalf("round %d: twice the same run, and not the same result", round)
		}
		s := first.Scores
		if s.TauU+s.TauO > 100+1e-9 || s.ThetaU > s.TauU || *s.LostPercent > 100 || s.WorstSeconds > s.OverMinutes*60 {
			t.Fatalf("round %d: %+v", round, s)
		}
		var missing float64
		for _, w := range first.Worst {
			missing = max(missing, w.Missing)
			if w.Demand <= float64(w.Ready) || w.At.Before(w.From) || !w.At.Before(w.To) {
				t.Fatalf("round %d: %+v", round, w)
			}
		}
		if len(first.Worst) > 0 && first.Worst[0].Missing != missing {
			t.Fatalf("round %d: the gravest shortfall is not the first", round)
		}
	}
}

func TestWhatIsWarmingUpIsNotJudged(t *testing.T) {
	lane := backtest.Lane{Signal: "rps", Kind: backtest.Whole, Load: minutes(50, 10, 10, 10), Good: 10}
	o := backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{lane}, Warm: 2 * time.Minute, Start: 1, Worst: 3}
	r := run(t, o, fixed{{0, 2}})
	want := backtest.Scores{KnownHours: 2. / 60, KnownPercent: 100, ThetaO: 100, TauO: 100, ReplicaHours: 4. / 60, Peak: 2}
	if !reflect.DeepEqual(r.Scores, want) || len(r.Worst) != 0 {
		t.Errorf("got %+v, %v\nwant %+v", r.Scores, r.Worst, want)
	}
}

func TestALoadThatMayIdleDemandsNobody(t *testing.T) {
	lane := backtest.Lane{Signal: "queue", Kind: backtest.Whole, Load: minutes(0, 0, 25, 2, 0), Good: 10, MayIdle: true, Idle: 2}
	o := backtest.Options{Plant: backtest.Plant{}, Lanes: []backtest.Lane{lane}, Start: 1, Trace: true}
	r := run(t, o, fixed{{0, 1}, {time.Minute, 0}, {2 * time.Minute, 3}, {4 * time.Minute, 0}})
	// One too many in the first minute, and three in the fourth.
	if s := r.Scores; !near(s.ThetaO, 100*(1+3)/5.) || s.ThetaU != 0 || !near(s.ReplicaHours, (1+3+3)/60.) {
		t.Errorf("got %+v", s)
	}
	lane.MayIdle = false
	o.Lanes = []backtest.Lane{lane}
	if s := run(t, o, fixed{{0, 1}, {time.Minute, 0}, {2 * time.Minute, 3}, {4 * time.Minute, 0}}).Scores; !near(s.ThetaU, 100*2/5.) {
		t.Errorf("without that, one is demanded at all times: %+v", s)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	lane := func(change func(*backtest.Lane)) []backtest.Lane {
		l := backtest.Lane{Signal: "rps", Kind: backtest.Whole, Load: minutes(1), Good: 1}
		change(&l)
		return []backtest.Lane{l}
	}
	for name, o := range map[string]backtest.Options{
		"no load":             {},
		"an empty load":       {Lanes: lane(func(l *backtest.Lane) { l.Load.Values = nil })},
		"a load without step": {Lanes: lane(func(l *backtest.Lane) { l.Load.Step = 0 })},
		"marks for some":      {Lanes: lane(func(l *backtest.Lane) { l.Load.Censored = []bool{true, false} })},
		"no kind":             {Lanes: lane(func(l *backtest.Lane) { l.Kind = "" })},
		"a target below zero": {Lanes: lane(func(l *backtest.Lane) { l.Good = -1 })},
		"a target of NaN":     {Lanes: lane(func(l *backtest.Lane) { l.Good = math.NaN() })},
		"a window of a week":  {Lanes: lane(func(l *backtest.Lane) { l.Window = 7 * 24 * time.Hour })},
		"nobody to judge by":  {Lanes: lane(func(l *backtest.Lane) { l.Good = 0 })},
		"an end before begin": {Lanes: lane(func(*backtest.Lane) {}), To: begin},
		"more than a year":    {Lanes: lane(func(*backtest.Lane) {}), To: begin.AddDate(2, 0, 0)},
		"a boot below zero":   {Lanes: lane(func(*backtest.Lane) {}), Plant: backtest.Plant{Boot: -1}},
		"a very old sample":   {Lanes: lane(func(*backtest.Lane) {}), Plant: backtest.Plant{Age: 24 * time.Hour}},
		"fewer than none":     {Lanes: lane(func(*backtest.Lane) {}), Start: -1},
	} {
		if r, err := backtest.Run(o, fixed{}); err == nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

// Of six minutes with a demand of 2, the first and the fourth are not known.
func TestWhatReallyRanIsJudgedAlike(t *testing.T) {
	gap := math.NaN()
	o := backtest.Options{
		Plant: backtest.DefaultPlant(), Worst: 3, Trace: true,
		Lanes: []backtest.Lane{{Signal: "rps", Kind: backtest.Whole, Load: minutes(20, 20, 20, 20, 20, 20), Good: 10, Full: 15}},
	}
	r, err := backtest.Recorded(o, backtest.Load{}, minutes(gap, 2, 2, gap, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	s := r.Scores
	if !near(s.KnownPercent, 100*4/6.) || !near(s.ThetaU, 25) || !near(s.TauU, 50) || s.WorstSeconds != 120 || s.Changes != 1 || s.Peak != 2 {
		t.Errorf("got %+v", s)
	}
	// What ran in the fourth minute is what ran before it.
	if !near(s.ReplicaHours, (2+2+2+1+1)/60.) || !near(*s.LostPercent, 100*5*2/(20*4.)) {
		t.Errorf("%v replica-hours, %v %% lost", s.ReplicaHours, *s.LostPercent)
	}
	if len(r.Worst) != 1 || r.Worst[0].Missing != 120 || len(r.Trace) != 4 {
		t.Errorf("got %+v, %+v", r.Worst, r.Trace)
	}
	if _, err := backtest.Recorded(o, backtest.Load{}, backtest.Load{}); err == nil {
		t.Error("nothing was recorded, and it is judged")
	}
	r, err = backtest.Recorded(o, minutes(1, 2, 3, 2, 2, 2), minutes(1, 1, 2, 2, 2, 2))
	if err != nil || r.Scores.Changes != 3 || r.Scores.Reversals != 1 || !near(r.Scores.ReplicaHours, (1+2+3+2+2+2)/60.) {
		t.Errorf("got %+v, %v", r.Scores, err)
	}
}

package backtest_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// app is the policy of a file with one signal.
func app(t testing.TB, signal string) policy.App {
	t.Helper()
	text := "version: plimsoll.scaler/v1\napps:\n- name: web\n  target: {driver: swarm, service: shop_web}\n  max: 100\n  signals: [" + signal + "]\n"
	f, err := policy.Parse("policy.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Apps[0]
}

const (
	byCPU = "{source: cpu, target: 50%}"
	byRPS = "{name: rps, source: query, query: rps, target: 10}"
)

// cores is a load in cores, of replicas with one each, for a signal of the limit.
func cores(l backtest.Load) backtest.Lane {
	return backtest.Lane{Signal: "cpu", Kind: backtest.Shared, Load: l, Full: 1, Good: 0.5, Unit: 1, Window: 5 * time.Second}
}

// requests is a load in requests each second, 10 of which a replica is to carry.
func requests(l backtest.Load) backtest.Lane {
	return backtest.Lane{Signal: "rps", Kind: backtest.Whole, Load: l, Good: 10}
}

func step(from, to float64, at, all int) backtest.Load {
	l := minutes()
	for i := range all {
		v := from
		if i >= at {
			v = to
		}
		l.Values = append(l.Values, v)
	}
	return l
}

// A replica that is full does not show what it lacks, so the way up is longer by
// CPU than by requests. In both the first surge is bounded by the rate, so that it
// takes 15 s and two times the boot at most.
func TestAPolicyFollowsAStep(t *testing.T) {
	for _, tt := range []struct {
		signal string
		lane   backtest.Lane
		most   time.Duration
	}{
		{byCPU, cores(step(1, 10, 10, 60)), 90 * time.Second},
		{byRPS, requests(step(20, 200, 10, 60)), 45 * time.Second},
	} {
		r := run(t, backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{tt.lane}, Worst: 1}, backtest.NewOurs(app(t, tt.signal)))
		if s := r.Scores; s.WorstSeconds > tt.most.Seconds() || s.WorstSeconds < 20 || s.Peak < 20 {
			t.Errorf("%s: too few for %v s, want 20 to %v: %+v", tt.signal, s.WorstSeconds, tt.most, s)
		}
		if len(r.Worst) != 1 || r.Worst[0].Why == "" || r.Worst[0].Demand != 20 {
			t.Errorf("%s: worst is %+v", tt.signal, r.Worst)
		}
	}
}

func TestAGapShrinksNothing(t *testing.T) {
	l := step(100, 20, 5, 40)
	for i := 5; i < 40; i++ {
		l.Values[i] = math.NaN()
	}
	l.Values = append(l.Values, 20, 20, 20) // less than the in window
	r := run(t, backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{requests(l)}, Trace: true}, backtest.NewOurs(app(t, byRPS)))
	for _, p := range r.Trace {
		if p.Ready != 10 || p.Desired != 10 {
			t.Errorf("at %v there are %d, %d asked for", p.At, p.Ready, p.Desired)
		}
	}
}

func TestEachReplicaIsRead(t *testing.T) {
	l := minutes()
	for i := range 60 {
		l.Values = append(l.Values, 5+4*math.Sin(float64(i)/9))
	}
	o := backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{cores(l)}}
	for _, mean := range []bool{false, true} {
		ours := backtest.NewOurs(app(t, byCPU))
		ours.Mean = mean
		most := 0
		ours.Hint = func(o *decide.Observation) {
			samples := o.Signals[0].Samples
			most = max(most, len(samples))
			for i := 1; i < len(samples); i++ {
				if samples[i-1].Replica >= samples[i].Replica {
					t.Fatalf("%s comes before %s", samples[i-1].Replica, samples[i].Replica)
				}
			}
		}
		if s := run(t, o, ours).Scores; mean && most != 1 || !mean && most != s.Peak || s.ThetaU > 5 {
			t.Errorf("mean %t: %d readings at a time, %+v", mean, most, s)
		}
	}
}

func TestAHintReachesTheDecision(t *testing.T) {
	l := step(100, 20, 5, 30)
	o := backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{requests(l)}}
	ours := backtest.NewOurs(app(t, byRPS))
	ours.Hint = func(o *decide.Observation) { o.Signals[0].Err = "broken" }
	if s := run(t, o, ours).Scores; s.Changes != 0 {
		t.Errorf("a signal that is broken made %d changes", s.Changes)
	}
	if s := run(t, o, backtest.NewOurs(app(t, byRPS))).Scores; s.Changes == 0 {
		t.Error("without it there was no change either")
	}
}

func TestARunCanBeStopped(t *testing.T) {
	o := backtest.Options{Lanes: []backtest.Lane{requests(step(1, 1, 0, 100))}}
	var told []float64
	o.Progress = func(done float64) bool { told = append(told, done); return done < 0.5 }
	if _, err := backtest.Run(o, fixed{}); err != backtest.ErrStopped || told[len(told)-1] < 0.5 || told[len(told)-1] > 0.6 {
		t.Errorf("error %v after %v", err, told)
	}
}

func TestTheSameRunTwiceIsTheSame(t *testing.T) {
	l := minutes()
	for i := range 300 {
		l.Values = append(l.Values, 50+40*math.Sin(float64(i)/30)+float64(i*7919%13))
	}
	o := backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{requests(l)}, Trace: true, Worst: 5}
	a, b := run(t, o, backtest.NewOurs(app(t, byRPS))), run(t, o, backtest.NewOurs(app(t, byRPS)))
	if !reflect.DeepEqual(a, b) {
		t.Errorf("first %+v\nthen %+v", a.Scores, b.Scores)
	}
}

// A week at a tick of 2 s.
func BenchmarkAWeek(b *testing.B) {
	l, few := minutes(), minutes()
	for i := range 7 * 24 * 60 {
		l.Values = append(l.Values, 200+150*math.Sin(float64(i)/1440*2*math.Pi)+float64(i*7919%29))
		few.Values = append(few.Values, l.Values[i]/20)
	}
	for name, tt := range map[string]struct {
		lane backtest.Lane
		a    func() backtest.Autoscaler
	}{
		"plant": {requests(l), func() backtest.Autoscaler { return fixed{{0, 20}} }},
		"cpu":   {cores(few), func() backtest.Autoscaler { return backtest.NewOurs(app(b, byCPU)) }},
		"rps":   {requests(l), func() backtest.Autoscaler { return backtest.NewOurs(app(b, byRPS)) }},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ticks := 0
			for b.Loop() {
				o := backtest.Options{Plant: backtest.DefaultPlant(), Lanes: []backtest.Lane{tt.lane}}
				if _, err := backtest.Run(o, tt.a()); err != nil {
					b.Fatal(err)
				}
				ticks += len(l.Values) * 30
			}
			b.ReportMetric(float64(ticks)/b.Elapsed().Seconds(), "ticks/s")
		})
	}
}

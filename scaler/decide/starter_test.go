package decide

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// nursery is a workload whose replicas are heard before they are ready, and use
// what they please until then. Its load is in replicas that are full.
type nursery struct {
	policy policy.App
	boot   time.Duration
	starts float64 // what a replica that starts reads
	noise  float64
	born   []time.Time
	now    time.Time
	state  State
	last   Decision
	peak   int
	random *rand.Rand
}

func newNursery(replicas int) *nursery {
	p := parsed(`signals: [{source: cpu, target: 60%}]`)
	p.Mode, p.Max = policy.Active, 200
	n := &nursery{policy: p, boot: 20 * time.Second, starts: 1, now: noon, random: rand.New(rand.NewPCG(1, 2))}
	for range replicas {
		n.born = append(n.born, noon.Add(-time.Hour))
	}
	return n
}

// run lets the load be for a time.
func (n *nursery) run(load float64, d time.Duration) {
	for range d / n.policy.Interval {
		n.now = n.now.Add(n.policy.Interval)
		ready := 0
		for _, at := range n.born {
			if n.now.Sub(at) >= n.boot {
				ready++
			}
		}
		r := Reading{Signal: "cpu"}
		for i, at := range n.born {
			v := n.starts
			switch age := n.now.Sub(at); {
			case age < 4*time.Second:
				continue // nothing is measured yet
			case age >= n.boot:
				v = min(1, load/float64(ready)*(1+n.noise*n.random.NormFloat64()))
			}
			r.Samples = append(r.Samples, Sample{Replica: fmt.Sprintf("%05d", i), At: n.now, Value: max(0, v)})
		}
		o := Observation{Now: n.now, Desired: len(n.born), Ready: ready, Starting: len(n.born) - ready, Boot: n.boot, Signals: []Reading{r}}
		n.state, n.last = Next(n.policy, n.state, o)
		for len(n.born) < n.last.To {
			n.born = append(n.born, n.now)
		}
		n.born = n.born[:n.last.To]
		n.peak = max(n.peak, n.last.To)
	}
}

func TestReplicasThatStartAreNotTakenForLoad(t *testing.T) {
	for _, boot := range []time.Duration{6 * time.Second, 20 * time.Second, time.Minute} {
		for _, starts := range []float64{0, 0.5, 0.7, 1} {
			for _, boost := range []float64{1, 3} {
				for _, noise := range []float64{0, 0.1} {
					n := newNursery(10)
					n.boot, n.starts, n.noise = boot, starts, noise
					n.policy.Signals[0].Saturation.Boost = boost
					n.run(5, 6*time.Minute)
					n.run(7, 6*time.Minute)
					if n.peak < 11 || n.peak > 13 {
						t.Errorf("boot %v, starting at %v, boost %v, noise %v: a need of 12 makes %d: %s", boot, starts, boost, noise, n.peak, n.last.Why())
					}
				}
			}
		}
	}
}

// What starts hides no load for longer than it starts: of those that are ready, and
// full, it is known that they are.
func TestReplicasThatStartHideNoOverload(t *testing.T) {
	for _, starts := range []float64{0, 0.5, 1} {
		n := newNursery(10)
		n.starts = starts
		n.run(5, time.Minute)
		n.run(7, 10*time.Second) // 2 more are asked for, and start
		n.run(40, 2*time.Minute)
		if need := 67; len(n.born) < need || n.peak > 3*need {
			t.Errorf("starting at %v: %d replicas at the end, %d at most, for a need of %d: %s", starts, len(n.born), n.peak, need, n.last.Why())
		}
	}
}

// Where overload makes most replicas fail their checks, those that are heard have
// the same load, though few of them are ready.
func TestReplicasThatAreNotReadyAnyMoreStillHadTheirLoad(t *testing.T) {
	p := parsed(`signals: [{source: cpu, target: 60%}]`)
	p.Mode, p.Out.Rate = policy.Active, nil
	full := each("cpu", noon, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	for _, ready := range []int{0, 1, 4, 9} {
		s := settled(p, noon, 10, 10)
		s.Past = []Past{{Signal: "cpu", Load: 10}}
		if _, d := Next(p, s, Observation{Now: noon, Desired: 10, Ready: ready, Signals: []Reading{full}}); d.To < 17 {
			t.Errorf("%d ready: %s", ready, d.Why())
		}
	}
	if _, d := Next(p, settled(p, noon, 10, 10), Observation{Now: noon, Desired: 10, Signals: []Reading{full}}); d.To != 10 {
		t.Errorf("none was ready so far: %s", d.Why())
	}
}

func TestWhatStartsIsToldApart(t *testing.T) {
	p := web()
	s := settled(p, noon, 4, 4)
	s.Past = []Past{{Signal: "cpu", Load: 2}}
	r := each("cpu", noon, .5, 1, .5, .5, .5, 1)
	o := Observation{Now: noon, Desired: 6, Ready: 4, Signals: []Reading{r}}
	after, d := Next(p, s, o)
	if want := "cpu 266.7% over 4 ready replicas (2 more are heard that are not ready), target 50%: 6 replicas"; d.Stages[0].Signal+" "+d.Stages[0].Reason.String() != want {
		t.Errorf("%s, want %s", d.Stages[0].Reason, want)
	}
	if past := after.past("cpu"); past.Busiest != 0 || past.Trend.Count != 0 {
		t.Errorf("what starts is remembered: %+v", past)
	}
}

// What starts serves nothing, and hides nothing of what those that are ready have to
// do, however long it starts.
func TestIdleStartersHideNoLoad(t *testing.T) {
	for _, signal := range []string{
		"{name: s, source: query, query: q, kind: average, target: 10}",
		"{name: s, source: cpu, of: cores, kind: average, target: 0.6}",
	} {
		p := parsed("signals: [" + signal + "]")
		p.Mode, p.Max, p.Out.Rate = policy.Active, 200, nil
		g := p.Signals[0].Target.Value
		s := settled(p, noon, 10, 10)
		s.Past = []Past{{Signal: "s", Load: 3 * g}}
		r := each("s", noon, 8*g, 8*g, 8*g, 8*g, 8*g, 0, 0, 0, 0, 0)
		_, d := Next(p, s, Observation{Now: noon, Desired: 10, Ready: 5, Starting: 5, Signals: []Reading{r}})
		if d.To < 20 {
			t.Errorf("%s: a need of 40 makes %s", signal, d.Why())
		}
	}
}

package decide

import (
	"fmt"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// steady is a workload that a policy has watched for long enough, and that has
// nothing to do: the usual tick.
type steady struct {
	decider Decider
	policy  policy.App
	state   State
	obs     Observation
}

// cpuOnly is one CPU signal over n replicas, little below its target.
func cpuOnly(n int) *steady {
	s := &steady{policy: web()}
	s.policy.Max = max(s.policy.Max, n)
	s.obs = Observation{Desired: n, Ready: n, Signals: []Reading{levels("cpu", n, 0.49)}}
	return s.settle()
}

// threeSignals are CPU, memory and a query over n replicas, and all that a policy
// may have besides.
func threeSignals(n int) *steady {
	s := cpuOnly(n)
	s.policy.Signals = append(s.policy.Signals, memorySignal(), rpsSignal())
	s.policy.Panic = &policy.Panic{Threshold: 2, Hold: time.Minute}
	s.policy.Fallback = &policy.Fallback{After: time.Minute, Action: policy.AtLeast, Replicas: 3}
	s.policy.Budget = &policy.Budget{Changes: 40, Window: time.Hour}
	s.policy.Out.Lead, s.policy.In.Settle = policy.Span{Auto: true}, policy.Span{Auto: true}
	s.policy.Events = []policy.Event{{Name: "sale", At: noon.Add(-time.Minute), Duration: 1000 * time.Hour, Factor: 2, Base: policy.P95SevenDays}}
	s.obs.Bases = []Base{{Event: "sale", Load: 1}}
	s.obs.Ahead = &Ahead{Signal: "cpu", Load: 1, At: noon.Add(1000 * time.Hour), Model: "median", Most: 10}
	s.obs.Hand = Hand{Floor: 2, Until: noon.Add(1000 * time.Hour), By: "someone"}
	s.obs.Boot = 20 * time.Second
	s.obs.Signals = append(s.obs.Signals, levels("memory", n, 0.5), whole("rps", noon, float64(n)*98))
	return s.settle()
}

// parsed is a policy with the keys of text, read from a file as the scaler does.
func parsed(text string) policy.App {
	file, err := policy.Parse("policies.yml", []byte(`version: plimsoll.scaler/v1
apps:
- name: web
  target: {driver: fake, service: web}
  max: 40
  `+text+"\n"), policy.Options{Drivers: []string{"fake"}})
	if err != nil {
		panic(err)
	}
	return file.Apps[0]
}

// levels is a reading of n replicas that all show the same.
func levels(signal string, n int, v float64) Reading {
	r := Reading{Signal: signal, Samples: make([]Sample, n)}
	for i := range r.Samples {
		r.Samples[i] = Sample{Replica: fmt.Sprintf("node-%02d/%064x", i/10, i*7919), Value: v}
	}
	return r
}

// settle ticks for an hour, long enough for all windows to be full.
func (s *steady) settle() *steady {
	s.obs.Now = noon
	for range 1800 {
		s.tick()
	}
	return s
}

// tick is one decision, with readings of that moment.
func (s *steady) tick() *Decision {
	s.obs.Now = s.obs.Now.Add(s.policy.Interval)
	for i := range s.obs.Signals {
		for j := range s.obs.Signals[i].Samples {
			s.obs.Signals[i].Samples[j].At = s.obs.Now.Add(-time.Second)
		}
	}
	return s.decider.Next(&s.policy, &s.state, &s.obs)
}

var holds = map[string]func() *steady{
	"one signal over 10 replicas":     func() *steady { return cpuOnly(10) },
	"three signals over 50 replicas":  func() *steady { return threeSignals(50) },
	"less would do, but not for long": func() *steady { s := cpuOnly(10); s.obs.Desired, s.obs.Ready = 14, 10; return s.settle() },
	"a signal that is not heard":      func() *steady { s := threeSignals(10); s.obs.Signals[0].Err = "timeout"; return s },
	"three signals in no order": func() *steady {
		s := threeSignals(50)
		for _, r := range s.obs.Signals {
			for i := range r.Samples {
				j := i * 7919 % len(r.Samples)
				r.Samples[i], r.Samples[j] = r.Samples[j], r.Samples[i]
			}
		}
		return s
	},
	"replicas that start": func() *steady { s := cpuOnly(10); s.obs.Ready = 7; return s.settle() },
	"two schedules": func() *steady {
		s := cpuOnly(10)
		s.policy.Schedules = parsed(`signals: [{source: cpu, target: 50%}]
  schedules:
  - {name: evening, cron: "30 19 * * *", tz: Asia/Shanghai, duration: 3h, floor: 5, ramp: 10m}
  - {name: night, cron: "0 1 * * 1-5", tz: Asia/Shanghai, duration: 5h, ceiling: 30}`).Schedules
		return s
	},
	"all that looks ahead": func() *steady {
		s := threeSignals(10)
		s.policy.Out.Lead, s.policy.In.Settle = policy.Span{Auto: true}, policy.Span{Auto: true}
		s.policy.Min, s.policy.AllowZero = 0, &policy.AllowZero{IdleFor: time.Minute}
		s.policy.Events = []policy.Event{
			{Name: "sale", At: noon, Duration: 100 * time.Hour, Factor: 2, Base: policy.P95SevenDays},
			{Name: "unknown", At: noon, Duration: 100 * time.Hour, Factor: 2, Base: policy.P95SevenDays},
		}
		s.obs.Bases = []Base{{Event: "sale", Load: 0.2}}
		s.obs.Ahead = &Ahead{Signal: "rps", Load: 900, At: noon.Add(100 * time.Hour), Model: "median", Most: 2000}
		return s
	},
	"a person has said a lot": func() *steady {
		s := threeSignals(10)
		until := noon.Add(100 * time.Hour)
		s.policy.Max = 60
		s.obs.Hand = Hand{Pause: PauseAll, PauseUntil: until, Floor: 12, Ceiling: 14, Until: until, By: "eve"}
		return s
	},
	"growth is stuck": func() *steady {
		s := cpuOnly(10)
		s.policy.StuckAfter = 2 * time.Second
		s.obs.Desired, s.obs.Failing = 12, 2
		s.obs.Signals = []Reading{levels("cpu", 10, 0.9)}
		s.state.Growth = Growth{At: noon, Ready: 10, To: 12}
		return s.settle()
	},
	"nodes are lost and all is frozen": func() *steady {
		s := cpuOnly(10)
		s.obs.Lost, s.obs.Frozen = []string{"node-1", "node-2"}, "much was lost at once"
		return s
	},
	"a policy that is paused and wants more": func() *steady { s := cpuOnly(10); s.policy.Mode, s.policy.Min = policy.Paused, 20; return s },
}

func TestADecisionToHoldAllocatesNothing(t *testing.T) {
	for name, begin := range holds {
		t.Run(name, func(t *testing.T) {
			s := begin()
			for range 100 {
				if d := s.tick(); d.Action != Hold {
					t.Fatal(d.Why())
				}
			}
			if n := testing.AllocsPerRun(500, func() { s.tick() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkHold(b *testing.B) {
	for name, begin := range holds {
		b.Run(name, func(b *testing.B) {
			s := begin()
			b.ReportAllocs()
			for b.Loop() {
				s.decider.Next(&s.policy, &s.state, &s.obs)
			}
		})
	}
}

// BenchmarkTick is one round of 2,000 policies, as a scaler makes it every two
// seconds.
func BenchmarkTick(b *testing.B) {
	policies := make([]*steady, 2000)
	for i := range policies {
		policies[i] = &steady{policy: web(), obs: Observation{Now: noon, Desired: 10, Ready: 10, Signals: []Reading{levels("cpu", 10, 0.49)}}}
		for range 40 {
			policies[i].tick()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range policies {
			s.decider.Next(&s.policy, &s.state, &s.obs)
		}
	}
}

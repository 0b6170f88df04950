package decide

import (
	"fmt"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// TestNoConstantLoadMakesAWorkloadFlap is I8 in a closed loop, for every kind of
// signal over a grid of loads and numbers of replicas: the way may lead past the
// number once, where full replicas hide how much more they would take, and then it
// is found and kept.
func TestNoConstantLoadMakesAWorkloadFlap(t *testing.T) {
	kinds := map[string]struct {
		keys    string
		censors bool // whether it sees no more than all replicas can do
	}{
		"cpu":           {`signals: [{source: cpu, target: 60%}]`, true},
		"cpu, bands":    {`signals: [{source: cpu, target: 60%}]` + "\n  out: {tolerance: 5%}\n  in: {dead_band: 10%}", true},
		"total":         {`signals: [{name: rps, source: query, query: rps, target: 0.6}]`, false},
		"mean":          {`signals: [{name: rps, source: query, query: rps, target: 0.6, kind: average}]`, false},
		"threshold":     {`signals: [{source: cpu, type: threshold, max: 70%, min: 30%, window: 4s, samples: 2, step_out: 2}]`, true},
		"steps":         {`signals: [{source: cpu, type: steps, rows: [{above: 70%, add: 20%}, {above: 90%, add: 60%}, {below: 40%, remove: 1}, {below: 15%, remove: 30%}]}]`, true},
		"cpu and total": {`signals: [{source: cpu, target: 60%}, {name: rps, source: query, query: rps, target: 0.5}]`, true},
		"panic":         {`signals: [{source: cpu, target: 60%}]` + "\n  panic: {threshold: 2, hold: 10s}", true},
		"out window":    {`signals: [{source: cpu, target: 60%}]` + "\n  out: {window: 10s}", true},
	}
	step := 0.61
	if underRace {
		step *= 8
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			p := parsed(kind.keys)
			p.Mode, p.In.Window, p.In.Settle, p.In.Rate = policy.Active, 20*time.Second, policy.Span{}, nil
			for _, replicas := range []int{1, 2, 3, 4, 6, 10, 17, 40} {
				for load := 0.0; load <= 26; load += step {
					c := closed{policy: p, load: load, desired: replicas, serving: replicas, censors: kind.censors}
					if problem := c.run(150); problem != "" {
						t.Fatalf("a load of %.2f on %d replicas: %s", load, replicas, problem)
					}
				}
			}
		})
	}
}

// closed is a workload under a load that never changes.
type closed struct {
	policy  policy.App
	load    float64 // in replicas that are full
	censors bool

	decider          Decider
	state            State
	desired, serving int
	coming           []int // ticks until each serves
}

// run ticks, and returns how the number of replicas flaps, if it does.
func (c *closed) run(ticks int) string {
	turns, way := 0, 0
	moved := 0 // the last tick at which anything did
	path := fmt.Sprint(c.desired)
	for tick := range ticks {
		d := c.decider.Next(&c.policy, &c.state, c.look(tick))
		if d.To == c.desired {
			continue
		}
		up := +1
		if d.To < c.desired {
			up = -1
		}
		if way != 0 && up != way {
			turns++
		}
		way, moved = up, tick
		path += fmt.Sprintf(" → %d", d.To)
		c.scale(d.To)
	}
	most := 0
	if c.censors {
		most = 1
	}
	if turns > most || turns > 0 && moved > ticks*2/3 {
		return path
	}
	return ""
}

func (c *closed) scale(n int) {
	for range n - c.desired {
		c.coming = append(c.coming, 3)
	}
	c.desired = n
	c.serving = min(c.serving, n)
	c.coming = c.coming[:n-c.serving]
}

func (c *closed) look(tick int) *Observation {
	for len(c.coming) > 0 && c.coming[0] == 0 {
		c.coming = c.coming[1:]
		c.serving++
	}
	for i := range c.coming {
		c.coming[i]--
	}
	now := noon.Add(time.Duration(tick) * c.policy.Interval)
	o := &Observation{Now: now, Desired: c.desired, Ready: c.serving, Starting: len(c.coming), Boot: 6 * time.Second}
	share := c.load / float64(c.serving)
	for i := range c.policy.Signals {
		s := &c.policy.Signals[i]
		switch {
		case s.Whole():
			o.Signals = append(o.Signals, whole(s.Name, now, c.load))
		case s.Source == policy.Query:
			o.Signals = append(o.Signals, whole(s.Name, now, share))
		default:
			r := Reading{Signal: s.Name}
			for j := range c.serving {
				r.Samples = append(r.Samples, Sample{Replica: names[j], At: now, Value: min(1, share)})
			}
			o.Signals = append(o.Signals, r)
		}
	}
	return o
}

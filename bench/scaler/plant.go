package scaler

import (
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

// step is the plant's: at each the load is looked at anew.
const step = time.Second

// Plant is a workload under a load: scaler/backtest's, with what all figures here
// have in common.
type Plant struct {
	Boot     time.Duration // from being asked for until ready
	Limit    float64       // cores that a replica can use
	Target   float64       // cores that one is to carry
	Min, Max int
}

// usual is the plant of all figures, unless one says otherwise.
func usual() Plant {
	return Plant{Boot: 20 * time.Second, Limit: 1, Target: 0.5, Min: 1, Max: 200}
}

// Replica is one running copy, or one on its way.
type Replica struct {
	ID    int
	Asked time.Time
	Ready time.Time // zero if it is not yet
	CPU   float64   // core seconds used so far, as far as it was measured
}

// View is what can be seen of a plant.
type View struct {
	Desired  int
	Replicas []Replica // not to be kept
	Ready    int
	Dark     bool         // nothing is measured just now, though all goes on
	Silent   map[int]bool // replicas that are not measured
	// Load is what all replicas together would use, had they no limit, in cores.
	// Signals of the requests rather than of their effect see it.
	Load float64
}

// Autoscaler is asked at each step how many replicas there are to be.
type Autoscaler interface {
	Step(now time.Time, v View) int
}

// The lanes of a run, in their order.
const (
	cpuLane = iota
	loadLane
)

// Run lets an autoscaler follow a trace from start, with as many replicas as its
// first load takes. It sees what there is at once; to read it late is its own
// affair.
func (p Plant) Run(start time.Time, t Trace, a Autoscaler) (backtest.Scores, error) {
	o := p.options(start, t)
	o.Plant.Age = 0
	o.Every = step
	load := o.Lanes[0]
	load.Kind, load.Signal, load.Good, load.Full, load.Unit = backtest.Whole, "load", 0, 0, 0
	o.Lanes = append(o.Lanes, load)
	for i := range o.Lanes {
		o.Lanes[i].Window = step
	}
	r, err := backtest.Run(o, &watcher{plant: p, of: a, cpu: make(map[int]float64)})
	return r.Scores, err
}

// options are a run of a trace, with the window that Plimsoll's cpu signal has.
func (p Plant) options(start time.Time, t Trace) backtest.Options {
	plant := backtest.DefaultPlant()
	plant.Boot = p.Boot
	load := backtest.Load{Start: start, Step: step, Values: make([]float64, int(t.Length/step))}
	for i := range load.Values {
		load.Values[i] = t.Load(time.Duration(i) * step)
	}
	return backtest.Options{
		Plant: plant, Step: step,
		Lanes: []backtest.Lane{{Signal: "cpu", Kind: backtest.Shared, Load: load, Full: p.Limit, Good: p.Target, Unit: p.Limit, Window: 5 * time.Second}},
		Fault: func(w *backtest.World) { w.Mute = t.dark(w.Now.Sub(start)) },
	}
}

// watcher tells an autoscaler what the plant's lanes read.
type watcher struct {
	plant Plant
	of    Autoscaler
	cpu   map[int]float64
	last  time.Time // up to which cpu has been counted
}

// Tick implements backtest.Autoscaler.
func (w *watcher) Tick(seen *backtest.Seen) int {
	measured := seen.Signals[cpuLane].At
	if measured.After(w.last) {
		seen.Each(cpuLane, func(id int, _ time.Time, share float64) {
			w.cpu[id] += share * w.plant.Limit * step.Seconds()
		})
		w.last = measured
	}
	v := View{Desired: seen.Desired, Ready: seen.Ready, Dark: measured.Before(seen.Now), Load: seen.Signals[loadLane].Value}
	for _, r := range seen.Replicas() {
		v.Replicas = append(v.Replicas, Replica{ID: r.ID, Asked: r.Asked, Ready: r.Ready, CPU: w.cpu[r.ID]})
	}
	if !seen.Signals[loadLane].Known {
		v.Load = math.NaN()
	}
	return w.of.Step(seen.Now, v)
}

package backtest

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Options are what is run, and how it is judged.
type Options struct {
	Plant Plant
	// Lanes are the loads behind the signals; at least one.
	Lanes []Lane
	// From and To bound the run; zero stands for where the first lane's load begins
	// and ends.
	From, To time.Time
	// Warm is how much of the beginning is run but not judged.
	Warm time.Duration
	// Step is the time in which nothing changes; all other times are rounded down to
	// steps. 1s if 0.
	Step time.Duration
	// Every is how often the autoscaler is asked. 2s if 0.
	Every time.Duration
	// Start is how many replicas are ready at the beginning; as many as the first
	// load that is known asks for if 0.
	Start int
	// Trace keeps what happened, for a plot.
	Trace bool
	// Worst is how many shortfalls are kept, the gravest first.
	Worst int
	// Fault is called before each step, and may harm the workload.
	Fault func(*World)
	// Progress is told now and then how much of the run is done, 0 to 1. If it
	// returns false, the run ends with ErrStopped.
	Progress func(done float64) bool
}

// ErrStopped is what a run ends with that Progress has stopped.
var ErrStopped = errors.New("stopped")

// Result is what became of a run.
type Result struct {
	Scores Scores      `json:"scores"`
	Worst  []Shortfall `json:"worst"`
	// Trace has a point wherever something changed.
	Trace []Point `json:"-"`
}

// Point is the state of a workload from a time on.
type Point struct {
	At     time.Time
	Demand float64 // replicas; NaN if not known
	// Desired is how many were asked for, Ready how many served.
	Desired, Ready int
}

// mostSteps bounds a run: a year of seconds.
const mostSteps = 366 * 24 * 3600

// Run lets an autoscaler run a workload under a load. The same options and the same
// autoscaler give the same result.
func Run(o Options, a Autoscaler) (Result, error) {
	r, err := newRun(o)
	if err != nil {
		return Result{}, err
	}
	return r.all(a)
}

// run is one in the making.
type run struct {
	Options
	tracks []*track
	judges []*track // those that say something about demand
	fleet  fleet
	score  scorer

	age, cadence, every, warm, end int // in steps

	i   int           // the step
	now time.Duration // when it begins
}

func newRun(o Options) (*run, error) {
	if o.Step == 0 {
		o.Step = time.Second
	}
	if o.Every == 0 {
		o.Every = 2 * time.Second
	}
	if len(o.Lanes) == 0 {
		return nil, errors.New("no load to run")
	}
	if o.From.IsZero() {
		o.From = o.Lanes[0].Load.Start
	}
	if o.To.IsZero() {
		o.To = o.Lanes[0].Load.End()
	}
	r := &run{Options: o}
	if err := r.check(); err != nil {
		return nil, err
	}
	r.age, r.cadence, r.every = r.steps(o.Plant.Age), max(1, r.steps(o.Plant.Cadence)), max(1, r.steps(o.Every))
	r.warm, r.end = r.steps(o.Warm), r.steps(o.To.Sub(o.From))
	r.fleet.boot, r.fleet.stop = o.Plant.Boot, o.Plant.Stop
	for _, l := range o.Lanes {
		t := newTrack(l, o.From, o.Step)
		r.tracks = append(r.tracks, t)
		if l.Good > 0 {
			r.judges = append(r.judges, t)
		}
	}
	if len(r.judges) == 0 {
		return nil, errors.New("no lane says what one replica is to carry, so nothing can be judged")
	}
	for range r.begin() {
		r.fleet.last++
		r.fleet.up = append(r.fleet.up, unit{id: r.fleet.last, asked: -o.Plant.Boot, ready: 0})
	}
	r.fleet.desired = len(r.fleet.up)
	r.score = newScorer(r.fleet.desired, o.Worst)
	return r, nil
}

func (r *run) check() error {
	o := r.Options
	p := o.Plant
	if o.Step < 0 || o.Every < 0 || o.Warm < 0 || p.Boot < 0 || p.Stop < 0 || p.Cadence < 0 || p.Age < 0 || p.Queue < 0 {
		return errors.New("times are 0 or more")
	}
	if o.Start < 0 {
		return fmt.Errorf("%d replicas at the beginning", o.Start)
	}
	if !o.To.After(o.From) || o.To.Sub(o.From)/o.Step > mostSteps {
		return fmt.Errorf("from %s to %s: a run has from one to %d steps of %s", o.From.Format(time.RFC3339), o.To.Format(time.RFC3339), mostSteps, o.Step)
	}
	if limit := remembered * o.Step / 4; p.Age > limit || p.Cadence > limit {
		return fmt.Errorf("samples each %s that are %s old: up to %s are possible", p.Cadence, p.Age, limit)
	}
	for _, l := range o.Lanes {
		if err := l.check(o.Step); err != nil {
			return err
		}
	}
	return nil
}

// begin is how many replicas are there at the beginning.
func (r *run) begin() int {
	if r.Start > 0 {
		return r.Start
	}
	n := 1
	for _, t := range r.judges {
		for _, v := range t.Load.Values[min(t.cursor.next, len(t.Load.Values)):] {
			if known(v) {
				c := track{Lane: t.Lane, cursor: cursor{value: v}}
				if d, ok := c.demand(); ok {
					n = max(n, int(d))
				}
				break
			}
		}
	}
	return n
}

func (r *run) steps(d time.Duration) int          { return int(d / r.Step) }
func (r *run) time(since time.Duration) time.Time { return r.From.Add(since) }

func (r *run) all(a Autoscaler) (Result, error) {
	seen := &Seen{run: r, Boot: r.Plant.Boot, Signals: make([]Signal, len(r.tracks))}
	world := &World{fleet: &r.fleet}
	why, _ := a.(Explainer)
	dt, queue := r.Step.Seconds(), r.Plant.Queue.Seconds()
	var trace []Point
	tell := max(1, r.end/200)
	for ; r.i < r.end; r.i++ {
		r.now = time.Duration(r.i) * r.Step
		r.fleet.settle(r.now)
		if r.Fault != nil {
			world.Now, world.at = r.time(r.now), r.now
			r.Fault(world)
			r.fleet.stuck = world.Stuck
		}
		for _, t := range r.tracks {
			t.cursor.to(r.now)
		}
		if r.i%r.every == 0 {
			seen.look()
			if n := a.Tick(seen); n != r.fleet.desired {
				r.fleet.ask(n, r.now)
			}
			r.fleet.settle(r.now)
		}
		ready := len(r.fleet.up)
		scored := r.i >= r.warm
		for _, t := range r.tracks {
			t.step(r.i, dt, ready, world.Mute, queue, scored)
		}
		demand := r.demand()
		if scored {
			r.score.step(moments{at: r.now, dt: r.Step, demand: demand, ready: ready, desired: r.fleet.desired, paid: r.fleet.paid(), censored: r.censored()}, why)
		} else {
			r.score.warm(demand, ready, r.fleet.desired)
		}
		if r.Trace {
			trace = r.trace(trace, demand, ready)
		}
		if r.Progress != nil && r.i%tell == 0 && !r.Progress(float64(r.i)/float64(r.end)) {
			return Result{}, ErrStopped
		}
	}
	result := Result{Trace: trace}
	result.Scores, result.Worst = r.score.result(r.From)
	result.Scores.LostPercent = r.lost()
	return result, nil
}

// demand is how many replicas are asked for now; NaN if any lane that has a say is
// not known.
func (r *run) demand() float64 {
	most := math.NaN()
	for _, t := range r.judges {
		d, ok := t.demand()
		if !ok {
			return math.NaN()
		}
		if !(d <= most) {
			most = d
		}
	}
	return most
}

func (r *run) censored() bool {
	for _, t := range r.judges {
		if t.cursor.least {
			return true
		}
	}
	return false
}

// lost is the share of the load that was turned away, of the lane that lost most; nil
// if no lane has a bound.
func (r *run) lost() *float64 {
	var most *float64
	for _, t := range r.tracks {
		if t.all == 0 {
			continue
		}
		if share := 100 * t.lost / t.all; most == nil || share > *most {
			most = &share
		}
	}
	return most
}

// trace adds a point if anything changed.
func (r *run) trace(list []Point, demand float64, ready int) []Point {
	p := Point{At: r.time(r.now), Demand: demand, Desired: r.fleet.desired, Ready: ready}
	if n := len(list); n > 0 && list[n-1].same(p) {
		return list
	}
	return append(list, p)
}

func (p Point) same(o Point) bool {
	return (p.Demand == o.Demand || math.IsNaN(p.Demand) && math.IsNaN(o.Demand)) && p.Desired == o.Desired && p.Ready == o.Ready
}

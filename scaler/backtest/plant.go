package backtest

import (
	"slices"
	"time"
)

// Plant is how a platform and the replicas on it behave, and how soon that is seen.
type Plant struct {
	// Boot is how long a replica takes until it serves, from when it is asked for.
	Boot time.Duration
	// Stop is how long a replica stays after it was told to go. It serves nothing
	// then, and costs.
	Stop time.Duration
	// Cadence is the time between two samples of a metric, and Age how old a sample
	// is when it can be read.
	Cadence, Age time.Duration
	// Queue is how much load waits for its turn, at most, as the time that the
	// replicas which are ready take for it. What is more is turned away. 0 for no
	// waiting. It only counts for lanes where a replica can be full.
	Queue time.Duration
}

// DefaultPlant is a workload on the platform that Plimsoll watches by itself: a
// sample each second, read when it is two seconds old, and replicas that boot in 20 s.
func DefaultPlant() Plant {
	return Plant{Boot: 20 * time.Second, Cadence: time.Second, Age: 2 * time.Second}
}

// Replica is one that has not been told to go.
type Replica struct {
	ID    int       // from 1, never used again
	Asked time.Time // when it was asked for
	Up    bool      // it serves
	Ready time.Time // since when it serves; zero if it does not yet
}

// unit is a replica inside of the plant. Times are since the beginning of the run.
type unit struct {
	id           int
	asked, ready time.Duration
	failing      bool
}

// fleet are the replicas of the workload.
type fleet struct {
	boot, stop time.Duration
	stuck      bool // what starts never gets ready
	desired    int
	last       int             // id
	up         []unit          // serve, in the order in which they became ready
	starting   []unit          // in the order in which they will be ready
	leaving    []time.Duration // when each is gone
}

// settle lets those get ready, and those go, whose time has come.
func (f *fleet) settle(now time.Duration) {
	for !f.stuck && len(f.starting) > 0 && f.starting[0].ready <= now {
		u := f.starting[0]
		u.ready, u.failing = now, false
		f.up = append(f.up, u)
		f.starting = slices.Delete(f.starting, 0, 1)
	}
	for len(f.leaving) > 0 && f.leaving[0] <= now {
		f.leaving = slices.Delete(f.leaving, 0, 1)
	}
}

// ask sets how many replicas there are to be. Those that have not started yet go
// first, and of the others the youngest.
func (f *fleet) ask(n int, now time.Duration) {
	f.desired = max(n, 0)
	for have := len(f.up) + len(f.starting); have < f.desired; have++ {
		f.start(now, false)
	}
	for len(f.up)+len(f.starting) > f.desired {
		if n := len(f.starting); n > 0 {
			f.starting = f.starting[:n-1]
			continue // it holds nothing yet
		}
		f.up = f.up[:len(f.up)-1]
		if f.stop > 0 {
			f.leaving = append(f.leaving, now+f.stop)
		}
	}
}

func (f *fleet) start(now time.Duration, failing bool) {
	f.last++
	f.starting = append(f.starting, unit{id: f.last, asked: now, ready: now + f.boot, failing: failing})
}

// lose lets replicas that serve end on their own. The platform starts others in
// their place.
func (f *fleet) lose(n int, now time.Duration) {
	n = min(n, len(f.up))
	f.up = slices.Delete(f.up, 0, n)
	for range n {
		f.start(now, true)
	}
}

func (f *fleet) failing() int {
	if f.stuck {
		return len(f.starting)
	}
	n := 0
	for _, u := range f.starting {
		if u.failing {
			n++
		}
	}
	return n
}

// paid is how many replicas cost something.
func (f *fleet) paid() int { return len(f.up) + len(f.starting) + len(f.leaving) }

// World is what a fault may reach into, between two steps of a run.
type World struct {
	// Now is the time of the step.
	Now time.Time
	// Stuck lets no replica get ready that is not yet, for as long as it is set.
	Stuck bool
	// Mute lets nothing be measured, for as long as it is set.
	Mute bool

	fleet *fleet
	at    time.Duration
}

// Ask sets the number of replicas as a person would, past the autoscaler.
func (w *World) Ask(n int) { w.fleet.ask(n, w.at) }

// Lose lets n replicas crash, the oldest first. The platform starts them anew.
func (w *World) Lose(n int) { w.fleet.lose(n, w.at) }

// Desired is how many replicas the platform is asked for.
func (w *World) Desired() int { return w.fleet.desired }

// Ready is how many serve.
func (w *World) Ready() int { return len(w.fleet.up) }

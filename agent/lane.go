package agent

import (
	"errors"
	"fmt"
	"time"
)

// Lanes are how often things are read: at every so many ticks. The first is for
// what decisions hang on, the third for what seldom changes, the fourth for what
// takes long to find out. 0 stands for 1.
type Lanes struct{ First, Second, Third, Fourth uint64 }

const (
	// mostTicks bounds a lane: a day of seconds.
	mostTicks = 24 * 60 * 60
	// inSight is how far apart two samples of a series may be so that PromQL,
	// which looks back five minutes, always finds one, some lateness included.
	inSight = 4 * time.Minute
)

// DefaultLanes are 1, 5, 15 and 60 ticks, which are seconds by default.
func DefaultLanes() Lanes { return Lanes{First: 1, Second: 5, Third: 15, Fourth: 60} }

// LanesFor are the default lanes, shortened so that at that interval no series
// drops out of the sight of PromQL between two of its samples.
func LanesFor(interval time.Duration) Lanes {
	most := max(uint64(inSight/max(interval, 1)), 1)
	l := DefaultLanes()
	return Lanes{min(l.First, most), min(l.Second, most), min(l.Third, most), min(l.Fourth, most)}
}

// Valid returns all that is wrong with l. A lane may be as fast as the one
// before it, not faster; one that is 0 is not looked at.
func (l Lanes) Valid() error {
	var errs []error
	before := uint64(1)
	for i, ticks := range [...]uint64{l.First, l.Second, l.Third, l.Fourth} {
		if ticks == 0 {
			continue
		}
		if ticks < before || ticks > mostTicks {
			name := [...]string{"first", "second", "third", "fourth"}[i]
			errs = append(errs, fmt.Errorf("%s lane: %d ticks: allowed are %d, what the lane before it has, to %d", name, ticks, before, mostTicks))
		}
		before = max(before, min(ticks, mostTicks))
	}
	return errors.Join(errs...)
}

// Hidden tells whether at an interval l leaves so long between the samples of
// some series that queries find none in between.
func (l Lanes) Hidden(interval time.Duration) bool {
	return time.Duration(l.Slowest())*interval > inSight
}

// MostSlowdown is at every how many intervals the agent may tick, if it has to,
// without a series dropping out of the sight of PromQL for that; 1 at least.
func (l Lanes) MostSlowdown(interval time.Duration) uint64 {
	return max(uint64(inSight/(time.Duration(l.Slowest())*max(interval, 1))), 1)
}

// Slowest is in how many ticks everything is read once.
func (l Lanes) Slowest() uint64 { return max(l.First, l.Second, l.Third, l.Fourth, 1) }

// due tells whether something is read at a tick. Things with different phases
// have different ticks, so that a lane's work is spread evenly.
func due(every, tick, phase uint64) bool { return (tick+phase)%max(every, 1) == 0 }

package scaler

import (
	"math"
	"slices"
	"time"
)

const (
	// bootsKept is of how many replicas it is remembered how long they took.
	bootsKept = 50
	// longestBoot is after how long a replica that is not ready is given up.
	longestBoot = time.Hour
)

// boots measures how long replicas of a workload take from being asked for to
// being ready, as far as the numbers of both tell: those asked for first are taken
// for those ready first. It belongs to one loop.
type boots struct {
	took []time.Duration // the last ones
	last time.Duration   // what p95 said of as many as of
	of   int             // were measured then
	all  int             // measured so far

	seen           bool
	desired, ready int
	births         []birth // oldest first
}

// birth is when a number of replicas was asked for.
type birth struct {
	at time.Time
	n  int
}

// asked notes that more replicas were asked for, or fewer, and that it was
// accepted.
func (b *boots) asked(at time.Time, n int) {
	if b.seen && n > b.desired {
		b.births = append(b.births, birth{at, n - b.desired})
	}
	for fewer := b.desired - n; b.seen && fewer > 0 && len(b.births) > 0; { // the newest go first
		last := &b.births[len(b.births)-1]
		gone := min(fewer, last.n)
		fewer, last.n = fewer-gone, last.n-gone
		if last.n == 0 {
			b.births = b.births[:len(b.births)-1]
		}
	}
	b.desired = n
}

// see takes in what a platform says. While it rolls out a change, replicas come
// and go that nobody asked for, and nothing is measured.
func (b *boots) see(now time.Time, desired, ready int, updating bool) {
	if updating {
		b.births = nil
	}
	b.asked(now, desired)
	for grown := ready - b.ready; b.seen && grown > 0 && len(b.births) > 0; {
		first := &b.births[0]
		came := min(grown, first.n)
		grown, first.n = grown-came, first.n-came
		if took := now.Sub(first.at); took >= 0 { // or the clock went back
			for range min(came, bootsKept) {
				b.took = append(b.took, took)
				b.all++
			}
		}
		if first.n == 0 {
			b.births = b.births[1:]
		}
	}
	b.took = b.took[max(0, len(b.took)-bootsKept):]
	b.births = slices.DeleteFunc(b.births, func(one birth) bool { return now.Sub(one.at) > longestBoot || one.at.After(now) })
	b.seen, b.ready = true, ready
	b.desired = desired
}

// p95 is the time within which 95 of 100 replicas were ready, 0 if none was seen.
func (b *boots) p95() time.Duration {
	if len(b.took) == 0 {
		return 0
	}
	if b.last == 0 || b.of != b.all {
		sorted := slices.Sorted(slices.Values(b.took))
		b.last, b.of = sorted[int(math.Ceil(0.95*float64(len(sorted))))-1], b.all
	}
	return b.last
}

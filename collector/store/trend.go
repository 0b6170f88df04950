package store

import "time"

// A trend is judged by one reading a minute, ten at least and an hour's at most.
const (
	trendStep   = time.Minute
	trendNeeds  = 10
	trendKeeps  = 60
	trendLength = trendKeeps * trendStep
)

// trend foresees when space runs out.
type trend struct {
	at   []time.Time
	free []float64 // bytes
}

// add takes a reading; of those within a minute, the first.
func (t *trend) add(at time.Time, free int64) {
	if n := len(t.at); n > 0 && at.Sub(t.at[n-1]) < trendStep {
		return
	}
	t.at, t.free = append(t.at, at), append(t.free, float64(free))
	for at.Sub(t.at[0]) > trendLength {
		t.at, t.free = t.at[1:], t.free[1:]
	}
}

// until is when free space will have fallen to the mark if it goes on as before:
// the slope is the one that fits the readings with the least squares. It is
// false as long as there are too few readings or space does not get less.
func (t *trend) until(free, mark int64) (time.Duration, bool) {
	n := float64(len(t.at))
	if n < trendNeeds {
		return 0, false
	}
	var sumX, sumY, sumXX, sumXY float64
	for i, at := range t.at {
		x, y := at.Sub(t.at[0]).Seconds(), t.free[i]
		sumX, sumY, sumXX, sumXY = sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	spread := n*sumXX - sumX*sumX
	slope := (n*sumXY - sumX*sumY) / spread // bytes per second
	// A century hence is never, and beyond what a Duration can hold.
	const never = 100 * 365 * 24 * 3600
	if left := float64(free-mark) / -slope; slope < 0 && left < never {
		return max(0, time.Duration(left*float64(time.Second))), true
	}
	return 0, false
}

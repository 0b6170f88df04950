package rollup

import "math"

// class is what kind of value a sample has; reduce never compares across.
type class uint8

const (
	number class = iota
	nan          // what has no value at the moment, say the quantile of nothing
	stale        // where the series ended
	native       // native histogram
)

func (p point) class() class {
	switch {
	case p.stale():
		return stale
	case p.h != nil:
		return native
	case math.IsNaN(p.v):
		return nan
	}
	return number
}

// fewDrops is up to how many falls in a window are taken for resets where the
// kind of a series is not known: a container that crashes, not a gauge.
const fewDrops = 2

// reduce leaves of the samples of one window, in their order, those that rate,
// increase, max_over_time and min_over_time depend on. It works in place.
//
//	counter  the first and the last, and both sides of each reset
//	gauge    the lowest, the highest and the last
//	unknown  all of these, as long as there are few falls
//
// Where a series ended and came back within the window, this holds for each
// part. Reducing what is reduced changes nothing.
func reduce(samples []point, k kind) []point {
	kept := samples[:0] // a point only ever moves towards the front
	for from := 0; from < len(samples); {
		c := samples[from].class()
		to := from + 1
		for to < len(samples) && samples[to].class() == c {
			to++
		}
		kept = reduceRun(kept, samples[from:to], k, from > 0)
		from = to
	}
	return kept
}

// reduceRun adds to kept what is left of samples of one class; returned tells
// that they are not the first of the window.
func reduceRun(kept, run []point, k kind, returned bool) []point {
	last := len(run) - 1
	switch run[0].class() {
	case stale:
		return append(kept, run[0])
	case nan:
		if last > 0 {
			kept = append(kept, run[0])
		}
		return append(kept, run[last])
	case native:
		k = counter
	}
	lowest, highest, drops := extent(run)
	first := returned || k != gauge
	extremes := k != counter
	resets := k == counter || k == unknown && drops <= fewDrops
	for i := range run {
		if i == last || first && i == 0 ||
			extremes && (i == lowest || i == highest) ||
			resets && (dropped(run[i], run[i+1]) || i > 0 && dropped(run[i-1], run[i])) {
			kept = append(kept, run[i])
		}
	}
	return kept
}

// extent finds the lowest and the highest number, and counts how often the next
// is lower. Where the last is as low or as high it is taken, as it stays anyway:
// so one sample is left of a gauge that does not move.
func extent(run []point) (lowest, highest, drops int) {
	for i := range run {
		if run[i].v < run[lowest].v {
			lowest = i
		}
		if run[i].v > run[highest].v {
			highest = i
		}
		if i > 0 && run[i].v < run[i-1].v {
			drops++
		}
	}
	last := len(run) - 1
	if run[last].v == run[lowest].v {
		lowest = last
	}
	if run[last].v == run[highest].v {
		highest = last
	}
	return lowest, highest, drops
}

// total is the sum of a window's numbers and how many there are, in one sample:
// the sum is its value, the count its time, in ms since the window began. A
// window of 300,000 ms has at most 300,000 samples, so that they fit.
func total(end int64, samples []point) (point, bool) {
	var sum float64
	var count int64
	for _, p := range samples {
		if p.h == nil && !p.stale() {
			sum += p.v
			count++
		}
	}
	return point{t: end - window + count, v: sum}, count > 0
}

// ofTotal takes apart what total has put together.
func ofTotal(p point) (sum float64, count int64) {
	return p.v, p.t - (windowEnd(p.t) - window)
}

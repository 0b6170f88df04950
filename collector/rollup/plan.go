package rollup

import (
	"time"

	"github.com/prometheus/prometheus/storage"
)

// shape is what a function needs to see of a series.
type shape uint8

const (
	// whole is every sample that is kept: what max_over_time looks for is there.
	whole shape = iota
	// held is the value at an instant: the last sample of each window, which
	// holds until the next.
	held
	// counted is whole for counters, with fewer samples where a range does not
	// begin with a window.
	counted
	// spot is the last sample of each window: a fair sample of a distribution,
	// which the highest and the lowest of each window are not.
	spot
	// mean, sum and count are made of the sums that are kept beside gauges.
	mean
	sum
	count
)

// shapeOf says what functions over a range need; those not named need spot.
func shapeOf(function string) shape {
	switch function {
	case "rate", "increase", "irate", "resets":
		return counted
	case "max_over_time", "min_over_time", "last_over_time", "present_over_time", "absent_over_time", "changes":
		return whole
	case "avg_over_time":
		return mean
	case "sum_over_time":
		return sum
	case "count_over_time":
		return count
	}
	return spot
}

// same tells of which functions rollups give the answer that the samples would
// give, over whole windows. An average is the same as long as no window has fewer
// samples than others; it was measured to be off by some 0.04 % if one sample of
// twenty is missing.
func same(function string) bool {
	switch function {
	case "rate", "increase", "resets", "max_over_time", "min_over_time", "last_over_time", "present_over_time", "absent_over_time",
		"avg_over_time", "sum_over_time", "count_over_time":
		return true
	}
	return false
}

// plan is how a selector is answered:
//
//	start ── raw ── edge ──── rollups ──── seam ── raw ── end
//
// Each stretch includes its end and not its begin. Both inner points are ends
// of windows, so that no window is answered from two stores.
type plan struct {
	start, end int64 // the first and last ms asked for
	edge, seam int64 // equal if there is nothing for rollups to answer
	shape      shape
	exact      bool  // the ranges are made of whole windows
	spacing    int64 // the longest gap between samples that rollups may show, in ms; 0 for any
	// doubled tells that raw has the stretch of the rollups too: who finds
	// nothing there in the rollups should look.
	doubled bool
	// level tells that raw samples must be thinned like rollups, or the stretch
	// where they are dense would outweigh the other.
	level bool
}

// all is a plan that leaves everything to the samples.
func all(start, end int64) plan {
	return plan{start: start, end: end, edge: start - 1, seam: start - 1}
}

func (p plan) rawOnly() bool    { return p.edge >= p.seam }
func (p plan) rollupOnly() bool { return p.edge < p.start && p.seam >= p.end }

// heldFor is the gap between the samples that stand for a held value: engines
// take a value for gone that is older than their lookback, of five minutes by
// default, and samples of two windows can be ten minutes apart.
const heldFor = int64(time.Minute / time.Millisecond)

// worth is how long a query must be for rollups to be asked while the samples
// are there.
const worth = 12 * window

// decide plans the answer to a selector, given from when on there are samples
// and up to when there are rollups.
func decide(start, end int64, hints *storage.SelectHints, rawFrom, covered int64) plan {
	p := all(start, end)
	if hints != nil && hints.Func != "series" {
		p.shape = held
		if hints.Range > 0 {
			p.shape = shapeOf(hints.Func)
		}
		p.exact = aligned(hints)
	}
	if covered <= 0 {
		return p
	}
	seam := windowEnd(rawFrom)
	if seam > covered {
		seam -= window // then this window is in neither, or in part
	}
	if seam < covered && end-start >= worth && p.exchangeable(hints) {
		p.seam = min(covered, floor(end, window))
		if first := windowEnd(start); start > first-window+1 && start >= rawFrom {
			p.edge = first
		}
		p.doubled = p.seam > seam
	}
	if p.seam < seam && start <= seam {
		p.seam, p.edge, p.doubled = seam, start-1, false
	}
	p.seam = min(p.seam, windowEnd(end))
	if !p.exact {
		switch {
		case p.shape == held:
			p.spacing = heldFor
		case hints != nil && hints.Range > 0 && hints.Range < 2*window:
			p.spacing = max(hints.Range/4, 1000)
		}
	}
	// Where ranges are short only the few that lie across the seam are mixed, and
	// it would be a pity for the rest.
	p.level = p.spacing == 0 && (p.shape == mean || p.shape == spot && 2*hints.Range >= end-start)
	return p
}

// aligned tells whether each range, or each instant, of a query ends with a
// window, and ranges begin with one. Start is 1 ms after the begin of the first
// range; for an instant that range is the lookback, here taken for a multiple of
// the window.
func aligned(hints *storage.SelectHints) bool {
	return (hints.Start-1)%window == 0 && hints.Range%window == 0 && hints.Step%window == 0 && (hints.Step > 0 || hints.End%window == 0)
}

// exchangeable tells whether rollups may answer where there still are samples:
// only if nobody can tell. A single range need not be aligned, as the samples
// can fill in at both ends.
func (p plan) exchangeable(hints *storage.SelectHints) bool {
	switch {
	case hints == nil || hints.Func == "series":
		return false
	case hints.Range == 0:
		return p.exact && hints.Step > 0
	case !same(hints.Func):
		return false
	case hints.Step == 0:
		return true
	}
	return p.exact
}

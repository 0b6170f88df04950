package rollup

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// view shows the samples of a series in the shape that a function needs.
type view struct {
	cursor
	src     windows
	shape   shape
	raw     bool  // src has all samples, not what was kept of them
	exact   bool  // as in plan
	spacing int64 // as in plan

	out   []point // the present window, as shown
	pos   int     // of the current sample in out
	begun bool
	prev  point // the sample before those of out, if any
	have  bool
	usual point // the last sample of the present window, in no way chosen
}

func newView(it chunkenc.Iterator, p plan, raw bool) *view {
	return &view{src: windows{it: it}, shape: p.shape, raw: raw, exact: p.exact, spacing: p.spacing}
}

// Next implements chunkenc.Iterator.
func (v *view) Next() chunkenc.ValueType {
	v.pos++
	for !v.begun || v.pos >= len(v.out) {
		if n := len(v.out); n > 0 {
			v.prev, v.have = v.out[n-1], true
		}
		end, samples, ok := v.src.next()
		if !ok {
			v.out, v.pos, v.begun = v.out[:0], 0, true
			return chunkenc.ValNone
		}
		v.out, v.pos, v.begun = v.out[:0], 0, true
		v.show(end, samples)
	}
	v.now = v.out[v.pos]
	return v.kind()
}

// Seek implements chunkenc.Iterator.
func (v *view) Seek(t int64) chunkenc.ValueType { //nolint:govet // it is chunkenc's Seek, not io's
	if v.begun && v.pos < len(v.out) && v.now.t >= t {
		return v.kind()
	}
	// What t shows may hold from the window before.
	if before := windowEnd(t) - 2*window; !v.begun || len(v.out) == 0 || v.out[len(v.out)-1].t < before {
		v.src.seek(before + 1)
		v.out, v.pos, v.have = v.out[:0], -1, false
	}
	for {
		if at := v.Next(); at == chunkenc.ValNone || v.now.t >= t {
			return at
		}
	}
}

// Err implements chunkenc.Iterator.
func (v *view) Err() error { return v.src.it.Err() }

// show fills out with what a window looks like.
func (v *view) show(end int64, samples []point) {
	switch v.shape {
	case mean, sum, count:
		v.showTotal(end, samples)
	case spot:
		v.showLast(samples)
	case held:
		for i, p := range samples {
			if i == len(samples)-1 || p.stale() || samples[i+1].stale() || i > 0 && samples[i-1].stale() {
				v.add(p)
			}
		}
	case counted:
		v.showCounter(samples)
	case whole:
		v.usual = samples[len(samples)-1]
		for _, p := range samples {
			v.add(p)
		}
	}
}

func (v *view) showLast(samples []point) {
	for i := len(samples) - 1; i >= 0; i-- {
		if !samples[i].stale() {
			v.add(samples[i])
			return
		}
	}
}

// showCounter shows everything if ranges begin with windows or are short.
// Otherwise the first sample of a window stands alone at the begin of hardly any
// range, and would only make rate believe that samples are closer together than
// they are, and so extrapolate too little.
func (v *view) showCounter(samples []point) {
	samples = slices.DeleteFunc(samples, point.stale) // no range shows where a series ended
	before, known := v.prev, v.have
	for i, p := range samples {
		needed := !known || turns(before, p) || i == len(samples)-1 || turns(p, samples[i+1])
		before, known = p, true
		if v.exact || v.spacing > 0 || needed {
			v.add(p)
		}
	}
}

// turns tells whether something happens between two samples of a counter that
// rate would take otherwise if one of them were left out.
func turns(before, after point) bool {
	return dropped(before, after) || math.IsNaN(before.v) || math.IsNaN(after.v)
}

// showTotal shows sums as samples whose mean, sum or number is that of the
// samples they stand for: evenly spread over the window, the last at its end.
func (v *view) showTotal(end int64, samples []point) {
	var total float64
	var n int64
	if v.raw {
		for _, p := range samples {
			if p.h == nil && !p.stale() {
				total += p.v
				n++
			}
		}
	} else {
		total, n = ofTotal(samples[0])
	}
	if n == 0 {
		return
	}
	shown, value := int64(1), total/float64(n)
	if v.spacing > 0 {
		shown = (window + v.spacing - 1) / v.spacing
	}
	switch v.shape {
	case count:
		shown = n
	case sum:
		value = total / float64(shown)
	}
	for i := range shown {
		v.out = append(v.out, point{t: end - window + (i+1)*window/shown, v: value})
	}
}

// add shows a sample, and before it what makes the gap short enough.
func (v *view) add(p point) {
	before, ok := v.prev, v.have
	if n := len(v.out); n > 0 {
		before, ok = v.out[n-1], true
	}
	// A longer gap than this is one in the samples as well.
	if ok && v.spacing > 0 && p.t-before.t <= 2*window && !before.stale() && (before.h == nil) == (p.h == nil) {
		for t := before.t + v.spacing; t < p.t; t += v.spacing {
			v.out = append(v.out, v.between(before, p, t))
		}
	}
	v.out = append(v.out, p)
}

// between is what is shown between two samples: a counter goes up steadily,
// anything else holds, except the extremes, which lasted for a moment.
func (v *view) between(before, after point, t int64) point {
	p := before
	if v.shape == whole && !v.usual.stale() && windowEnd(before.t) == windowEnd(after.t) {
		p = v.usual
	}
	p.t = t
	if v.shape == counted && after.v > before.v {
		share := float64(t-before.t) / float64(after.t-before.t)
		p.v = math.Min(before.v+(after.v-before.v)*share, after.v)
	}
	return p
}

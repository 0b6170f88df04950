package rollup

import (
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Window is what one rollup stands for. It begins after a multiple of itself
// since the Unix epoch and includes the next: a sample on the boundary belongs
// to the window that it ends, as in PromQL's ranges.
const Window = 5 * time.Minute

// window is Window in the unit of samples' times, ms.
const window = int64(Window / time.Millisecond)

// point is a sample: a number, or a native histogram if h is set.
type point struct {
	t int64 // ms since the Unix epoch
	v float64
	h *histogram.FloatHistogram
}

func (p point) stale() bool {
	if p.h != nil {
		return value.IsStaleNaN(p.h.Sum)
	}
	return value.IsStaleNaN(p.v)
}

// dropped tells whether a counter must have begun anew between two samples.
func dropped(before, after point) bool {
	switch {
	case before.h == nil && after.h == nil:
		return after.v < before.v
	case before.h == nil || after.h == nil:
		return true
	case before.h.CounterResetHint == histogram.GaugeType || after.h.CounterResetHint == histogram.GaugeType:
		return false
	}
	return after.h.DetectReset(before.h)
}

// floor is the last multiple of step that is not after t.
func floor(t, step int64) int64 {
	rest := t % step
	if rest < 0 {
		rest += step
	}
	return t - rest
}

// windowEnd is the last instant of the window that t is in.
func windowEnd(t int64) int64 { return floor(t-1, window) + window }

// cursor is the part of a chunkenc.Iterator that looks at the current sample.
type cursor struct{ now point }

func (c *cursor) kind() chunkenc.ValueType {
	if c.now.h != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (c *cursor) At() (int64, float64) { return c.now.t, c.now.v }

// AtT implements chunkenc.Iterator.
func (c *cursor) AtT() int64 { return c.now.t }

// AtST implements chunkenc.Iterator. Start times are not kept.
func (c *cursor) AtST() int64 { return 0 }

// AtHistogram implements chunkenc.Iterator. It is never called, as no sample
// says that it is a histogram of integers.
func (c *cursor) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return c.now.t, nil
}

// AtFloatHistogram implements chunkenc.Iterator.
func (c *cursor) AtFloatHistogram(into *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	if into == nil {
		return c.now.t, c.now.h.Copy()
	}
	c.now.h.CopyTo(into)
	return c.now.t, into
}

// list iterates over points.
type list struct {
	cursor
	rest []point
}

// Next implements chunkenc.Iterator.
func (l *list) Next() chunkenc.ValueType {
	if len(l.rest) == 0 {
		return chunkenc.ValNone
	}
	l.now, l.rest = l.rest[0], l.rest[1:]
	return l.kind()
}

// Seek implements chunkenc.Iterator.
func (l *list) Seek(t int64) chunkenc.ValueType { //nolint:govet // it is chunkenc's Seek, not io's
	for l.now.t < t {
		if l.Next() == chunkenc.ValNone {
			return chunkenc.ValNone
		}
	}
	return l.kind()
}

// Err implements chunkenc.Iterator.
func (l *list) Err() error { return nil }

// windows reads a series window by window.
type windows struct {
	it    chunkenc.Iterator
	at    chunkenc.ValueType // of the sample that is read next
	begun bool
	buf   []point
}

// next returns the samples of the next window that has some, and the window's
// end. They are valid until the next call.
func (w *windows) next() (end int64, samples []point, ok bool) {
	if !w.begun {
		w.at, w.begun = w.it.Next(), true
	}
	if w.at == chunkenc.ValNone {
		return 0, nil, false
	}
	end = windowEnd(w.it.AtT())
	w.buf = w.buf[:0]
	for w.at != chunkenc.ValNone && w.it.AtT() <= end {
		var p point
		if w.at == chunkenc.ValFloat {
			p.t, p.v = w.it.At()
		} else {
			p.t, p.h = w.it.AtFloatHistogram(nil)
		}
		w.buf = append(w.buf, p)
		w.at = w.it.Next()
	}
	return end, w.buf, true
}

// seek skips what is before t.
func (w *windows) seek(t int64) { w.at, w.begun = w.it.Seek(t), true }

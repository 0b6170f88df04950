package receive

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

// batch is what a request comes to: the series and points that are wanted, and
// how many are not and why. It is filled beside others, and flushed to the store
// by one at a time. To Prometheus' translator of OTLP it is an appender that
// takes everything.
type batch struct {
	limits gate.Limits
	window gate.Window
	known  *described
	room   int // bytes that labels may still take; below 0 the request is too much

	rows    []row
	points  []point
	refused map[gate.Reason]*refusal

	// What the store has taken.
	samples    int
	histograms int
	exemplars  int // that came, and are not kept
}

// row is a series and its points in the batch.
type row struct {
	labels   labels.Labels
	hash     uint64
	from, to int // of points
}

// point is a sample without its series.
type point struct {
	st, t int64 // ms since the Unix epoch; st is 0 if unknown
	v     float64
	h     *histogram.Histogram      // nil if it is none
	fh    *histogram.FloatHistogram // nil if it is none
}

// refusal is how often a reason was given in a request, and what for.
type refusal struct {
	count   int
	example string
}

func (r *Receiver) newBatch() *batch {
	return &batch{
		limits: r.opts.Limits, window: r.opts.Limits.Window(time.Now()), known: &r.known,
		room: r.opts.MemoryBytes, refused: map[gate.Reason]*refusal{},
	}
}

// series begins a row, to which points are added. If the series is not wanted,
// so many points of it are counted as refused, and there is no row. What labels
// take is counted here: on the wire many series may share one long text.
func (b *batch) series(ls labels.Labels, points int) (wanted bool) {
	if b.room -= int(ls.ByteSize()); b.room < 0 {
		return false
	}
	ls = ls.WithoutEmpty() // an empty value is the same as no label
	if why := b.limits.Outside(ls); why != "" {
		b.refuse(why, points, ls)
		return false
	}
	b.rows = append(b.rows, row{labels: ls, hash: ls.Hash(), from: len(b.points), to: len(b.points)})
	return true
}

// point adds to the row begun last.
func (b *batch) point(p point) {
	of := &b.rows[len(b.rows)-1]
	if why := b.window.Check(p.t); why != "" {
		b.refuse(why, 1, of.labels)
		return
	}
	if err := reduce(p); err != nil {
		b.refuse(gate.Histogram, 1, of.labels)
		return
	}
	p.v = gate.Value(p.v)
	b.points = append(b.points, p)
	of.to = len(b.points)
}

// reduce brings a histogram that is finer than the store keeps to what it does.
func reduce(p point) error {
	switch {
	case p.h != nil && histogram.IsExponentialSchemaReserved(p.h.Schema) && p.h.Schema > histogram.ExponentialSchemaMax:
		return p.h.ReduceResolution(histogram.ExponentialSchemaMax)
	case p.fh != nil && histogram.IsExponentialSchemaReserved(p.fh.Schema) && p.fh.Schema > histogram.ExponentialSchemaMax:
		return p.fh.ReduceResolution(histogram.ExponentialSchemaMax)
	}
	return nil
}

// flush appends what is wanted. An error is the store's, and ends it; full tells
// whether there is no room for a series that the store does not have.
func (b *batch) flush(app storage.AppenderV2, full func() bool) error {
	known, _ := app.(storage.GetRef)
	last := make(map[storage.SeriesRef]point, len(b.rows))
	for _, r := range b.rows {
		ref := storage.SeriesRef(0)
		if known != nil {
			ref, _ = known.GetRef(r.labels, r.hash)
			if ref == 0 && full() {
				b.refuse(gate.Series, r.to-r.from, r.labels)
				continue
			}
		}
		for _, p := range b.points[r.from:r.to] {
			before, again := last[ref]
			if again && before.t == p.t && !before.same(p) {
				b.refuse(gate.Duplicate, 1, r.labels) // the store would find out too late to tell
				continue
			}
			got, err := app.Append(ref, r.labels, p.st, p.t, p.v, p.h, p.fh, storage.AOptions{})
			if err != nil {
				why := gate.Refusal(err)
				if why == "" {
					return fmt.Errorf("append: %w", err)
				}
				b.refuse(why, 1, r.labels)
				continue
			}
			ref = got
			last[ref] = p
			if p.h != nil || p.fh != nil {
				b.histograms++
			} else {
				b.samples++
			}
		}
	}
	return nil
}

func (p point) same(q point) bool {
	switch {
	case p.h != nil || q.h != nil:
		return p.h != nil && q.h != nil && p.h.Equals(q.h)
	case p.fh != nil || q.fh != nil:
		return p.fh != nil && q.fh != nil && p.fh.Equals(q.fh)
	}
	return math.Float64bits(p.v) == math.Float64bits(q.v)
}

// refuse counts points that are not wanted.
func (b *batch) refuse(why gate.Reason, points int, ls labels.Labels) {
	if points == 0 {
		return
	}
	of := b.refused[why]
	if of == nil {
		of = &refusal{example: shorten(ls.String())}
		b.refused[why] = of
	}
	of.count += points
}

// rejected is how many points were refused.
func (b *batch) rejected() int {
	n := 0
	for _, of := range b.refused {
		n += of.count
	}
	return n
}

// why is what a sender is told of the points that were refused.
func (b *batch) why() string {
	reasons := slices.Sorted(maps.Keys(b.refused))
	said := make([]string, len(reasons))
	for i, reason := range reasons {
		of := b.refused[reason]
		said[i] = fmt.Sprintf("%d %s, such as %s", of.count, reason, of.example)
	}
	return fmt.Sprintf("%d samples stored, %d refused: %s", b.samples+b.histograms, b.rejected(), strings.Join(said, "; "))
}

// Append implements storage.AppenderV2, for Prometheus' translator.
func (b *batch) Append(_ storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	b.exemplars += len(opts.Exemplars)
	b.known.learn(Metric{Name: opts.MetricFamilyName, Type: string(opts.Metadata.Type), Help: opts.Metadata.Help, Unit: opts.Metadata.Unit})
	if b.series(ls, 1) {
		b.point(point{st, t, v, h, fh})
	}
	if b.room < 0 {
		return 0, context.Canceled // the one error that ends a translation at once
	}
	return 0, nil
}

// Commit implements storage.AppenderV2, and does nothing: the batch is flushed
// later.
func (*batch) Commit() error { return nil }

// Rollback implements storage.AppenderV2, and does nothing.
func (*batch) Rollback() error { return nil }

// shorten makes of a series something to show.
func shorten(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

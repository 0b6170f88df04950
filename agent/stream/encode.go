package stream

import (
	"strings"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// Encoder turns a spool's records into the frames of one stream, as the
// comments in ingest.proto specify them. It is for one goroutine and one lane of
// a stream: what it has sent once, it refers to.
type Encoder struct {
	lane    plimsollv1.Lane
	symbols map[string]uint32
	layouts map[*sample.Group]*layout
	series  uint32 // defined so far,
	defined uint32 // and layouts
	dead    uint32 // series that have ended
	frames  uint64
	frame   *plimsollv1.Frame // being made
}

// layout is what has been sent of a group.
type layout struct {
	ref   uint32
	cells []cell
	frame uint64 // the last it stood in
	ended bool
}

// NewEncoder returns an Encoder for the live lane of a stream that has just
// begun.
func NewEncoder() *Encoder {
	return &Encoder{symbols: map[string]uint32{}, layouts: map[*sample.Group]*layout{}}
}

// Encode makes r's frame. A group that stands in r twice, or ends twice, counts
// once.
func (e *Encoder) Encode(r *spool.Record) *plimsollv1.Frame {
	e.frames++
	e.frame = &plimsollv1.Frame{Seq: r.Seq, TimestampMs: r.Time.UnixMilli(), Lane: e.lane}
	if len(e.symbols) == 0 {
		e.symbol("") // 0 stands for it
	}
	var t tokens
	previous := int64(0)
	for _, c := range r.Columns {
		l := e.layout(c.Group)
		if l.frame == e.frames || len(c.Values) != len(l.cells) {
			continue
		}
		l.frame = e.frames
		e.frame.Columns = append(e.frame.Columns, int64(l.ref)-previous)
		previous = int64(l.ref)
		for i, v := range c.Values {
			t.add(&l.cells[i], v)
		}
	}
	t.flush()
	e.frame.Values = t.out
	e.end(r.Ended)
	for _, ev := range r.Events {
		e.frame.Events = append(e.frame.Events, event(ev))
	}
	return e.frame
}

// Worn tells whether most of what the two sides remember is of groups that have
// ended. A new stream forgets it.
func (e *Encoder) Worn() bool {
	ended := int(e.defined) - len(e.layouts)
	return (e.dead > 50_000 || ended > 1_000) && ended > len(e.layouts)
}

// layout returns what has been sent of g, and sends its definition if that is
// nothing.
func (e *Encoder) layout(g *sample.Group) *layout {
	if l := e.layouts[g]; l != nil {
		return l
	}
	l := &layout{ref: e.defined, cells: make([]cell, len(g.Series))}
	e.defined++
	e.layouts[g] = l
	refs := make([]int64, len(g.Series))
	previous := int64(0)
	for i := range g.Series {
		refs[i] = int64(e.series) - previous
		previous = int64(e.series)
		e.series++
		e.frame.Series = append(e.frame.Series, e.define(g, &g.Series[i]))
		l.cells[i].divisor = float64(max(g.Series[i].Metric.Divisor, 1))
	}
	e.frame.Layouts = append(e.frame.Layouts, &plimsollv1.Layout{Series: refs})
	return l
}

func (e *Encoder) define(g *sample.Group, s *sample.Series) *plimsollv1.Series {
	refs := make([]uint32, 0, 1+2*(len(g.Labels)+len(s.Labels)))
	refs = append(refs, e.symbol(s.Metric.Name))
	for _, labels := range [][]sample.Label{g.Labels, s.Labels} {
		for _, l := range labels {
			refs = append(refs, e.symbol(l.Name), e.symbol(l.Value))
		}
	}
	return &plimsollv1.Series{
		Symbols: refs,
		Type:    metricType(s.Metric.Type),
		Divisor: s.Metric.Divisor,
		Help:    e.symbol(s.Metric.Help),
		Unit:    e.symbol(s.Metric.Unit),
	}
}

// symbol returns the reference of a string. What is not UTF-8, as a label of a
// container may be, cannot travel and is replaced where it is not.
func (e *Encoder) symbol(s string) uint32 {
	if ref, known := e.symbols[s]; known {
		return ref
	}
	if !utf8.ValidString(s) {
		return e.symbol(strings.ToValidUTF8(s, "\uFFFD"))
	}
	ref := uint32(len(e.symbols))
	e.symbols[s] = ref
	e.frame.Symbols = append(e.frame.Symbols, s)
	return ref
}

func (e *Encoder) end(groups []*sample.Group) {
	for _, g := range groups {
		l := e.layout(g)
		if !l.ended {
			l.ended = true
			e.frame.Ended = append(e.frame.Ended, l.ref)
			e.dead += uint32(len(l.cells))
		}
	}
	for _, g := range groups {
		delete(e.layouts, g)
	}
}

func metricType(t sample.Type) plimsollv1.MetricType {
	switch t {
	case sample.Counter:
		return plimsollv1.MetricType_METRIC_TYPE_COUNTER
	case sample.Gauge:
		return plimsollv1.MetricType_METRIC_TYPE_GAUGE
	}
	return plimsollv1.MetricType_METRIC_TYPE_UNSPECIFIED
}

func event(e sample.Event) *plimsollv1.Event {
	kind := plimsollv1.EventKind_EVENT_KIND_UNSPECIFIED
	switch e.Kind {
	case sample.ContainerStarted:
		kind = plimsollv1.EventKind_EVENT_KIND_CONTAINER_STARTED
	case sample.ContainerExited:
		kind = plimsollv1.EventKind_EVENT_KIND_CONTAINER_EXITED
	case sample.ContainerOOM:
		kind = plimsollv1.EventKind_EVENT_KIND_CONTAINER_OOM
	}
	return &plimsollv1.Event{
		TimestampMs: e.Time.UnixMilli(),
		EventKind:   kind,
		Container:   strings.ToValidUTF8(e.Container, "\uFFFD"),
		Text:        strings.ToValidUTF8(e.Text, "\uFFFD"),
	}
}

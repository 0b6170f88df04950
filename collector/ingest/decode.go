package ingest

import (
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// errFull ends a stream whose tables have no room left. The agent starts over.
var errFull = errors.New("the stream's tables are full; start a new stream")

// Decoder reads the frames of one lane of a stream, as the comments in ingest.proto
// specify them. It believes nothing: whatever bytes come, it returns an error
// or values, and takes no more memory than the frames and its limits allow. It
// is for one goroutine, and of no use after an error.
type Decoder struct {
	limits  Limits
	builder builder

	symbols     []string
	symbolBytes int
	series      []*series // nil once ended
	layouts     []layout
	alive       int // series that have not ended
	quota       quota
	frames      uint64

	// Of the frame decoded last.
	cells  []*series
	values []float64 // one for each cell; a staleness marker where it is absent
	ended  []uint32  // layouts
	fresh  []*series // defined in it

	scratch []string
}

type layout struct {
	series []*series
	refs   []uint32
	frame  uint64 // the last it stood in
	ended  bool
}

// NewDecoder returns a Decoder for a stream that has just begun, of an agent on
// that node.
func NewDecoder(node string, limits Limits) *Decoder {
	limits = limits.withDefaults()
	return &Decoder{limits: limits, builder: newBuilder(node, limits), quota: quota{limits: limits}}
}

// Decode reads the next frame. An error says what in it breaks the rules.
func (d *Decoder) Decode(f *plimsollv1.Frame) error {
	d.release()
	d.frames++
	for _, define := range []func(*plimsollv1.Frame) error{d.addSymbols, d.addSeries, d.addLayouts, d.findCells} {
		if err := define(f); err != nil {
			return fmt.Errorf("frame %d: %w", f.GetSeq(), err)
		}
	}
	if err := d.decodeValues(f.GetValues()); err != nil {
		return fmt.Errorf("frame %d: values: %w", f.GetSeq(), err)
	}
	for _, ref := range f.GetEnded() {
		if ref >= uint32(len(d.layouts)) || d.layouts[ref].ended {
			return fmt.Errorf("frame %d: layout %d ends and is not there", f.GetSeq(), ref)
		}
		d.layouts[ref].ended = true
		d.ended = append(d.ended, ref)
	}
	return nil
}

// Values are those of the frame decoded last. A staleness marker stands where
// the agent found nothing.
func (d *Decoder) Values() iter.Seq2[labels.Labels, float64] {
	return func(yield func(labels.Labels, float64) bool) {
		for i, s := range d.cells {
			if !yield(s.labels, d.values[i]) {
				return
			}
		}
	}
}

// release forgets the frame before, and the series that ended with it.
func (d *Decoder) release() {
	for _, ref := range d.ended {
		l := &d.layouts[ref]
		for _, s := range l.refs {
			if d.series[s].refused == "" {
				d.quota.release(d.series[s])
			}
			d.series[s] = nil
		}
		d.alive -= len(l.refs)
		l.series, l.refs = nil, nil
	}
	clear(d.cells)
	clear(d.fresh)
	d.cells, d.values, d.ended, d.fresh = d.cells[:0], d.values[:0], d.ended[:0], d.fresh[:0]
}

func (d *Decoder) addSymbols(f *plimsollv1.Frame) error {
	for _, s := range f.GetSymbols() {
		d.symbolBytes += len(s)
	}
	if len(d.symbols)+len(f.GetSymbols()) > maxSymbols || d.symbolBytes > maxSymbolBytes {
		return errFull
	}
	d.symbols = append(d.symbols, f.GetSymbols()...)
	return nil
}

func (d *Decoder) addSeries(f *plimsollv1.Frame) error {
	// Over the limit a series is refused alone; far over it, the agent is.
	if d.alive+len(f.GetSeries()) > 2*int(d.limits.Series)+1000 || len(d.series)+len(f.GetSeries()) > maxTable {
		return errFull
	}
	for _, def := range f.GetSeries() {
		s, err := d.define(def)
		if err != nil {
			return fmt.Errorf("series %d: %w", len(d.series), err)
		}
		d.series = append(d.series, s)
		d.fresh = append(d.fresh, s)
		d.alive++
	}
	return nil
}

func (d *Decoder) define(def *plimsollv1.Series) (*series, error) {
	refs := def.GetSymbols()
	if len(refs)%2 == 0 {
		return nil, fmt.Errorf("%d symbols: want a name and pairs", len(refs))
	}
	d.scratch = d.scratch[:0]
	for _, ref := range refs {
		s, err := d.symbol(ref)
		if err != nil {
			return nil, err
		}
		d.scratch = append(d.scratch, s)
	}
	s := &series{divisor: float64(max(def.GetDivisor(), 1))}
	s.labels, s.refused = d.builder.build(d.scratch)
	if s.refused == "" {
		s.refused = d.quota.admit(s)
	}
	// Optional texts: symbol 0 is the empty string where an agent has none.
	help, err := d.symbol(def.GetHelp())
	if err != nil {
		return nil, err
	}
	unit, err := d.symbol(def.GetUnit())
	if err != nil {
		return nil, err
	}
	s.meta = metadata.Metadata{Type: metricType(def.GetType()), Help: help, Unit: unit}
	return s, nil
}

func (d *Decoder) symbol(ref uint32) (string, error) {
	if ref == 0 && len(d.symbols) == 0 {
		return "", nil
	}
	if ref >= uint32(len(d.symbols)) {
		return "", fmt.Errorf("symbol %d of %d", ref, len(d.symbols))
	}
	return d.symbols[ref], nil
}

func (d *Decoder) addLayouts(f *plimsollv1.Frame) error {
	if len(d.layouts)+len(f.GetLayouts()) > maxTable {
		return errFull
	}
	for _, def := range f.GetLayouts() {
		l := layout{series: make([]*series, 0, len(def.GetSeries())), refs: make([]uint32, 0, len(def.GetSeries()))}
		ref := int64(0)
		for _, difference := range def.GetSeries() {
			ref += difference
			if ref < 0 || ref >= int64(len(d.series)) || d.series[ref] == nil || d.series[ref].placed {
				return fmt.Errorf("layout %d: series %d is not there or stands in another", len(d.layouts), ref)
			}
			d.series[ref].placed = true
			l.series = append(l.series, d.series[ref])
			l.refs = append(l.refs, uint32(ref))
		}
		d.layouts = append(d.layouts, l)
	}
	return nil
}

// findCells lays the series of the frame's columns end to end.
func (d *Decoder) findCells(f *plimsollv1.Frame) error {
	ref := int64(0)
	for _, difference := range f.GetColumns() {
		ref += difference
		if ref < 0 || ref >= int64(len(d.layouts)) {
			return fmt.Errorf("column of layout %d of %d", ref, len(d.layouts))
		}
		l := &d.layouts[ref]
		if l.ended || l.frame == d.frames {
			return fmt.Errorf("column of layout %d, which has ended or stands there already", ref)
		}
		l.frame = d.frames
		d.cells = append(d.cells, l.series...)
	}
	return nil
}

// staleNaN ends a series for PromQL.
var staleNaN = math.Float64frombits(value.StaleNaN)

func isStale(v float64) bool { return math.Float64bits(v) == value.StaleNaN }

package spool

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/records"
)

// Record is a batch as it was spooled. Its slices belong to the Reader and are
// good until its next call; the groups stay good and keep their identity: the
// same group is the same pointer in every record of a Reader.
type Record struct {
	Seq     uint64
	Time    time.Time // to the millisecond
	Columns []sample.Column
	Ended   []*sample.Group
	Events  []sample.Event

	values []float64
}

func (r *Record) reset() {
	clear(r.Columns)
	clear(r.Ended)
	clear(r.Events)
	r.Columns, r.Ended, r.Events = r.Columns[:0], r.Ended[:0], r.Events[:0]
	r.values = r.values[:0]
}

// appendBatch encodes b's payload: the time in ms as a varint, then columns,
// ended groups and events, each list after its length. A column is the group's
// reference, the number of its values, and those as 8 bytes each.
func appendBatch(dst []byte, b *sample.Batch, refs map[*sample.Group]uint64) []byte {
	dst = binary.AppendVarint(dst, b.Time.UnixMilli())
	dst = binary.AppendUvarint(dst, uint64(len(b.Columns)))
	for _, c := range b.Columns {
		dst = binary.AppendUvarint(dst, refs[c.Group])
		dst = binary.AppendUvarint(dst, uint64(len(c.Values)))
		for _, v := range c.Values {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Ended)))
	for _, g := range b.Ended {
		dst = binary.AppendUvarint(dst, refs[g])
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Events)))
	for i := range b.Events {
		e := &b.Events[i]
		dst = binary.AppendVarint(dst, e.Time.UnixMilli())
		dst = append(dst, byte(e.Kind))
		dst = records.AppendString(dst, e.Container)
		dst = records.AppendString(dst, e.Text)
	}
	return dst
}

// errPayload is a payload whose checksum holds and that yet makes no sense.
var errPayload = errors.New("malformed payload")

// decodeBatch fills r from a batch's payload and returns the number of samples
// it had to leave out, because their group's definition has been damaged.
func decodeBatch(p []byte, groups map[uint64]*sample.Group, r *Record) (orphans uint64, err error) {
	r.reset()
	d := records.Decoder{Rest: p}
	r.Time = time.UnixMilli(d.Varint())

	// Grown once, so that the columns' slices of it stay where they are.
	if n := len(p) / 8; cap(r.values) < n {
		r.values = make([]float64, 0, n)
	}
	for range d.Count(2) {
		group, known := groups[d.Uvarint()]
		n := d.Count(8)
		if d.Bad || known && n != len(group.Series) {
			return 0, errPayload
		}
		at := len(r.values)
		for range n {
			v := math.Float64frombits(binary.LittleEndian.Uint64(d.Rest))
			d.Rest = d.Rest[8:]
			if known {
				r.values = append(r.values, v)
			} else if !sample.IsAbsent(v) {
				orphans++
			}
		}
		if known {
			r.Columns = append(r.Columns, sample.Column{Group: group, Values: r.values[at:len(r.values):len(r.values)]})
		}
	}
	for range d.Count(1) {
		if group, known := groups[d.Uvarint()]; known {
			r.Ended = append(r.Ended, group)
		}
	}
	for range d.Count(4) {
		r.Events = append(r.Events, sample.Event{
			Time:      time.UnixMilli(d.Varint()),
			Kind:      sample.EventKind(d.Byte()),
			Container: d.Text(),
			Text:      d.Text(),
		})
	}
	if d.Bad || len(d.Rest) != 0 {
		return 0, errPayload
	}
	return orphans, nil
}

// appendGroup encodes a group's payload: its labels, then its series, each with
// all its metric says. Metrics are repeated in every group, so that damage to
// one definition does not spread to others.
func appendGroup(dst []byte, g *sample.Group) []byte {
	dst = appendLabels(dst, g.Labels)
	dst = binary.AppendUvarint(dst, uint64(len(g.Series)))
	for i := range g.Series {
		m := g.Series[i].Metric
		dst = records.AppendString(dst, m.Name)
		dst = records.AppendString(dst, m.Help)
		dst = append(dst, byte(m.Type))
		dst = records.AppendString(dst, m.Unit)
		dst = binary.AppendUvarint(dst, uint64(m.Divisor))
		dst = appendLabels(dst, g.Series[i].Labels)
	}
	return dst
}

// decodeGroup is the inverse of appendGroup. Equal metrics become one through
// the map.
func decodeGroup(p []byte, metrics map[sample.Metric]*sample.Metric) (*sample.Group, error) {
	d := records.Decoder{Rest: p}
	g := &sample.Group{Labels: labelsOf(&d)}
	if n := d.Count(6); n > 0 {
		g.Series = make([]sample.Series, n)
	}
	for i := range g.Series {
		m := sample.Metric{Name: d.Text(), Help: d.Text(), Type: sample.Type(d.Byte()), Unit: d.Text()}
		divisor := d.Uvarint()
		m.Divisor = uint32(divisor)
		labels := labelsOf(&d)
		if d.Bad || divisor > math.MaxUint32 {
			return nil, errPayload
		}
		one := metrics[m]
		if one == nil {
			one = &m
			metrics[m] = one
		}
		g.Series[i] = sample.Series{Metric: one, Labels: labels}
	}
	if d.Bad || len(d.Rest) != 0 {
		return nil, errPayload
	}
	return g, nil
}

func appendLabels(dst []byte, ls []sample.Label) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ls)))
	for _, l := range ls {
		dst = records.AppendString(records.AppendString(dst, l.Name), l.Value)
	}
	return dst
}

func labelsOf(d *records.Decoder) []sample.Label {
	n := d.Count(2)
	if n == 0 {
		return nil
	}
	ls := make([]sample.Label, n)
	for i := range ls {
		ls[i] = sample.Label{Name: d.Text(), Value: d.Text()}
	}
	return ls
}

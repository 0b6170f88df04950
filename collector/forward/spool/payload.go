package spool

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/internal/records"
)

// errPayload is a payload whose checksum holds and that yet makes no sense.
var errPayload = errors.New("malformed payload")

const (
	// chunkBytes is where a record of label sets is full, before compression.
	// Damage to one costs its series alone, for the rest of the segment.
	chunkBytes = 256 << 10
	// maxChunk bounds what a damaged length may make a reader allocate.
	maxChunk = 64 << 20
)

// appendLabels encodes the payload of a record of label sets: each as the
// number of its labels and their names and values after their lengths, all of
// it compressed (S2), because series of one container differ in little.
func appendLabels(dst, raw []byte, sets []labels.Labels) (compressed, scratch []byte, taken int) {
	raw = raw[:0]
	for _, ls := range sets {
		if len(raw) >= chunkBytes {
			break
		}
		raw = binary.AppendUvarint(raw, uint64(ls.Len()))
		ls.Range(func(l labels.Label) {
			raw = records.AppendString(records.AppendString(raw, l.Name), l.Value)
		})
		taken++
	}
	at := len(dst)
	if room := s2.MaxEncodedLen(len(raw)); cap(dst)-at < room {
		dst = append(make([]byte, 0, at+room+at/2), dst...)
	}
	out := s2.Encode(dst[at:cap(dst)], raw)
	return dst[:at+len(out)], raw, taken
}

func decodeLabels(p []byte, add func(labels.Labels)) error {
	if n, err := s2.DecodedLen(p); err != nil || n > maxChunk {
		return errPayload
	}
	raw, err := s2.Decode(nil, p)
	if err != nil {
		return errPayload
	}
	d := records.Decoder{Rest: raw}
	b := labels.NewScratchBuilder(16)
	for len(d.Rest) > 0 {
		b.Reset()
		for range d.Count(2) {
			name, value := d.Text(), d.Text()
			b.Add(name, value)
		}
		if d.Bad {
			return errPayload
		}
		add(b.Labels())
	}
	return nil
}

// run is a number of series whose references follow each other, as those of an
// agent's frame do.
type run struct{ first, length uint32 }

// appendSamples encodes the payload of a record of samples: their time and when
// they arrived, in ms; runs of references that together are as many as there
// are values, each as the distance from the end of the run before and its
// length; and the values. Integers up to 2^53, which most values are, are
// varints shifted by one bit; the rest are a 1 and eight bytes.
func appendSamples(dst []byte, at, arrived int64, runs []run, values []float64) []byte {
	dst = binary.AppendVarint(dst, at)
	dst = binary.AppendVarint(dst, arrived)
	end := uint32(0)
	for _, r := range runs {
		dst = binary.AppendVarint(dst, int64(r.first)-int64(end))
		dst = binary.AppendUvarint(dst, uint64(r.length))
		end = r.first + r.length
	}
	for _, v := range values {
		if i := int64(v); float64(i) == v && i <= maxInteger && i >= -maxInteger && (i != 0 || math.Float64bits(v) == 0) {
			u := uint64(i<<1) ^ uint64(i>>63)
			dst = binary.AppendUvarint(dst, u<<1)
			continue
		}
		dst = append(dst, 1)
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

// maxInteger is 2^53: floats hold every integer up to there.
const maxInteger = 1 << 53

// decodeSamples fills r from the payload of a record of n samples.
func decodeSamples(p []byte, n uint32, r *Record) error {
	r.Refs, r.Values = r.Refs[:0], r.Values[:0]
	d := records.Decoder{Rest: p}
	r.At, r.Arrived = d.Varint(), d.Varint()
	if uint64(n) > uint64(len(d.Rest)) { // a value takes a byte at least
		return errPayload
	}
	end := int64(0)
	for len(r.Refs) < int(n) {
		first, length := end+d.Varint(), d.Uvarint()
		if d.Bad || length == 0 || length > uint64(n)-uint64(len(r.Refs)) || first < 0 || first+int64(length) > math.MaxUint32 {
			return errPayload
		}
		end = first + int64(length)
		for ref := first; ref < end; ref++ {
			r.Refs = append(r.Refs, uint32(ref))
		}
	}
	for range n {
		switch u := d.Uvarint(); {
		case u == 1:
			r.Values = append(r.Values, math.Float64frombits(d.Uint64()))
		case u&1 == 1:
			return errPayload
		default:
			u >>= 1
			r.Values = append(r.Values, float64(int64(u>>1)^-int64(u&1)))
		}
	}
	if d.Bad || len(d.Rest) != 0 {
		return errPayload
	}
	return nil
}

package stream

import (
	"encoding/binary"
	"math"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// The kinds of tokens, in the low two bits of their first varint.
const (
	tokenRun     = 0
	tokenInteger = 1
	tokenRaw     = 2
	tokenAbsent  = 3
)

const (
	// staleBits is the NaN by which Prometheus ends a series. On the wire it
	// is the same as absent.
	staleBits = 0x7ff0_0000_0000_0002

	// Integers of a greater magnitude have neighbours that no double tells
	// apart.
	maxInteger = 1 << 53
)

// cell is what both sides remember of a series.
type cell struct {
	divisor float64
	last    uint64 // bits of its last value
	integer int64  // the last that was sent as one
	known   bool   // it has had a value
}

// tokens encodes values one after the other.
type tokens struct {
	out  []byte
	kind uint64 // of the run under way
	run  uint64 // its length so far
}

func (t *tokens) add(c *cell, v float64) {
	bits := math.Float64bits(v)
	switch {
	case sample.IsAbsent(v) || bits == staleBits:
		t.more(tokenAbsent)
		return
	case c.known && c.last == bits:
		t.more(tokenRun)
		return
	}
	t.flush()
	if k, ok := integer(v, c.divisor); ok {
		t.out = binary.AppendUvarint(t.out, zigzag(k-c.integer)<<2|tokenInteger)
		c.integer = k
	} else {
		t.out = binary.AppendUvarint(t.out, tokenRaw)
		t.out = binary.LittleEndian.AppendUint64(t.out, bits)
	}
	c.known, c.last = true, bits
}

// integer finds the k for which k / divisor is v to the bit, if there is one.
func integer(v, divisor float64) (int64, bool) {
	scaled := v * divisor
	if !(math.Abs(scaled) <= maxInteger) { // NaN too
		return 0, false
	}
	k := int64(math.RoundToEven(scaled))
	return k, math.Float64bits(float64(k)/divisor) == math.Float64bits(v)
}

func zigzag(d int64) uint64 { return uint64(d)<<1 ^ uint64(d>>63) }

// more lengthens the run of that kind, or begins one.
func (t *tokens) more(kind uint64) {
	if t.kind != kind {
		t.flush()
	}
	t.kind = kind
	t.run++
}

// flush writes the run under way.
func (t *tokens) flush() {
	if t.run > 0 {
		t.out = binary.AppendUvarint(t.out, (t.run-1)<<2|t.kind)
		t.run = 0
	}
}

package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/value"
)

// The kinds of tokens, in the low two bits of their first varint.
const (
	tokenRun     = 0
	tokenInteger = 1
	tokenRaw     = 2
	tokenAbsent  = 3
)

var (
	errShort = errors.New("they end within a token")
	errLong  = errors.New("more of them than cells")
)

// decodeValues reads one value per cell. The length of a run is compared with
// the cells that are left before anything is done for it.
func (d *Decoder) decodeValues(b []byte) error {
	for len(b) > 0 {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return errShort
		}
		b = b[n:]
		rest := d.cells[len(d.values):]
		if len(rest) == 0 {
			return errLong
		}
		switch kind, n := u&3, u>>2; kind {
		case tokenRun, tokenAbsent:
			if n >= uint64(len(rest)) {
				return errLong
			}
			if err := d.repeat(rest[:n+1], kind == tokenAbsent); err != nil {
				return err
			}
		case tokenInteger:
			s := rest[0]
			s.integer += int64(n>>1) ^ -int64(n&1)
			d.set(s, math.Float64bits(float64(s.integer)/s.divisor))
		case tokenRaw:
			if len(b) < 8 || n != 0 {
				return errShort
			}
			bits := binary.LittleEndian.Uint64(b)
			b = b[8:]
			if bits == value.StaleNaN {
				d.values = append(d.values, staleNaN)
				continue
			}
			d.set(rest[0], bits)
		}
	}
	if len(d.values) != len(d.cells) {
		return fmt.Errorf("%d of them for %d cells", len(d.values), len(d.cells))
	}
	return nil
}

// set gives the next cell a value.
func (d *Decoder) set(s *series, bits uint64) {
	s.known, s.last = true, bits
	d.values = append(d.values, math.Float64frombits(bits))
}

// repeat gives the next cells the values they had before, or none.
func (d *Decoder) repeat(cells []*series, absent bool) error {
	for _, s := range cells {
		switch {
		case absent:
			d.values = append(d.values, staleNaN)
		case !s.known:
			return errors.New("a run over a series that has had none")
		default:
			d.values = append(d.values, math.Float64frombits(s.last))
		}
	}
	return nil
}

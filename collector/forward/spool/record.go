package spool

import "github.com/plimsoll-io/plimsoll/internal/records"

// format is that of a segment's records. A record of label sets counts them, and has
// the reference of the first for its number. A record of samples has the number that
// is its Place.
var format = records.Format{Sync: [2]byte{0xb3, 0x5e}, MaxPayload: 16 << 20}

// The kinds of records.
const (
	kindLabels  = 1
	kindSamples = 2
)

// placeOf is the place of the record of samples with header h, placeAfter the one
// behind it.
func placeOf(h records.Header) Place { return Place{h.Number, h.Before} }

func placeAfter(h records.Header) Place {
	number, before := h.Next()
	return Place{number, before}
}

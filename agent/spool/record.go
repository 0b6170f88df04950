package spool

import "github.com/plimsoll-io/plimsoll/internal/records"

// format is that of a segment's records. A group is defined by a record whose number
// is its reference in this segment. A batch has its sequence number and counts its
// samples.
var format = records.Format{Sync: [2]byte{0xa7, 0x4c}, MaxPayload: 64 << 20}

// The kinds of records.
const (
	kindGroup = 1
	kindBatch = 2
)

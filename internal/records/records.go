// Package records is the inside of a spool: a file of records with checksums, in
// which a reader finds its way back after damage and can count what it cost.
package records

import (
	"encoding/binary"
	"hash/crc32"
)

// Format tells the records of one kind of file from those of another. A record is a
// header and a payload. All integers of the header are little endian:
//
//	 0  2  Sync, by which a reader finds its way back after damage
//	 2  1  kind
//	 3  1  zero
//	 4  4  bytes of the payload
//	 8  4  CRC32C of the payload
//	12  4  count
//	16  8  number
//	24  8  before
//	32  4  CRC32C of the 32 bytes above
//
// The header has a checksum of its own, so that a damaged payload costs its record
// alone, and it says how many samples came before, so that what lay in a stretch of
// damage can be counted exactly by what stands on its two sides.
type Format struct {
	Sync [2]byte
	// MaxPayload is far beyond any record; a length above it is damage.
	MaxPayload uint32
}

const (
	// HeaderBytes is the length of a header.
	HeaderBytes = 36
	// MaxNumber is more than a thousand years of a million samples a second; a number
	// above it is damage.
	MaxNumber = 1 << 55
)

// Header is what stands before a payload.
type Header struct {
	Kind   uint8
	Length uint32 // of the payload
	Sum    uint32 // of the payload
	Count  uint32 // samples in a record of samples; what else has a count says of what
	Number uint64 // of a record of samples; what else has a number says which
	Before uint64 // samples in all records of the spool before this one
}

// Next is the number, and the samples before it, that the record of samples behind
// this one begins with.
func (h Header) Next() (number, before uint64) { return h.Number + 1, h.Before + uint64(h.Count) }

// Parse reads the header that b begins with and tells whether it is one.
func (f Format) Parse(b []byte) (Header, bool) {
	if len(b) < HeaderBytes || b[0] != f.Sync[0] || b[1] != f.Sync[1] || binary.LittleEndian.Uint32(b[32:]) != Checksum(b[:32]) {
		return Header{}, false
	}
	h := Header{
		Kind:   b[2],
		Length: binary.LittleEndian.Uint32(b[4:]),
		Sum:    binary.LittleEndian.Uint32(b[8:]),
		Count:  binary.LittleEndian.Uint32(b[12:]),
		Number: binary.LittleEndian.Uint64(b[16:]),
		Before: binary.LittleEndian.Uint64(b[24:]),
	}
	return h, h.Length <= f.MaxPayload && h.Number < MaxNumber && h.Before < MaxNumber
}

// Begin makes room for a header, which Finish fills in once the payload is behind
// it.
func Begin(dst []byte) []byte {
	var room [HeaderBytes]byte
	return append(dst, room[:]...)
}

// Finish ends the record that was begun at an offset of dst. Length and Sum follow
// from its payload.
func (f Format) Finish(dst []byte, at int, h Header) []byte {
	payload, b := dst[at+HeaderBytes:], dst[at:]
	b[0], b[1], b[2], b[3] = f.Sync[0], f.Sync[1], h.Kind, 0
	binary.LittleEndian.PutUint32(b[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[8:], Checksum(payload))
	binary.LittleEndian.PutUint32(b[12:], h.Count)
	binary.LittleEndian.PutUint64(b[16:], h.Number)
	binary.LittleEndian.PutUint64(b[24:], h.Before)
	binary.LittleEndian.PutUint32(b[32:], Checksum(b[:32]))
	return dst
}

// Checksum is the CRC32C of b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

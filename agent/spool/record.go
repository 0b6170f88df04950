package spool

import (
	"encoding/binary"
	"hash/crc32"
)

// A record is a header and a payload. All integers of the header are little
// endian:
//
//	 0  2  0xa7 0x4c, by which a reader finds its way back after damage
//	 2  1  kind
//	 3  1  zero
//	 4  4  bytes of the payload
//	 8  4  CRC32C of the payload
//	12  4  batch: samples in it
//	16  8  batch: its sequence number; group: its reference in this segment
//	24  8  samples in all batches of this spool before this record
//	32  4  CRC32C of the 32 bytes above
//
// The header has a checksum of its own, so that a damaged payload costs its
// batch alone, and it says how many samples came before, so that what lay in a
// stretch of damage can be counted exactly by what stands on its two sides.
const (
	syncA, syncB = 0xa7, 0x4c
	headerBytes  = 36

	// maxPayload is far beyond any batch; a length above it is damage.
	maxPayload = 64 << 20
)

type kind uint8

const (
	kindGroup kind = 1
	kindBatch kind = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	kind    kind
	length  uint32
	sum     uint32
	samples uint32
	number  uint64
	before  uint64
}

// next is the number and the sample count that the batch after h opens with.
func (h header) next() (seq, before uint64) { return h.number + 1, h.before + uint64(h.samples) }

func (h header) put(b []byte) {
	b[0], b[1], b[2], b[3] = syncA, syncB, byte(h.kind), 0
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint32(b[8:], h.sum)
	binary.LittleEndian.PutUint32(b[12:], h.samples)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.before)
	binary.LittleEndian.PutUint32(b[32:], crc32.Checksum(b[:32], castagnoli))
}

// parseHeader reads the header that b begins with and tells whether it is one.
func parseHeader(b []byte) (header, bool) {
	if len(b) < headerBytes || b[0] != syncA || b[1] != syncB ||
		binary.LittleEndian.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli) {
		return header{}, false
	}
	h := header{
		kind:    kind(b[2]),
		length:  binary.LittleEndian.Uint32(b[4:]),
		sum:     binary.LittleEndian.Uint32(b[8:]),
		samples: binary.LittleEndian.Uint32(b[12:]),
		number:  binary.LittleEndian.Uint64(b[16:]),
		before:  binary.LittleEndian.Uint64(b[24:]),
	}
	return h, h.length <= maxPayload
}

// begin makes room for a header, which finish fills in once the payload is
// behind it.
func begin(dst []byte) []byte {
	var room [headerBytes]byte
	return append(dst, room[:]...)
}

func finish(dst []byte, at int, h header) []byte {
	payload := dst[at+headerBytes:]
	h.length = uint32(len(payload))
	h.sum = crc32.Checksum(payload, castagnoli)
	h.put(dst[at:])
	return dst
}

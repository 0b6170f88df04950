package spool

import (
	"encoding/binary"
	"hash/crc32"
)

// A record is a header and a payload. All integers of the header are little
// endian:
//
//	 0  2  0xb3 0x5e, by which a reader finds its way back after damage
//	 2  1  kind
//	 3  1  zero
//	 4  4  bytes of the payload
//	 8  4  CRC32C of the payload
//	12  4  samples: how many; labels: how many label sets
//	16  8  samples: number of the record; labels: reference of the first set
//	24  8  samples in all records of this spool before this one
//	32  4  CRC32C of the 32 bytes above
//
// The header has a checksum of its own, so that a damaged payload costs its
// record alone, and it says how many samples came before, so that what lay in a
// stretch of damage is counted exactly by what stands behind it.
const (
	syncA, syncB = 0xb3, 0x5e
	headerBytes  = 36

	// maxPayload is far beyond any record; a length above it is damage.
	maxPayload = 16 << 20
	// maxNumber is more than a thousand years of a million samples a second.
	maxNumber = 1 << 55
)

type kind uint8

const (
	kindLabels  kind = 1
	kindSamples kind = 2
)

type header struct {
	kind   kind
	length uint32
	sum    uint32
	count  uint32
	number uint64
	before uint64
}

// start is the place of the record with header h, of samples; end the one behind it.
func (h header) start() Place { return Place{h.number, h.before} }
func (h header) end() Place   { return Place{h.number + 1, h.before + uint64(h.count)} }

func (h header) put(b []byte) {
	b[0], b[1], b[2], b[3] = syncA, syncB, byte(h.kind), 0
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint32(b[8:], h.sum)
	binary.LittleEndian.PutUint32(b[12:], h.count)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.before)
	binary.LittleEndian.PutUint32(b[32:], checksum(b[:32]))
}

// parseHeader reads the header that b begins with and tells whether it is one.
func parseHeader(b []byte) (header, bool) {
	if len(b) < headerBytes || b[0] != syncA || b[1] != syncB || binary.LittleEndian.Uint32(b[32:]) != checksum(b[:32]) {
		return header{}, false
	}
	h := header{
		kind:   kind(b[2]),
		length: binary.LittleEndian.Uint32(b[4:]),
		sum:    binary.LittleEndian.Uint32(b[8:]),
		count:  binary.LittleEndian.Uint32(b[12:]),
		number: binary.LittleEndian.Uint64(b[16:]),
		before: binary.LittleEndian.Uint64(b[24:]),
	}
	return h, h.length <= maxPayload && h.number < maxNumber && h.before < maxNumber
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
	h.sum = checksum(payload)
	h.put(dst[at:])
	return dst
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

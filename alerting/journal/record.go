package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A record is
//
//	length  uint32, little endian, of data; never 0
//	crc     uint32, little endian, CRC-32C of length and data
//	data
//
// The length is part of the sum so that zeros, which a power cut leaves at the
// end of a file, are no record.
const (
	headerBytes = 8
	// maxRecord is more than any change is long: a group of all alerts that a
	// name may have is a tenth of it.
	maxRecord = 16 << 20
)

// ErrTooLong is that of a change that no record can hold.
var ErrTooLong = errors.New("longer than 16 MiB")

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// encode appends a record to b.
func encode(b, data []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = binary.LittleEndian.AppendUint32(b, sum(b[len(b)-4:], data))
	return append(b, data...)
}

func sum(length, data []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli(), length), castagnoli(), data)
}

// Damage is what could not be read.
type Damage struct {
	Records int   // whose sum is wrong
	Tail    int64 // bytes at an end that is no record
}

func (d Damage) found() bool { return d != Damage{} }

func (d *Damage) add(more Damage) {
	d.Records += more.Records
	d.Tail += more.Tail
}

// decode calls each for every whole record of size bytes. The data are its own
// to keep. A record whose sum is wrong is stepped over as long as its length
// may be one; what does not even have that is the tail.
func decode(r io.Reader, size int64, each func(data []byte)) (Damage, error) {
	var damage Damage
	in := bufio.NewReader(r)
	for size > 0 {
		if size < headerBytes {
			damage.Tail += size
			return damage, nil
		}
		var header [headerBytes]byte
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return damage, err
		}
		length := int64(binary.LittleEndian.Uint32(header[:4]))
		if length == 0 || length > maxRecord || length > size-headerBytes {
			damage.Tail += size
			return damage, nil
		}
		data := make([]byte, length)
		if _, err := io.ReadFull(in, data); err != nil {
			return damage, err
		}
		size -= headerBytes + length
		if sum(header[:4], data) != binary.LittleEndian.Uint32(header[4:]) {
			damage.Records++
			continue
		}
		each(data)
	}
	return damage, nil
}

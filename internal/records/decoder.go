package records

import "encoding/binary"

// AppendString encodes a text behind its length.
func AppendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Decoder reads a payload from its front. Where there is not enough left it turns
// bad, and its verbs read zeros from then on.
type Decoder struct {
	Rest []byte
	Bad  bool
}

// Uvarint reads what binary.AppendUvarint wrote.
func (d *Decoder) Uvarint() uint64 {
	u, n := binary.Uvarint(d.Rest)
	if !d.step(n) {
		return 0
	}
	return u
}

// Varint reads what binary.AppendVarint wrote.
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.Rest)
	if !d.step(n) {
		return 0
	}
	return v
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if !d.has(1) {
		return 0
	}
	b := d.Rest[0]
	d.Rest = d.Rest[1:]
	return b
}

// Uint64 reads eight bytes, little endian.
func (d *Decoder) Uint64() uint64 {
	if !d.has(8) {
		return 0
	}
	u := binary.LittleEndian.Uint64(d.Rest)
	d.Rest = d.Rest[8:]
	return u
}

func (d *Decoder) has(n int) bool {
	d.Bad = d.Bad || len(d.Rest) < n
	return !d.Bad
}

// step goes on behind what the encoding/binary package has read: n bytes, or
// none where n is not positive.
func (d *Decoder) step(n int) bool {
	if n <= 0 {
		d.Bad = true
	}
	if !d.Bad {
		d.Rest = d.Rest[n:]
	}
	return !d.Bad
}

// Count reads the length of a list whose entries take at least size bytes, so
// that no length promises more than there is.
func (d *Decoder) Count(size int) int {
	n := d.Uvarint()
	if n > uint64(len(d.Rest)/size) {
		d.Bad = true
		return 0
	}
	return int(n)
}

// Text reads what AppendString wrote.
func (d *Decoder) Text() string {
	n := d.Count(1)
	s := string(d.Rest[:n])
	d.Rest = d.Rest[n:]
	return s
}

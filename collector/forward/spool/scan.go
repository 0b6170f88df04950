package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// errSum is a payload that is not what was written.
var errSum = errors.New("checksum mismatch")

// scanner walks the records of a segment from off up to end, which may grow.
// Where there is no record it searches the next one.
type scanner struct {
	f        io.ReaderAt
	off, end int64

	header  [headerBytes]byte
	payload []byte
	window  []byte // only once there was damage
}

// record is a header with its place in the file.
type record struct {
	header
	at int64
}

// next moves behind the next record and returns it. io.EOF means that there is
// none before end; the scanner then stays behind the last one, so that it finds
// what is appended later.
func (c *scanner) next() (record, error) {
	for at := c.off; ; {
		h, ok, err := c.headerAt(at)
		if err != nil {
			return record{}, err
		}
		if ok {
			c.off = at + headerBytes + int64(h.length)
			return record{header: h, at: at}, nil
		}
		if at, err = c.search(at + 1); err != nil {
			return record{}, err
		}
	}
}

// headerAt tells whether a whole record begins at off. io.EOF means that there
// is no room for one.
func (c *scanner) headerAt(off int64) (header, bool, error) {
	if off+headerBytes > c.end {
		return header{}, false, io.EOF
	}
	if _, err := c.f.ReadAt(c.header[:], off); err != nil {
		return header{}, false, err
	}
	h, ok := parseHeader(c.header[:])
	return h, ok && off+headerBytes+int64(h.length) <= c.end, nil
}

// search returns the first offset from off on at which the two opening bytes of
// a header stand.
func (c *scanner) search(off int64) (int64, error) {
	if c.window == nil {
		c.window = make([]byte, 64<<10)
	}
	for off+headerBytes <= c.end {
		w := c.window[:min(int64(len(c.window)), c.end-off)]
		if _, err := c.f.ReadAt(w, off); err != nil {
			return 0, err
		}
		if i := bytes.Index(w, []byte{syncA, syncB}); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(w)) - 1 // the pair may lie across two windows
	}
	return 0, io.EOF
}

// read returns the payload of r, good until the next call.
func (c *scanner) read(r record) ([]byte, error) {
	if cap(c.payload) < int(r.length) {
		c.payload = make([]byte, r.length+r.length/4)
	}
	p := c.payload[:r.length]
	if _, err := c.f.ReadAt(p, r.at+headerBytes); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if checksum(p) != r.sum {
		return nil, errSum
	}
	return p, nil
}

package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// errSum is a payload that is not what was written.
var errSum = errors.New("checksum mismatch")

// walker walks the records of a segment from off up to end, which may grow.
// Where there is no record it searches the next one.
type walker struct {
	f        io.ReaderAt
	off, end int64

	header  [headerBytes]byte
	payload []byte
	window  []byte // only once there was damage
}

// record is a header with its place.
type record struct {
	header
	at      int64
	skipped int64 // bytes of damage before it
}

// next moves behind the next record and returns it. io.EOF means that there is
// none before end; the walker then stays behind the last one, so that it finds
// what is appended later.
func (w *walker) next() (record, error) {
	from := w.off
	for at := from; ; {
		h, ok, err := w.headerAt(at)
		if err != nil {
			return record{}, err
		}
		if ok {
			w.off = at + headerBytes + int64(h.length)
			return record{header: h, at: at, skipped: at - from}, nil
		}
		if at, err = w.search(at + 1); err != nil {
			return record{}, err
		}
	}
}

// headerAt tells whether a whole record begins at off. io.EOF means that there
// is no room for one.
func (w *walker) headerAt(off int64) (header, bool, error) {
	if off+headerBytes > w.end {
		return header{}, false, io.EOF
	}
	if _, err := w.f.ReadAt(w.header[:], off); err != nil {
		return header{}, false, err
	}
	h, ok := parseHeader(w.header[:])
	return h, ok && off+headerBytes+int64(h.length) <= w.end, nil
}

// search returns the first offset from off on at which the two opening bytes of
// a header stand.
func (w *walker) search(off int64) (int64, error) {
	if w.window == nil {
		w.window = make([]byte, 64<<10)
	}
	for off+headerBytes <= w.end {
		b := w.window[:min(int64(len(w.window)), w.end-off)]
		if _, err := w.f.ReadAt(b, off); err != nil {
			return 0, err
		}
		if i := bytes.Index(b, []byte{syncA, syncB}); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(b)) - 1 // the pair may lie across two windows
	}
	return 0, io.EOF
}

// read returns the payload of r, good until the next call.
func (w *walker) read(r record) ([]byte, error) {
	if cap(w.payload) < int(r.length) {
		w.payload = make([]byte, r.length+r.length/4)
	}
	p := w.payload[:r.length]
	if _, err := w.f.ReadAt(p, r.at+headerBytes); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if crc32.Checksum(p, castagnoli) != r.sum {
		return nil, errSum
	}
	return p, nil
}

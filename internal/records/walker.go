package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrSum is a payload that is not what was written.
var ErrSum = errors.New("checksum mismatch")

// Walker walks the records of a file from Off up to End, which may grow. Where
// there is no record it searches the next one.
type Walker struct {
	Format   Format
	File     io.ReaderAt
	Off, End int64

	header  [HeaderBytes]byte
	payload []byte
	window  []byte // only once there was damage
}

// Record is a header with its place.
type Record struct {
	Header
	At      int64 // offset of the header
	Skipped int64 // bytes of damage before it
}

// Next moves behind the next record and returns it. io.EOF means that there is
// none before End; the walker then stays behind the last one, so that it finds
// what is appended later.
func (w *Walker) Next() (Record, error) {
	from := w.Off
	for at := from; ; {
		h, ok, err := w.headerAt(at)
		if err != nil {
			return Record{}, err
		}
		if ok {
			w.Off = at + HeaderBytes + int64(h.Length)
			return Record{Header: h, At: at, Skipped: at - from}, nil
		}
		if at, err = w.search(at + 1); err != nil {
			return Record{}, err
		}
	}
}

// headerAt tells whether a whole record begins at off. io.EOF means that there
// is no room for one.
func (w *Walker) headerAt(off int64) (Header, bool, error) {
	if off+HeaderBytes > w.End {
		return Header{}, false, io.EOF
	}
	if _, err := w.File.ReadAt(w.header[:], off); err != nil {
		return Header{}, false, err
	}
	h, ok := w.Format.Parse(w.header[:])
	return h, ok && off+HeaderBytes+int64(h.Length) <= w.End, nil
}

// search returns the first offset from off on at which the two opening bytes of
// a header stand.
func (w *Walker) search(off int64) (int64, error) {
	if w.window == nil {
		w.window = make([]byte, 64<<10)
	}
	for off+HeaderBytes <= w.End {
		b := w.window[:min(int64(len(w.window)), w.End-off)]
		if _, err := w.File.ReadAt(b, off); err != nil {
			return 0, err
		}
		if i := bytes.Index(b, w.Format.Sync[:]); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(b)) - 1 // the pair may lie across two windows
	}
	return 0, io.EOF
}

// Read returns the payload of r, good until the next call. The error is ErrSum if
// it is damaged.
func (w *Walker) Read(r Record) ([]byte, error) {
	if cap(w.payload) < int(r.Length) {
		w.payload = make([]byte, r.Length+r.Length/4)
	}
	p := w.payload[:r.Length]
	if _, err := w.File.ReadAt(p, r.At+HeaderBytes); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if Checksum(p) != r.Sum {
		return nil, ErrSum
	}
	return p, nil
}

package spool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/records"
)

// A segment is a file of records, named after the number of its first record of
// samples. It stands alone: a label set is written before its first use in each.
//
// It opens with 32 bytes, written together with its first record: "plimfrwd",
// the version of the format, three zero bytes, the CRC32C of all others, and
// two little-endian integers, the number of its first record and the samples in
// all records before that.
const (
	formatVersion = 1
	segmentMagic  = "plimfrwd"
	segmentBytes  = 32 // of the opening
	segmentSuffix = ".fwd"
)

// Place is a place between two records of samples: the number of the record
// that comes next, and the samples in all records before it.
type Place struct {
	Number  uint64 `json:"number"`
	Samples uint64 `json:"samples"`
}

// since is how many samples lie between q and p; none if damage has put them in
// the wrong order.
func (p Place) since(q Place) uint64 {
	if p.Samples < q.Samples {
		return 0
	}
	return p.Samples - q.Samples
}

// on is q, reached from p: where damage has made q's count too low, p's holds.
func (p Place) on(q Place) Place { return Place{q.Number, max(p.Samples, q.Samples)} }

type segment struct {
	path        string
	first       Place
	size        int64 // bytes up to the end of its last record
	labels      int64 // of which are label sets
	begun, last time.Time

	file     *os.File // open for writing, or until synced
	unsynced bool
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// listSegments finds the segments of dir in order. Files with other names are
// left alone.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []*segment
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || first == 0 || e.Name() != segmentName(first) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		list = append(list, &segment{
			path: filepath.Join(dir, e.Name()), first: Place{Number: first}, size: info.Size(),
			begun: info.ModTime(), last: info.ModTime(),
		})
	}
	slices.SortFunc(list, func(a, b *segment) int { return cmp.Compare(a.first.Number, b.first.Number) })
	return list, nil
}

func createSegment(dir string, first Place, now time.Time) (*segment, error) {
	path := filepath.Join(dir, segmentName(first.Number))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &segment{path: path, first: first, file: f, begun: now, last: now}, nil
}

// appendOpening encodes what s opens with.
func (s *segment) appendOpening(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, segmentMagic...)
	dst = append(dst, formatVersion, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, s.first.Number)
	dst = binary.LittleEndian.AppendUint64(dst, s.first.Samples)
	binary.LittleEndian.PutUint32(dst[at+12:], openingSum(dst[at:]))
	return dst
}

func openingSum(b []byte) uint32 {
	return records.Checksum(append(slices.Clone(b[:12]), b[16:segmentBytes]...))
}

// parseOpening reads what a segment opens with. The version is 0 where that is
// damaged.
func parseOpening(b []byte) (version byte, first Place) {
	if len(b) < segmentBytes || string(b[:8]) != segmentMagic || binary.LittleEndian.Uint32(b[12:]) != openingSum(b) {
		return 0, Place{}
	}
	first = Place{binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])}
	if first.Number >= records.MaxNumber || first.Samples >= records.MaxNumber {
		return 0, Place{}
	}
	return b[8], first
}

// load reads what s opens with, and returns the version of its format: 0 if
// there is nothing or it is damaged. The number of samples before it then is
// what its first record says or, if that is damaged too, what the segment
// before it ends with.
func (s *segment) load(previous *segment) (version byte, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [segmentBytes]byte
	if _, err := io.ReadFull(f, b[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	version, first := parseOpening(b[:])
	if version > formatVersion {
		return version, nil
	}
	if version == formatVersion && first.Number == s.first.Number {
		s.first = first
		return version, nil
	}
	if h, err := s.firstSamples(f); err == nil && h.Number == s.first.Number {
		s.first = placeOf(h)
		return 0, nil
	}
	if previous != nil {
		end, err := previous.end()
		s.first.Samples = end.Samples
		return 0, err
	}
	return 0, nil
}

func (s *segment) firstSamples(f io.ReaderAt) (records.Header, error) {
	c := records.Walker{Format: format, File: f, End: s.size}
	for {
		r, err := c.Next()
		if err != nil || r.Kind == kindSamples {
			return r.Header, err
		}
	}
}

// end is the place behind the last record of s.
func (s *segment) end() (Place, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return s.first, err
	}
	defer f.Close()
	at := s.first
	c := records.Walker{Format: format, File: f, Off: segmentBytes, End: s.size}
	for {
		r, err := c.Next()
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
		if r.Kind == kindSamples && r.Number >= at.Number {
			at = placeAfter(r.Header)
		}
	}
}

// cut takes off what a kill has left of the last write, and returns the place
// behind the rest.
func (s *segment) cut(log *slog.Logger) (Place, error) {
	f, err := os.OpenFile(s.path, os.O_RDWR, 0o600)
	if err != nil {
		return s.first, err
	}
	defer f.Close()
	at, end := s.first, int64(0)
	c := records.Walker{Format: format, File: f, Off: segmentBytes, End: s.size}
	for {
		r, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return at, err
		}
		end = c.Off
		if r.Kind == kindSamples && r.Number >= at.Number {
			at = placeAfter(r.Header)
		}
	}
	if end < s.size {
		log.Warn("cutting off the torn end of the forward spool", "file", s.path, "offset", end, "bytes", s.size-end)
	}
	s.size = end
	return at, f.Truncate(end)
}

// remove deletes the file. Its space is free at once, even while a Reader has
// it open.
func (s *segment) remove() error {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	return errors.Join(os.Truncate(s.path, 0), os.Remove(s.path))
}

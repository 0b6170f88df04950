package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/records"
)

// A segment is a file of records, named after the number of its first batch. It
// stands alone: a group is defined before its first use in each.
//
// It opens with 32 bytes, written together with its first record: "plimsoll",
// the version of the format, three zero bytes, the CRC32C of all others, and
// two little-endian integers, the number of its first batch and the samples in
// all batches before that.
const (
	formatVersion = 1
	segmentMagic  = "plimsoll"
	segmentBytes  = 32 // of the opening
	segmentSuffix = ".seg"
)

type segment struct {
	path   string
	first  uint64 // number of its first batch
	before uint64 // samples in all batches before it
	size   int64  // bytes up to the end of its last record

	file     *os.File // open for writing, or until synced
	unsynced bool
	acked    time.Time // when all collectors had all of it; zero before
	damage   map[place]loss
}

// place is where damage was found: at an offset, or, for orphans, in the batch
// there: samples whose group was defined in what is damaged.
type place struct {
	at      int64
	orphans bool
}

// loss is what a stretch of damage has cost: batches from the number first on,
// and samples.
type loss struct{ first, batches, samples uint64 }

func segmentName(first uint64) string {
	return fmt.Sprintf("%020d%s", first, segmentSuffix)
}

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
		if !ok || err != nil || first == 0 || first >= records.MaxNumber || e.Name() != segmentName(first) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		list = append(list, &segment{path: filepath.Join(dir, e.Name()), first: first, size: info.Size()})
	}
	slices.SortFunc(list, func(a, b *segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return list, nil
}

func createSegment(dir string, first, before uint64) (*segment, error) {
	path := filepath.Join(dir, segmentName(first))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &segment{path: path, first: first, before: before, file: f}, nil
}

// appendOpening encodes what s opens with.
func (s *segment) appendOpening(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, segmentMagic...)
	dst = append(dst, formatVersion, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, s.first)
	dst = binary.LittleEndian.AppendUint64(dst, s.before)
	binary.LittleEndian.PutUint32(dst[at+12:], openingSum(dst[at:]))
	return dst
}

func openingSum(b []byte) uint32 {
	return records.Checksum(append(slices.Clone(b[:12]), b[16:segmentBytes]...))
}

// parseOpening reads what a segment opens with. The version is 0 where that is
// damaged.
func parseOpening(b []byte) (version byte, first, before uint64) {
	if len(b) < segmentBytes || string(b[:8]) != segmentMagic || binary.LittleEndian.Uint32(b[12:]) != openingSum(b) {
		return 0, 0, 0
	}
	first, before = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	if first >= records.MaxNumber || before >= records.MaxNumber {
		return 0, 0, 0
	}
	return b[8], first, before
}

// load reads what s opens with, and returns the version of its format: 0 if
// there is nothing or it is damaged. The number of samples before it then is
// what its first batch says or, if that is damaged too, what the segment before
// it ends with.
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
	version, first, before := parseOpening(b[:])
	switch {
	case version > formatVersion:
	case version == formatVersion && first == s.first:
		s.before = before
	default:
		version = 0
		if r, err := s.batchFrom(f, 0); err == nil && r.Number == s.first {
			s.before = r.Before
		} else if previous != nil {
			s.before, err = previous.samplesAfter()
			return version, err
		}
	}
	return version, nil
}

// samplesAfter is the number of samples in all batches up to the end of s.
func (s *segment) samplesAfter() (uint64, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	total := s.before
	w := records.Walker{Format: format, File: f, Off: segmentBytes, End: s.size}
	for {
		r, err := w.Next()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return 0, err
		}
		if r.Kind == kindBatch {
			_, total = r.Next()
		}
	}
}

// batchFrom returns the first record of a batch numbered seq or above.
func (s *segment) batchFrom(f io.ReaderAt, seq uint64) (records.Record, error) {
	w := records.Walker{Format: format, File: f, Off: segmentBytes, End: s.size}
	for {
		r, err := w.Next()
		if err != nil || r.Kind == kindBatch && r.Number >= seq {
			return r, err
		}
	}
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

package spool

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/internal/records"
)

// ErrClosed is returned by a spool that has been closed.
var ErrClosed = errors.New("spool is closed")

// Reason is why samples never reached a reader.
type Reason string

// The reasons.
const (
	Overflow Reason = "overflow"     // the spool was over its bound in bytes
	Expired  Reason = "expired"      // nobody read them within the spool's age
	DiskFull Reason = "disk_full"    // they made room on a full disk, or found none
	Failed   Reason = "write_failed" // the disk would not take them, for another cause
	Damaged  Reason = "damaged"      // what is on disk is not what was written
	Missing  Reason = "missing"      // their segment had gone when the spool was opened
)

// Options say where a spool lives and how large and old it may grow.
type Options struct {
	Dir          string
	MaxBytes     int64         // of all segments; default 2 GiB
	MaxAge       time.Duration // of what is in a segment; default 24 h
	SegmentBytes int64         // at which a segment is full; default and at most MaxBytes/32, within 64 KiB and 64 MiB
	Log          *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	o.MaxBytes = cmp.Or(o.MaxBytes, 2<<30)
	o.MaxAge = cmp.Or(o.MaxAge, 24*time.Hour)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, max(64<<10, min(o.MaxBytes/32, 64<<20)))
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dir == "" || o.SegmentBytes <= 0 || o.MaxBytes < 4*o.SegmentBytes || o.MaxAge <= 0 {
		return o, fmt.Errorf("it needs a directory, an age, and room for 4 segments of %d bytes at least", o.SegmentBytes)
	}
	return o, nil
}

// Stats are what a spool holds and has counted since it was opened.
type Stats struct {
	Bytes       int64
	Limit       int64 // of Bytes
	Segments    int
	Oldest      time.Time // when the oldest segment was begun
	Appended    uint64    // samples written
	WriteErrors uint64
	SyncErrors  uint64
}

// Spool is a bounded log of samples. Its methods may be called concurrently.
type Spool struct {
	opts Options
	lock *os.File

	syncing sync.Mutex // one at a time: the second must not return before the first

	mu       sync.Mutex
	segments []*segment // in order; the last is written to
	next     Place      // of the next record
	durable  Place      // up to which all is on stable storage
	refs     map[labels.Labels]uint32
	sets     []labels.Labels // of the last segment, by reference
	runs     []run
	buf, raw []byte
	torn     bool // bytes of a failed write lie behind the last segment's size
	dirDirty bool
	failing  bool // the last write failed
	readers  map[string]*Reader
	places   map[string]Place // of readers, as found on disk
	saved    places           // as last written to disk
	stats    Stats
	closed   bool
}

// Open opens the spool in opts.Dir, which it makes if need be. It cuts off what
// a killed process left half written.
func Open(opts Options) (*Spool, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open forward spool: %w", err)
	}
	s := &Spool{opts: opts, refs: map[labels.Labels]uint32{}, readers: map[string]*Reader{}}
	if err := s.open(); err != nil {
		if s.lock != nil {
			s.lock.Close()
		}
		if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOTDIR) {
			err = fmt.Errorf("%w: let user id %d write there, or choose another directory", err, os.Getuid())
		}
		return nil, fmt.Errorf("open forward spool %s: %w", opts.Dir, err)
	}
	return s, nil
}

func (s *Spool) open() error {
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.lock, err = records.Claim(s.opts.Dir); err != nil {
		return err
	}
	if err := durable.DropTorn(filepath.Join(s.opts.Dir, placesName)); err != nil {
		s.opts.Log.Warn("what a crash has left in the spool's directory cannot be removed", "dir", s.opts.Dir, "err", err)
	}
	if s.saved, err = readPlaces(s.opts.Dir); err != nil {
		s.opts.Log.Warn("what was sent up to where cannot be read: everything the spool holds is sent once more", "dir", s.opts.Dir, "err", err)
	}
	version, err := s.load()
	if err != nil {
		return err
	}
	if version = max(version, s.saved.Version); version > formatVersion {
		aside, err := records.MoveAside(s.opts.Dir, time.Now())
		if err != nil {
			return fmt.Errorf("move a spool of version %d aside: %w", version, err)
		}
		s.opts.Log.Warn("spool was written by a newer version and has been moved aside; start that version on the directory to have it sent",
			"version", version, "supported", formatVersion, "dir", aside)
		s.saved, s.segments = places{}, nil
	}
	s.places = maps.Clone(s.saved.Readers)
	return s.openLast()
}

// load finds the segments and returns the newest version among them.
func (s *Spool) load() (version int, err error) {
	if s.segments, err = listSegments(s.opts.Dir); err != nil {
		return 0, err
	}
	var previous *segment
	for _, seg := range s.segments {
		v, err := seg.load(previous)
		if err != nil {
			return 0, err
		}
		if v == 0 && seg.size > 0 {
			s.opts.Log.Warn("segment of the forward spool is damaged", "file", seg.path, "offset", 0)
		}
		version, previous = max(version, int(v)), seg
	}
	return version, nil
}

// openLast finds the end of what is there and begins a segment behind it: the
// label sets of the last one are not in memory. What was on stable storage and
// is not there any more leaves a gap in the numbers, by which readers count it.
func (s *Spool) openLast() error {
	s.next = Place{Number: 1}
	if n := len(s.segments); n > 0 {
		seg := s.segments[n-1]
		end, err := seg.cut(s.opts.Log)
		if err != nil {
			return err
		}
		s.next = end
	}
	if saved := s.saved.Next; saved.Number >= s.next.Number {
		s.next = saved
	}
	s.durable = s.next
	for len(s.segments) > 0 && s.last().first.Number >= s.next.Number { // it holds nothing
		if err := s.last().remove(); err != nil {
			return err
		}
		s.segments = s.segments[:len(s.segments)-1]
	}
	return s.begin(time.Now())
}

// Stats returns what the spool holds and has counted.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Segments, st.Bytes, st.Limit, st.Oldest = len(s.segments), s.bytes(), s.opts.MaxBytes, s.segments[0].begun
	return st
}

func (s *Spool) last() *segment { return s.segments[len(s.segments)-1] }

func (s *Spool) bytes() int64 {
	var n int64
	for _, seg := range s.segments {
		n += seg.size
	}
	return n
}

// Sync returns once all that was appended before is on stable storage.
func (s *Spool) Sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	var dirty []*segment
	var files []*os.File
	for _, seg := range s.segments {
		if seg.unsynced && seg.file != nil {
			seg.unsynced = false
			dirty, files = append(dirty, seg), append(files, seg.file)
		}
	}
	upTo, dirDirty := s.next, s.dirDirty
	s.dirDirty = false
	s.mu.Unlock()

	var errs []error
	for i, f := range files {
		err := f.Sync()
		if errors.Is(err, os.ErrClosed) {
			continue // deleted meanwhile
		}
		errs = append(errs, err)
		s.synced(dirty[i], err)
	}
	if dirDirty {
		errs = append(errs, durable.SyncDir(s.opts.Dir))
	}
	err := errors.Join(errs...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.stats.SyncErrors++
		s.dirDirty = s.dirDirty || dirDirty
		return fmt.Errorf("sync forward spool %s: %w", s.opts.Dir, err)
	}
	if upTo.Number > s.durable.Number {
		s.durable = upTo
	}
	return nil
}

// synced closes seg if nothing more is written to it.
func (s *Spool) synced(seg *segment, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		seg.unsynced = true
	} else if seg != s.last() && seg.file != nil && !seg.unsynced {
		seg.file.Close()
		seg.file = nil
	}
}

// Close brings all to the disk, notes how far each reader has come, and ends
// the spool. A Reader that waits returns ErrClosed.
func (s *Spool) Close() error {
	err := errors.Join(s.Sync(), s.Save())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.wake()
	for _, seg := range s.segments {
		if seg.file != nil {
			err = errors.Join(err, seg.file.Close())
		}
	}
	if err = errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close forward spool %s: %w", s.opts.Dir, err)
	}
	return nil
}

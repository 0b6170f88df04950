// Package spool keeps an agent's batches on disk from the moment they are read
// until every collector has them, and for a while after, for one that loses its
// own disk.
//
// It is a log in segments, bounded in bytes. A batch is appended with one
// write, so that it survives the death of the process at once, and reaches the
// disk itself within a second (Run). What is over the bound goes, oldest first;
// what is damaged is stepped over; both are counted to the sample.
package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/internal/records"
)

// ErrClosed is returned by a spool that has been closed.
var ErrClosed = errors.New("spool is closed")

// Options say where a spool lives and how large it may grow.
type Options struct {
	Dir          string
	MaxBytes     int64 // of all segments; default 512 MiB
	SegmentBytes int64 // at which a segment is full; default 8 MiB, at most MaxBytes/4
	// Keep is how long batches stay that all collectors have, within MaxBytes;
	// default 2 h, not at all if negative.
	Keep time.Duration
	// BootID is the kernel's boot id. It tells a crash of the machine from
	// that of the process; empty if unknown.
	BootID string
	Log    *slog.Logger
}

// Stats are what a spool counts, since it was opened.
type Stats struct {
	Oldest, Next uint64 // number of the oldest batch held, and of the next to come
	Acked        uint64 // all collectors have all batches up to this one
	Bytes        int64
	Limit        int64 // of Bytes
	Segments     int
	Kept         uint64 // batches held that all collectors have,
	KeptBytes    int64  // and what they take

	Appended   Count // batches written
	Failed     Count // not written, because the disk would not take them
	Dropped    Count // removed unacknowledged to stay within the bound or to make room on a full disk
	Damaged    Count // damaged on disk; counted when a Reader comes to the place
	SyncErrors uint64
}

// Count is a number of batches and of the samples in them.
type Count struct{ Batches, Samples uint64 }

func (c *Count) add(batches, samples uint64) {
	c.Batches += batches
	c.Samples += samples
}

// Spool is a bounded log of batches. Its methods may be called concurrently.
type Spool struct {
	opts Options
	lock *os.File

	mu       sync.Mutex
	id       identity
	segments []*segment               // in order; the last is written to
	next     uint64                   // number of the next batch
	total    uint64                   // samples in all batches so far
	refs     map[*sample.Group]uint64 // groups defined in the last segment
	lastRef  uint64
	fresh    []*sample.Group // defined by the batch being written
	buf      []byte
	torn     bool // bytes of a failed write lie behind the last segment's size
	dirDirty bool
	readers  map[*Reader]struct{}
	stats    Stats

	cursors      map[string]*Cursor // in use, by name
	remembered   map[string]*Cursor // from earlier runs
	cursorsDirty bool

	closed bool
}

// Open opens the spool in opts.Dir, which it makes if need be. It cuts off what
// a killed process left half written, and starts nothing: see Run.
func Open(opts Options) (*Spool, error) {
	opts.MaxBytes = cmp.Or(opts.MaxBytes, 512<<20)
	opts.SegmentBytes = min(cmp.Or(opts.SegmentBytes, 8<<20), opts.MaxBytes/4)
	opts.Keep = cmp.Or(opts.Keep, 2*time.Hour)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Dir == "" || opts.SegmentBytes <= 0 {
		return nil, errors.New("open spool: it needs a directory and a bound of some bytes")
	}
	s := &Spool{opts: opts, refs: map[*sample.Group]uint64{}, readers: map[*Reader]struct{}{}, cursors: map[string]*Cursor{}}
	if err := s.open(); err != nil {
		if s.lock != nil {
			s.lock.Close()
		}
		if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOTDIR) {
			err = fmt.Errorf("%w: let user id %d write there, or choose another directory", err, os.Getuid())
		}
		return nil, fmt.Errorf("open spool %s: %w", opts.Dir, err)
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
	if err := durable.DropTorn(filepath.Join(s.opts.Dir, identityName)); err != nil {
		s.opts.Log.Warn("what a crash has left in the spool's directory cannot be removed", "dir", s.opts.Dir, "err", err)
	}
	if s.id, err = readIdentity(s.opts.Dir); err != nil {
		return err
	}
	if s.remembered, err = readCursors(s.opts.Dir); err != nil {
		return err
	}
	version, err := s.load()
	if err != nil {
		return err
	}
	if version = max(version, s.id.version); version > formatVersion {
		aside, err := records.MoveAside(s.opts.Dir, time.Now())
		if err != nil {
			return fmt.Errorf("move a spool of version %d aside: %w", version, err)
		}
		s.opts.Log.Warn("spool was written by a newer agent and has been moved aside; start that version on the directory to have it sent",
			"version", version, "supported", formatVersion, "dir", aside)
		s.id, s.segments, s.remembered = identity{}, nil, nil
	}
	whole, err := s.openLast()
	if err != nil {
		return err
	}
	if s.id.id == "" || s.id.lost(s.opts.BootID) || !whole {
		s.id.id = uuid.NewString()
		s.renewed()
	}
	s.id.state = "open " + s.opts.BootID
	return s.id.write(s.opts.Dir)
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
			s.opts.Log.Warn("spool segment is damaged", "file", seg.path, "offset", 0)
		}
		version, previous = max(version, int(v)), seg
	}
	return version, nil
}

// openLast makes the last segment ready for writing, or a first one. It returns
// false if batches may have been sent under the numbers that come next: the
// spool then needs a new identity, under which the collector takes all that is
// held once more and recognises it sample by sample.
func (s *Spool) openLast() (whole bool, err error) {
	if len(s.segments) == 0 {
		s.next = 1
		return false, s.start()
	}
	seg := s.segments[len(s.segments)-1]
	if seg.file, err = os.OpenFile(seg.path, os.O_RDWR, 0o600); err != nil {
		return false, err
	}
	s.next, s.total = seg.first, seg.before
	end, whole := int64(0), true
	w := records.Walker{Format: format, File: seg.file, Off: segmentBytes, End: seg.size}
	for {
		r, err := w.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
		end = w.Off
		whole = whole && r.Skipped == 0
		switch r.Kind {
		case kindBatch:
			s.next, s.total = r.Next()
			whole = true // whatever came before it
		case kindGroup:
			// Groups are defined anew behind what is there, because this
			// process has others, under references of their own.
			s.lastRef = max(s.lastRef, r.Number)
		}
	}
	if rest := seg.size - max(end, segmentBytes); rest > 0 {
		// A kill leaves the front of the last write: a header that is whole
		// with less than it promises, or less than a header.
		if torn := make([]byte, records.HeaderBytes); rest >= records.HeaderBytes {
			if _, err := seg.file.ReadAt(torn, seg.size-rest); err != nil {
				return false, err
			}
			_, ok := format.Parse(torn)
			whole = whole && ok
		}
		s.opts.Log.Warn("cutting off the torn end of the spool", "file", seg.path, "offset", end, "bytes", rest)
	}
	seg.size = end
	return whole, seg.file.Truncate(end)
}

// ID is the UUID within which the numbers of batches are unique.
func (s *Spool) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id.id
}

// Renew gives the spool another ID. It is for a collector that knows more
// batches under the ID than the spool has ever held: a copy of the directory
// was put back, and the numbers have been given twice.
func (s *Spool) Renew() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id.id = uuid.NewString()
	s.renewed()
	if err := s.id.write(s.opts.Dir); err != nil {
		return fmt.Errorf("renew spool %s: %w", s.opts.Dir, err)
	}
	return nil
}

// Oldest is the number of the oldest batch held; NextSeq if there is none.
func (s *Spool) Oldest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments[0].first
}

// NextSeq is the number that the next batch will have.
func (s *Spool) NextSeq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Stats returns what the spool holds and has counted.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Oldest, st.Next, st.Acked, st.Segments = s.segments[0].first, s.next, s.acked(), len(s.segments)
	st.Bytes, st.Limit = s.bytes(), s.opts.MaxBytes
	st.Kept, st.KeptBytes = s.kept()
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

// Run brings what is written to the disk once a second, aside of Append, so
// that a slow disk delays no tick, and deletes what has been kept for long
// enough. It returns when ctx ends.
func (s *Spool) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Sync(); err != nil {
				s.opts.Log.Error("spool is not safe on disk; check the disk", "dir", s.opts.Dir, "err", err)
			}
			s.saveCursors()
			s.mu.Lock()
			s.release()
			s.mu.Unlock()
		}
	}
}

// Sync brings to the disk what has been appended before.
func (s *Spool) Sync() error {
	s.mu.Lock()
	var dirty []*segment
	for _, seg := range s.segments {
		if seg.unsynced {
			seg.unsynced = false
			dirty = append(dirty, seg)
		}
	}
	dirDirty := s.dirDirty
	s.dirDirty = false
	files := make([]*os.File, len(dirty))
	for i, seg := range dirty {
		files[i] = seg.file
	}
	s.mu.Unlock()

	var errs []error
	for i, f := range files {
		err := f.Sync()
		if errors.Is(err, os.ErrClosed) {
			continue // deleted meanwhile
		}
		if err != nil {
			errs = append(errs, err)
		}
		s.synced(dirty[i], err)
	}
	if dirDirty {
		errs = append(errs, durable.SyncDir(s.opts.Dir))
	}
	return errors.Join(errs...)
}

// synced closes seg if nothing more is written to it.
func (s *Spool) synced(seg *segment, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.stats.SyncErrors++
		seg.unsynced = true
	} else if seg != s.last() && seg.file != nil && !seg.unsynced {
		seg.file.Close()
		seg.file = nil
	}
}

// Close brings all to the disk and ends the spool. A Reader that waits returns
// ErrClosed.
func (s *Spool) Close() error {
	err := s.Sync()
	s.saveCursors()
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
	if err == nil {
		s.id.state = "closed"
		err = s.id.write(s.opts.Dir)
	}
	err = errors.Join(err, s.lock.Close())
	if err != nil {
		return fmt.Errorf("close spool %s: %w", s.opts.Dir, err)
	}
	return nil
}

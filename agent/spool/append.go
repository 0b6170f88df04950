package spool

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/records"
)

// Append writes b under the next number. It keeps nothing of b but the
// identity of its groups, until they end.
//
// A batch that cannot be written is lost, counted, and takes no number; the
// next one is tried as if nothing had been. On a full disk the oldest segment
// makes room: fresh data is worth more than old.
func (s *Spool) Append(b *sample.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	samples := uint64(b.Len())
	err := s.append(b, samples)
	if noSpace(err) && s.makeRoom() {
		err = s.append(b, samples)
	}
	if err != nil {
		s.stats.Failed.add(1, samples)
		return fmt.Errorf("append to spool %s: %w", s.opts.Dir, err)
	}
	s.stats.Appended.add(1, samples)
	s.wake()
	s.trim()
	return nil
}

func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// append writes b and, before it, the groups that this segment has not seen.
func (s *Spool) append(b *sample.Batch, samples uint64) error {
	if err := s.ready(); err != nil {
		return err
	}
	seg := s.last()
	definitions := s.encode(seg, b, samples)
	if _, err := seg.file.WriteAt(s.buf, seg.size); err != nil {
		for _, g := range s.fresh {
			delete(s.refs, g)
		}
		s.torn = true
		s.cut()
		return err
	}
	seg.size += int64(len(s.buf))
	if definitions > 64<<10 && definitions > len(s.buf)/2 {
		s.buf = nil // the batches that follow need a fraction of it
	}
	seg.unsynced = true
	s.next++
	s.total += samples
	for _, g := range b.Ended {
		delete(s.refs, g)
	}
	return nil
}

// ready sees to it that there is a segment with room and a clean end.
func (s *Spool) ready() error {
	if s.torn {
		s.cut()
	}
	if s.torn || s.last().size >= s.opts.SegmentBytes {
		return s.start()
	}
	return nil
}

// cut takes off what a failed write has left. If even that fails, the next
// batch goes to a new segment: readers never look beyond a segment's size.
func (s *Spool) cut() {
	seg := s.last()
	s.torn = seg.file.Truncate(seg.size) != nil
}

// start begins a new segment.
func (s *Spool) start() error {
	seg, err := createSegment(s.opts.Dir, s.next, s.total)
	if err != nil {
		return err
	}
	if n := len(s.segments); n > 0 {
		full := s.last()
		if full.first == seg.first {
			// It holds no batch: the new one has taken its place.
			s.segments = s.segments[:n-1]
			full.unsynced = false
		}
		if !full.unsynced {
			full.file.Close()
			full.file = nil
		}
	}
	s.segments = append(s.segments, seg)
	clear(s.refs)
	s.lastRef, s.torn, s.dirDirty = 0, false, true
	return nil
}

// encode puts into s.buf what is to be written, and returns how much of it are
// the definitions before the batch.
func (s *Spool) encode(seg *segment, b *sample.Batch, samples uint64) (definitions int) {
	s.buf, s.fresh = s.buf[:0], s.fresh[:0]
	if seg.size == 0 {
		s.buf = seg.appendOpening(s.buf)
	}
	for _, c := range b.Columns {
		s.define(c.Group)
	}
	for _, g := range b.Ended {
		s.define(g)
	}
	at := len(s.buf)
	s.buf = appendBatch(records.Begin(s.buf), b, s.refs)
	s.buf = format.Finish(s.buf, at, records.Header{Kind: kindBatch, Count: uint32(samples), Number: s.next, Before: s.total})
	return at
}

func (s *Spool) define(g *sample.Group) {
	if _, known := s.refs[g]; known {
		return
	}
	s.lastRef++
	s.refs[g] = s.lastRef
	s.fresh = append(s.fresh, g)
	at := len(s.buf)
	s.buf = appendGroup(records.Begin(s.buf), g)
	s.buf = format.Finish(s.buf, at, records.Header{Kind: kindGroup, Number: s.lastRef, Before: s.total})
}

// wake lets the readers that wait look again.
func (s *Spool) wake() {
	for r := range s.readers {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

package spool

import (
	"os"
	"time"
)

// release notes which segments all collectors have, and deletes those that they
// have had for long enough. s.mu is held.
func (s *Spool) release() {
	now, acked := time.Now(), s.acked()
	for i, seg := range s.segments[:len(s.segments)-1] {
		if s.segments[i+1].first > acked+1 {
			break
		}
		if seg.acked.IsZero() {
			seg.acked = now
		}
	}
	for len(s.segments) > 1 {
		if at := s.segments[0].acked; at.IsZero() || now.Sub(at) < s.opts.Keep {
			return
		}
		s.removeOldest()
	}
}

// kept are the batches and bytes that are held though all collectors have them.
// s.mu is held.
func (s *Spool) kept() (batches uint64, bytes int64) {
	for i, seg := range s.segments[:len(s.segments)-1] {
		if seg.acked.IsZero() {
			break
		}
		batches += s.segments[i+1].first - seg.first
		bytes += seg.size
	}
	return batches, bytes
}

// trim keeps the spool within its bound. The segment that is written to stays.
func (s *Spool) trim() {
	for len(s.segments) > 1 && s.bytes() > s.opts.MaxBytes {
		s.dropOldest("spool is over its bound and drops its oldest batches")
	}
}

// makeRoom gives up the oldest segment to a disk that is full, and tells
// whether it did.
func (s *Spool) makeRoom() bool {
	if len(s.segments) == 1 {
		if s.last().size == 0 || s.start() != nil {
			return false
		}
	}
	s.dropOldest("disk is full and the spool drops its oldest batches; free some space")
	return true
}

// dropOldest removes the oldest segment and counts what of it some collector
// has not acknowledged.
func (s *Spool) dropOldest(why string) {
	seg, following := s.segments[0], s.segments[1]
	if first := max(seg.first, s.acked()+1); first < following.first {
		batches := following.first - first
		samples := following.before - s.samplesBefore(seg, following, first)
		for _, l := range seg.damage {
			if l.first >= first { // lost before, and counted
				batches -= l.batches
				samples -= l.samples
			}
		}
		s.stats.Dropped.add(batches, samples)
		s.opts.Log.Warn(why, "dir", s.opts.Dir, "batches", batches, "samples", samples)
	}
	s.removeOldest()
}

// samplesBefore is the number of samples in all batches before seq, which lies
// in seg.
func (s *Spool) samplesBefore(seg, following *segment, seq uint64) uint64 {
	if seq == seg.first {
		return seg.before
	}
	f, err := os.Open(seg.path)
	if err != nil {
		return seg.before
	}
	defer f.Close()
	r, err := seg.batchFrom(f, seq)
	if err != nil { // damaged up to its end
		return following.before
	}
	return r.Before
}

func (s *Spool) removeOldest() {
	seg := s.segments[0]
	if err := seg.remove(); err != nil {
		s.opts.Log.Warn("cannot delete a spool segment; delete it by hand once the disk is well", "file", seg.path, "err", err)
	}
	s.segments = s.segments[1:]
}

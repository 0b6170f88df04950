package spool

import "time"

// trim keeps the spool within its bound in bytes. The segment that is written
// to stays.
func (s *Spool) trim() {
	for len(s.segments) > 1 && s.bytes() > s.opts.MaxBytes {
		s.dropOldest(Overflow, "forward spool is over its bound and drops its oldest samples; give it more room, or see to the target that is behind")
	}
}

// makeRoom gives up the oldest segment to a disk that is full, and tells
// whether it did.
func (s *Spool) makeRoom(now time.Time) bool {
	if len(s.segments) == 1 {
		if s.last().size == 0 || s.begin(now) != nil {
			return false
		}
	}
	s.dropOldest(DiskFull, "disk is full and the forward spool drops its oldest samples; free some space")
	return true
}

// Expire gives up the segments that hold nothing younger than the spool's age.
func (s *Spool) Expire() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if seg := s.last(); seg.size > 0 && now.Sub(seg.last) > s.opts.MaxAge && s.begin(now) != nil {
		return
	}
	for len(s.segments) > 1 && now.Sub(s.segments[0].last) > s.opts.MaxAge {
		s.dropOldest(Expired, "forward spool drops samples that have waited too long; see to the target that is behind")
	}
	s.release()
	s.wake()
}

// dropOldest removes the oldest segment and counts for each reader what of it
// the reader has not read.
func (s *Spool) dropOldest(reason Reason, why string) {
	following := s.segments[1].first
	for name, r := range s.readers {
		r.why = reason
		if r.next.Number >= following.Number {
			continue
		}
		n := following.since(r.next)
		r.lost[reason] += n
		r.gone += n
		r.next = r.next.on(following)
		r.dropped = r.next
		s.opts.Log.Warn(why, "endpoint", name, "dir", s.opts.Dir, "samples", n)
	}
	s.removeOldest()
}

// release removes the segments that every reader has dealt with, once that is
// noted: after a kill in between they would look lost.
func (s *Spool) release() {
	for len(s.segments) > 1 {
		following := s.segments[1].first.Number
		for name, r := range s.readers {
			if min(r.committed.Number, s.saved.Readers[name].Number) < following {
				return
			}
		}
		s.removeOldest()
	}
}

func (s *Spool) removeOldest() {
	seg := s.segments[0]
	if err := seg.remove(); err != nil {
		s.opts.Log.Warn("cannot delete a segment of the forward spool; delete it by hand once the disk is well", "file", seg.path, "err", err)
	}
	s.segments = s.segments[1:]
}

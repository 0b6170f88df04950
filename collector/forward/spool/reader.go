package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/internal/records"
)

// Record is what one Append has written, or a part of it. Its slices belong to
// the Reader and are good until its next call.
type Record struct {
	At, Arrived int64 // of the samples, and when they were appended; in ms
	Segment     uint64
	Refs        []uint32 // of series, good within the segment: see Reader.Labels
	Values      []float64
	Damaged     uint64 // samples that were lost before this record and in it
	End         Place  // behind it
}

// Reader reads a spool's records in order, following what is appended. A reader
// has a name, under which its place is kept from one process to the next.
// Next, Labels and Rewind are for one goroutine at a time.
type Reader struct {
	spool *Spool
	wake  chan struct{}

	// Guarded by the spool's lock.
	committed Place             // up to here all has been dealt with
	next      Place             // of the record that is read next
	dropped   Place             // behind what was dropped last before it was read
	gone      uint64            // samples dropped unread between committed and next
	carry     uint64            // damaged samples before next, not yet told of
	why       Reason            // something was dropped last
	lost      map[Reason]uint64 // samples, since the spool was opened
	ended     bool

	segment uint64 // that is open
	f       *os.File
	walker  records.Walker
	sets    map[uint32]labels.Labels
	record  Record
}

// SetReaders says which readers there are from now on. What is only there for
// another is deleted, and its place forgotten. A new one begins with the oldest
// samples held, so that whoever is renamed misses nothing.
func (s *Spool) SetReaders(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, r := range s.readers {
		if !slices.Contains(names, name) {
			r.ended = true
			delete(s.readers, name)
		}
	}
	for _, name := range names {
		if s.readers[name] == nil {
			s.readers[name] = s.newReader(name)
		}
	}
	s.places = nil
	s.release()
}

func (s *Spool) newReader(name string) *Reader {
	r := &Reader{spool: s, wake: make(chan struct{}, 1), lost: map[Reason]uint64{}, sets: map[uint32]labels.Labels{}}
	oldest := s.segments[0].first
	place, known := s.places[name]
	switch {
	case !known, place.Number > s.next.Number:
		place = oldest
	case place.Number < oldest.Number:
		r.lost[Missing] = oldest.since(place)
		place = place.on(oldest)
	}
	r.committed, r.next = place, place
	return r
}

// Reader returns the reader of that name, or nil.
func (s *Spool) Reader(name string) *Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readers[name]
}

// Pending is how many samples wait for the reader, those on their way included.
func (r *Reader) Pending() uint64 {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	n := r.spool.next.since(r.committed)
	return n - min(n, r.gone)
}

// End is the place behind all that was appended so far.
func (s *Spool) End() Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Done tells whether all records before a place have been dealt with.
func (r *Reader) Done(end Place) bool {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	return r.committed.Number >= end.Number
}

// Lost is how many samples have been dropped before the reader came to them,
// since the spool was opened. Damage is told of in the records instead.
func (r *Reader) Lost() map[Reason]uint64 {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	return maps.Clone(r.lost)
}

// Commit says that all records up to there have been dealt with. What no reader
// needs any more goes with the next Save.
func (r *Reader) Commit(end Place) {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	if end.Number <= r.committed.Number || r.ended {
		return
	}
	if end.Number > r.dropped.Number {
		r.gone = 0
	}
	r.committed = end
}

// Rewind goes back to what has not been dealt with, and lets go of the file that
// is open.
func (r *Reader) Rewind() {
	r.close()
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	if oldest := r.spool.segments[0].first; r.committed.Number < oldest.Number {
		n := oldest.since(r.committed)
		r.lost[r.why] += n - min(n, r.gone)
		r.committed = r.committed.on(oldest)
	}
	r.next, r.gone, r.carry = r.committed, 0, 0
}

func (r *Reader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
	r.segment = 0
	clear(r.sets)
}

// Labels is the label set of a reference in the record returned last.
func (r *Reader) Labels(ref uint32) labels.Labels { return r.sets[ref] }

// Next returns the next record that is whole; it waits until there is one. It
// returns ctx's error when ctx ends, and ErrClosed when the spool has been.
func (r *Reader) Next(ctx context.Context) (*Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := r.look()
		if err != nil {
			return nil, err
		}
		if err := r.openSegment(v); err != nil {
			return nil, err
		}
		switch rec, err := r.scan(v); {
		case err != nil:
			return nil, err
		case rec != nil:
			return rec, nil
		case v.sealed:
			r.skip(v)
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		}
	}
}

// view is the segment that holds what is read next, as it is at one moment.
type view struct {
	at        Place
	path      string
	segment   uint64
	size      int64
	sealed    bool
	following Place // if sealed
}

func (r *Reader) look() (view, error) {
	s := r.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || r.ended {
		return view{}, ErrClosed
	}
	i := len(s.segments) - 1
	for i > 0 && s.segments[i].first.Number > r.next.Number {
		i--
	}
	seg := s.segments[i]
	v := view{at: r.next, path: seg.path, segment: seg.first.Number, size: seg.size}
	if i+1 < len(s.segments) {
		v.sealed, v.following = true, s.segments[i+1].first
	}
	return v, nil
}

func (r *Reader) openSegment(v view) error {
	if r.f == nil || r.segment != v.segment {
		r.close()
		f, err := os.Open(v.path)
		if errors.Is(err, os.ErrNotExist) {
			return nil // dropped meanwhile, or deleted by hand
		}
		if err != nil {
			return fmt.Errorf("read forward spool: %w", err)
		}
		r.f, r.segment = f, v.segment
		r.walker.Format, r.walker.File, r.walker.Off = format, f, segmentBytes
	}
	r.walker.End = v.size
	return nil
}

// scan returns the first whole record from v.at on, or nil if the segment has
// none so far. What cannot be read is as good as damaged.
func (r *Reader) scan(v view) (*Record, error) {
	for r.f != nil {
		rec, err := r.walker.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			if v.sealed {
				return nil, nil
			}
			return nil, fmt.Errorf("read forward spool: %w", err)
		}
		if rec.Kind == kindSamples && rec.Number < v.at.Number {
			continue
		}
		payload, err := r.walker.Read(rec)
		if err != nil {
			continue
		}
		switch rec.Kind {
		case kindLabels:
			r.define(rec, payload)
		case kindSamples:
			if decodeSamples(payload, rec.Count, &r.record) == nil && r.advance(v, rec) {
				return &r.record, nil
			}
		}
	}
	return nil, nil
}

func (r *Reader) define(rec records.Record, payload []byte) {
	ref := rec.Number
	_ = decodeLabels(payload, func(ls labels.Labels) { // what was read before damage is good
		if ref < 1<<32 {
			r.sets[uint32(ref)] = ls
		}
		ref++
	})
}

// advance moves behind rec, unless that has been dropped while it was read.
func (r *Reader) advance(v view, rec records.Record) bool {
	orphans := r.adopt()
	s := r.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.next != v.at {
		return false
	}
	r.record.Segment, r.record.End = v.segment, placeAfter(rec.Header)
	r.record.Damaged = r.carry + orphans + placeOf(rec.Header).since(v.at)
	r.next, r.carry = r.record.End, 0
	return true
}

// adopt takes out of the record the samples whose label sets were damaged, and
// returns how many.
func (r *Reader) adopt() (orphans uint64) {
	kept := 0
	for i, ref := range r.record.Refs {
		if _, known := r.sets[ref]; !known {
			orphans++
			continue
		}
		r.record.Refs[kept], r.record.Values[kept] = ref, r.record.Values[i]
		kept++
	}
	r.record.Refs, r.record.Values = r.record.Refs[:kept], r.record.Values[:kept]
	return orphans
}

// skip moves behind a segment that has no whole record left.
func (r *Reader) skip(v view) {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	if r.next != v.at {
		return
	}
	r.carry += v.following.since(v.at)
	r.next = v.at.on(v.following)
}

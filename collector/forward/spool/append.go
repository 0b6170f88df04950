package spool

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/records"
)

// maxSamples is how many samples a record holds at most.
const maxSamples = 16 << 10

// Append writes the samples of one time, in ms: a value for each series. It
// keeps the label sets, which must not change.
//
// What cannot be written is lost and counted for each reader. On a full disk
// the oldest segment makes room: fresh data is worth more than old.
func (s *Spool) Append(atMs int64, series []labels.Labels, values []float64) error {
	if len(series) != len(values) {
		return fmt.Errorf("append to forward spool: %d series with %d values", len(series), len(values))
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if len(s.readers) == 0 {
		return nil // for whom?
	}
	var errs []error
	for len(series) > 0 {
		n := min(len(series), maxSamples)
		if err := s.put(now, atMs, series[:n], values[:n]); err != nil {
			errs = append(errs, err)
		}
		series, values = series[n:], values[n:]
	}
	s.trim()
	s.wake()
	return s.tell(errors.Join(errs...))
}

// tell returns the first of a row of errors, so that whoever logs them does not
// fill the same disk.
func (s *Spool) tell(err error) error {
	switch {
	case err == nil && s.failing:
		s.failing = false
		s.opts.Log.Info("the forward spool is being written to again", "dir", s.opts.Dir)
	case err != nil && !s.failing:
		s.failing = true
		return fmt.Errorf("append to forward spool %s: %w: free some space or see to the disk; until then samples are not forwarded, and counted", s.opts.Dir, err)
	}
	return nil
}

// put writes one record, and counts it as lost if that cannot be done.
func (s *Spool) put(now time.Time, at int64, series []labels.Labels, values []float64) error {
	err := s.write(now, at, series, values)
	if noSpace(err) && s.makeRoom(now) {
		err = s.write(now, at, series, values)
	}
	if err == nil {
		s.stats.Appended += uint64(len(values))
		return nil
	}
	s.stats.WriteErrors++
	reason := Failed
	if noSpace(err) {
		reason = DiskFull
	}
	for _, r := range s.readers {
		r.lost[reason] += uint64(len(values))
	}
	return err
}

func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// write appends one record and, before it, the label sets that this segment
// does not have yet.
func (s *Spool) write(now time.Time, at int64, series []labels.Labels, values []float64) error {
	if err := s.ready(now); err != nil {
		return err
	}
	seg, known := s.last(), len(s.sets)
	definitions := s.encode(seg, now, at, series, values)
	if _, err := seg.file.WriteAt(s.buf, seg.size); err != nil {
		for _, ls := range s.sets[known:] {
			delete(s.refs, ls)
		}
		s.sets = s.sets[:known]
		s.torn = true
		s.cut()
		return err
	}
	if seg.size == 0 {
		seg.begun = now
	}
	seg.size += int64(len(s.buf))
	seg.labels += int64(definitions)
	seg.unsynced, seg.last = true, now
	s.next = Place{s.next.Number + 1, s.next.Samples + uint64(len(values))}
	if definitions > 64<<10 && definitions > len(s.buf)/2 {
		s.buf, s.raw = nil, nil // the records that follow need a fraction of it
	}
	return nil
}

// ready sees to it that there is a segment with room and a clean end.
func (s *Spool) ready(now time.Time) error {
	if s.torn {
		s.cut()
	}
	if seg := s.last(); s.torn || s.full(seg) || seg.size > 0 && now.Sub(seg.begun) > s.opts.MaxAge/24 {
		return s.begin(now)
	}
	return nil
}

// full tells whether a segment has its size. Label sets are written again in
// each, so where there are many of them it may grow until they are a quarter.
func (s *Spool) full(seg *segment) bool {
	return seg.size >= min(max(s.opts.SegmentBytes, 4*seg.labels), s.opts.MaxBytes/4)
}

// cut takes off what a failed write has left. If even that fails, the next
// record goes to a new segment: readers never look beyond a segment's size.
func (s *Spool) cut() {
	seg := s.last()
	s.torn = seg.file.Truncate(seg.size) != nil
}

// begin begins a new segment.
func (s *Spool) begin(now time.Time) error {
	seg, err := createSegment(s.opts.Dir, s.next, now)
	if err != nil {
		return err
	}
	if n := len(s.segments); n > 0 {
		full := s.last()
		if full.first.Number == seg.first.Number {
			// It holds no record: the new one has taken its place.
			s.segments = s.segments[:n-1]
			full.unsynced = false
		}
		if !full.unsynced && full.file != nil {
			full.file.Close()
			full.file = nil
		}
	}
	s.segments = append(s.segments, seg)
	clear(s.refs)
	clear(s.sets)
	s.sets, s.torn, s.dirDirty = s.sets[:0], false, true
	return nil
}

// encode puts into s.buf what is to be written, and returns how much of it are
// label sets.
func (s *Spool) encode(seg *segment, now time.Time, at int64, series []labels.Labels, values []float64) (definitions int) {
	s.buf = s.buf[:0]
	if seg.size == 0 {
		s.buf = seg.appendOpening(s.buf)
	}
	known := len(s.sets)
	s.resolve(series)
	for first := known; first < len(s.sets); {
		from := len(s.buf)
		var taken int
		s.buf, s.raw, taken = appendLabels(records.Begin(s.buf), s.raw, s.sets[first:])
		s.buf = format.Finish(s.buf, from, records.Header{Kind: kindLabels, Count: uint32(taken), Number: uint64(first), Before: s.next.Samples})
		first += taken
		definitions += len(s.buf) - from
	}
	from := len(s.buf)
	s.buf = appendSamples(records.Begin(s.buf), at, now.UnixMilli(), s.runs, values)
	s.buf = format.Finish(s.buf, from, records.Header{Kind: kindSamples, Count: uint32(len(values)), Number: s.next.Number, Before: s.next.Samples})
	return definitions
}

// resolve fills s.runs with the references of series, of which new ones are
// added to s.sets. The series of an agent come in the same order again and
// again: the one expected next is compared before the map is asked.
func (s *Spool) resolve(series []labels.Labels) {
	s.runs = s.runs[:0]
	expected := uint32(0)
	for _, ls := range series {
		if int(expected) < len(s.sets) && labels.Equal(s.sets[expected], ls) {
			s.extend(expected)
			expected++
			continue
		}
		ref, known := s.refs[ls]
		if !known {
			ref = uint32(len(s.sets))
			s.refs[ls] = ref
			s.sets = append(s.sets, ls)
		}
		s.extend(ref)
		expected = ref + 1
	}
}

func (s *Spool) extend(ref uint32) {
	if n := len(s.runs); n > 0 && s.runs[n-1].first+s.runs[n-1].length == ref {
		s.runs[n-1].length++
		return
	}
	s.runs = append(s.runs, run{ref, 1})
}

// wake lets the readers that wait look again.
func (s *Spool) wake() {
	for _, r := range s.readers {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

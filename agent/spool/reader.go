package spool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/records"
)

// Reader reads a spool's batches in order, following what is appended. It is
// for one goroutine. Within a Reader the same group has the same identity,
// whichever segment it is read from, until it ends.
type Reader struct {
	spool *Spool
	wake  chan struct{}

	first  uint64 // of the segment that is open
	f      *os.File
	walker records.Walker
	groups map[uint64]*sample.Group // by reference, of the segment that is open
	seq    uint64                   // what the next batch in the segment should be numbered,
	before uint64                   // and how many samples should be before it
	hole   int64                    // where damage was stepped over since the last batch, or -1

	known   map[[sha256.Size]byte]*sample.Group
	keys    map[*sample.Group]key
	metrics map[sample.Metric]*sample.Metric
	record  Record
}

// key is what a group goes by: everywhere, and in the segment that is open.
type key struct {
	sum [sha256.Size]byte
	ref uint64
}

// NewReader returns a Reader, to be closed after use.
func (s *Spool) NewReader() *Reader {
	r := &Reader{
		spool:   s,
		wake:    make(chan struct{}, 1),
		groups:  map[uint64]*sample.Group{},
		known:   map[[sha256.Size]byte]*sample.Group{},
		keys:    map[*sample.Group]key{},
		metrics: map[sample.Metric]*sample.Metric{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[r] = struct{}{}
	return r
}

// Close lets go of the spool.
func (r *Reader) Close() {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	delete(r.spool.readers, r)
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}

// Next returns batch seq, or the first after it that the spool still holds
// whole; it waits until there is one. What it returns is good until the next
// call. It returns ctx's error when ctx ends, and ErrClosed when the spool has
// been closed.
func (r *Reader) Next(ctx context.Context, seq uint64) (*Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := r.position(seq)
		if err != nil {
			return nil, err
		}
		if found {
			rec, next := r.scan(seq)
			if rec != nil {
				return rec, nil
			}
			seq = next
			continue
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// position opens the segment that holds seq, or the oldest after it, and tells
// how far it can be read. It returns false if there is no such batch yet.
func (r *Reader) position(seq uint64) (bool, error) {
	s := r.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, ErrClosed
	}
	seq = max(seq, s.segments[0].first)
	if seq >= s.next {
		return false, nil
	}
	i := len(s.segments) - 1
	for s.segments[i].first > seq {
		i--
	}
	seg := s.segments[i]
	if r.f == nil || r.first != seg.first || seq < r.seq {
		if err := r.open(seg); err != nil {
			return false, fmt.Errorf("read spool: %w", err)
		}
	}
	r.walker.End = seg.size
	return true, nil
}

func (r *Reader) open(seg *segment) error {
	f, err := os.Open(seg.path)
	if err != nil {
		return err
	}
	if r.f != nil {
		r.f.Close()
	}
	r.f, r.first, r.seq, r.before = f, seg.first, seg.first, seg.before
	r.walker.Format, r.walker.File, r.walker.Off, r.hole = format, f, segmentBytes, -1
	clear(r.groups)
	return nil
}

// scan reads on in the segment that is open, up to the first whole batch from
// seq on. Where there is none, it returns the number to look for next.
func (r *Reader) scan(seq uint64) (*Record, uint64) {
	for {
		rec, err := r.walker.Next()
		if err != nil {
			return nil, r.end(seq, err)
		}
		if rec.Skipped > 0 && r.hole < 0 {
			r.hole = rec.At - rec.Skipped
		}
		if rec.Kind == kindGroup {
			r.define(rec)
			continue
		}
		if rec.Kind != kindBatch || rec.Number < r.seq {
			continue
		}
		r.lost(seq, rec.Number, rec.Before, records.ErrSum)
		r.seq, r.before = rec.Next()
		if rec.Number < seq {
			continue
		}
		if err := r.decode(rec); err != nil {
			r.spool.damaged(r.first, place{at: rec.At}, loss{rec.Number, 1, uint64(rec.Count)}, err)
			continue
		}
		return &r.record, 0
	}
}

// end says what to look for behind the end of what could be read.
func (r *Reader) end(seq uint64, err error) uint64 {
	if errors.Is(err, io.EOF) {
		err = records.ErrSum
	} else {
		r.hole, r.walker.Off = r.walker.Off, r.walker.End // the disk does not give the rest
	}
	following, before, held := r.spool.after(r.first, r.walker.End)
	if !held {
		return seq // deleted or grown meanwhile
	}
	if r.seq < following && r.hole < 0 {
		r.hole = r.walker.Off
	}
	r.lost(seq, following, before, err)
	r.seq, r.before = following, before
	return max(seq, following)
}

// lost accounts for damage that was stepped over before the batch of that
// number: what is missing between it and where the reader was, if it was
// wanted.
func (r *Reader) lost(wanted, number, before uint64, err error) {
	at := r.hole
	r.hole = -1
	if at < 0 && number > r.seq {
		at = r.walker.Off
	}
	first := max(r.seq, wanted)
	if at < 0 || number < first {
		return
	}
	l := loss{first: first, batches: number - first}
	if l.batches > 0 {
		l.samples = before - min(r.before, before)
	}
	r.spool.damaged(r.first, place{at: at}, l, err)
}

// define learns a group. Where its definition is damaged, its samples are
// counted as they come.
func (r *Reader) define(rec records.Record) {
	p, err := r.walker.Read(rec)
	if err != nil {
		r.spool.damaged(r.first, place{at: rec.At}, loss{}, err)
		return
	}
	sum := sha256.Sum256(p)
	g := r.known[sum]
	if g == nil {
		if g, err = decodeGroup(p, r.metrics); err != nil {
			r.spool.damaged(r.first, place{at: rec.At}, loss{}, err)
			return
		}
		r.known[sum] = g
	}
	r.groups[rec.Number], r.keys[g] = g, key{sum, rec.Number}
}

func (r *Reader) decode(rec records.Record) error {
	p, err := r.walker.Read(rec)
	if err != nil {
		return err
	}
	orphans, err := decodeBatch(p, r.groups, &r.record)
	if err != nil {
		return err
	}
	r.record.Seq = rec.Number
	if orphans > 0 {
		r.spool.damaged(r.first, place{rec.At, true}, loss{rec.Number, 0, orphans}, nil)
	}
	for _, g := range r.record.Ended { // a segment may see thousands of them
		delete(r.known, r.keys[g].sum)
		delete(r.groups, r.keys[g].ref)
		delete(r.keys, g)
	}
	return nil
}

// after tells what follows the segment that begins with batch first, of which
// end bytes have been read: the next batch's number and the samples before it.
// It returns false if the segment is gone or has more by now.
func (s *Spool) after(first uint64, end int64) (number, before uint64, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(first)
	if i < 0 || s.segments[i].size != end {
		return 0, 0, false
	}
	if i+1 < len(s.segments) {
		return s.segments[i+1].first, s.segments[i+1].before, true
	}
	return s.next, s.total, true
}

func (s *Spool) find(first uint64) int {
	return slices.IndexFunc(s.segments, func(seg *segment) bool { return seg.first == first })
}

// damaged counts what was lost at a place, once, however often it is read.
func (s *Spool) damaged(first uint64, p place, l loss, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(first)
	if i < 0 {
		return
	}
	seg := s.segments[i]
	if _, counted := seg.damage[p]; counted {
		return
	}
	if seg.damage == nil {
		seg.damage = map[place]loss{}
	}
	seg.damage[p] = l
	s.stats.Damaged.add(l.batches, l.samples)
	if !p.orphans { // their definition has been complained of
		s.opts.Log.Warn("stepping over damage in the spool; check the disk",
			"file", seg.path, "offset", p.at, "batches", l.batches, "samples", l.samples, "err", err)
	}
}

package rollup

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

// span is a stretch of time, from its begin to before its end, in ms.
type span struct{ from, to int64 }

// spans are what the blocks cover, in order and joined where they touch.
func spans(blocks []tsdb.BlockMeta) []span {
	all := make([]span, 0, len(blocks))
	for _, b := range blocks {
		all = append(all, span{b.MinTime, b.MaxTime})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var joined []span
	for _, s := range all {
		if n := len(joined); n > 0 && s.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

func covers(all []span, from, to int64) bool {
	return slices.ContainsFunc(all, func(s span) bool { return s.from <= from && to <= s.to })
}

// rawFrom is from when on the raw store has samples; ok is false if it has no
// block, which is to say only the last hours.
func (s *Store) rawFrom() (from int64, ok bool, err error) {
	blocks, err := s.opts.Raw.BlockMetas()
	if err != nil {
		return 0, false, err
	}
	from = math.MaxInt64
	for _, b := range blocks {
		from = min(from, b.MinTime)
	}
	return from, len(blocks) > 0, nil
}

// due is the begin of the first slice after the last that is rolled up now.
func (s *Store) due(now time.Time) int64 {
	return floor(now.Add(-s.opts.OutOfOrder-slack).UnixMilli(), slice)
}

// todo lists the slices that lack rollups and can have them, by their begin,
// the oldest first, as they are the first to leave the raw store. It is derived
// from the blocks that are there, so that neither a crash nor a damaged block
// needs to be remembered.
func (s *Store) todo(now time.Time) ([]int64, error) {
	from, ok, err := s.rawFrom()
	if err != nil || !ok {
		return nil, err
	}
	from = max(floor(from, slice), floor(now.Add(-s.opts.Retention).UnixMilli(), slice)+slice)
	have := spans(s.db.BlockMetas())
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.written {
		if t < from {
			delete(s.written, t)
		}
	}
	for t := range s.empty {
		if t < from {
			delete(s.empty, t)
		}
	}
	var lacking []int64
	for t := from; t < s.due(now); t += slice {
		if !s.empty[t] && !s.written[t] && !covers(have, t, t+slice) {
			lacking = append(lacking, t)
		}
	}
	return lacking, nil
}

// covered is up to when rollups can stand in for raw samples without a hole,
// the end of a window; 0 if there are none. Of the last window of a block the
// sample at its very end is in the next block, so it does not count.
func (s *Store) covered(rawFrom int64, haveRaw bool) int64 {
	have := spans(s.db.BlockMetas())
	if len(have) == 0 {
		return 0
	}
	last := have[len(have)-1].to
	if !haveRaw {
		return last - window
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := floor(rawFrom, slice)
	for t < last && (covers(have, t, t+slice) || s.empty[t]) {
		t += slice
	}
	return t - window
}

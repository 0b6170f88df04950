package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Querier reads samples between two times, in ms since the Unix epoch. While
// the store is opened anew it waits for that, half a minute at most. Where the
// time of what is asked for touches a Loss, the answer carries a warning.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	l, err := s.enter()
	if err != nil {
		return nil, err
	}
	q, err := l.db.Querier(mint, maxt)
	if err != nil {
		l.leave()
		return nil, err
	}
	return &querier{q, reading{store: s, life: l, mint: mint, maxt: maxt}}, nil
}

// ChunkQuerier is Querier for those who want whole chunks.
func (s *Store) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	l, err := s.enter()
	if err != nil {
		return nil, err
	}
	q, err := l.db.ChunkQuerier(mint, maxt)
	if err != nil {
		l.leave()
		return nil, err
	}
	return &chunkQuerier{q, reading{store: s, life: l, mint: mint, maxt: maxt}}, nil
}

// reading is one use of the TSDB by a querier.
type reading struct {
	store      *Store
	life       *life
	mint, maxt int64
	closed     atomic.Bool
}

func (r *reading) close(under func() error) error {
	if !r.closed.CompareAndSwap(false, true) {
		return nil
	}
	defer r.life.leave() // after it, what it has read may be gone from memory
	return under()
}

// warnings name the losses between two times.
func (r *reading) warnings(hints *storage.SelectHints) annotations.Annotations {
	mint, maxt := r.mint, r.maxt
	if hints != nil {
		mint, maxt = max(mint, hints.Start), min(maxt, hints.End)
	}
	var all annotations.Annotations
	for _, l := range r.store.Losses() {
		if l.touches(mint, maxt) {
			all.Add(fmt.Errorf("the answer may be incomplete: %w", l))
		}
	}
	return all
}

// touches tells whether the loss covers something between two times. What is
// not known of its own times counts as covered: of some only the end is known.
func (l Loss) touches(mint, maxt int64) bool {
	begun := l.From.IsZero() || l.From.Equal(l.To) || l.From.UnixMilli() <= maxt
	return !l.CutShort && begun && (l.To.IsZero() || l.To.UnixMilli() >= mint)
}

// Error says what is lost, so that a Loss can be a warning.
func (l Loss) Error() string {
	when := "of unknown time"
	switch {
	case !l.From.IsZero() && l.From.Before(l.To):
		when = "from " + l.From.UTC().Format(time.RFC3339) + " to " + l.To.UTC().Format(time.RFC3339)
	case !l.To.IsZero():
		when = "until " + l.To.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s, %s, is damaged and left out (%v)", l.What, when, l.Why)
}

type querier struct {
	storage.Querier
	reading reading
}

func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := q.Querier.Select(ctx, sorted, hints, ms...)
	if w := q.reading.warnings(hints); len(w) > 0 {
		return warnedSet{set, w}
	}
	return set
}

func (q *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	values, w, err := q.Querier.LabelValues(ctx, name, hints, ms...)
	return values, w.Merge(q.reading.warnings(nil)), err
}

func (q *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	names, w, err := q.Querier.LabelNames(ctx, hints, ms...)
	return names, w.Merge(q.reading.warnings(nil)), err
}

// SearchLabelNames implements storage.Searcher, as the querier below does.
func (q *querier) SearchLabelNames(ctx context.Context, hints *storage.SearchHints, ms ...*labels.Matcher) storage.SearchResultSet {
	return q.Querier.(storage.Searcher).SearchLabelNames(ctx, hints, ms...)
}

// SearchLabelValues implements storage.Searcher.
func (q *querier) SearchLabelValues(ctx context.Context, name string, hints *storage.SearchHints, ms ...*labels.Matcher) storage.SearchResultSet {
	return q.Querier.(storage.Searcher).SearchLabelValues(ctx, name, hints, ms...)
}

func (q *querier) Close() error { return q.reading.close(q.Querier.Close) }

type chunkQuerier struct {
	storage.ChunkQuerier
	reading reading
}

func (q *chunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	set := q.ChunkQuerier.Select(ctx, sorted, hints, ms...)
	if w := q.reading.warnings(hints); len(w) > 0 {
		return warnedChunkSet{set, w}
	}
	return set
}

func (q *chunkQuerier) Close() error { return q.reading.close(q.ChunkQuerier.Close) }

type warnedSet struct {
	storage.SeriesSet
	warnings annotations.Annotations
}

func (s warnedSet) Warnings() annotations.Annotations {
	all := s.SeriesSet.Warnings()
	return all.Merge(s.warnings)
}

type warnedChunkSet struct {
	storage.ChunkSeriesSet
	warnings annotations.Annotations
}

func (s warnedChunkSet) Warnings() annotations.Annotations {
	all := s.ChunkSeriesSet.Warnings()
	return all.Merge(s.warnings)
}

var (
	_ storage.Searcher     = (*querier)(nil)
	_ storage.ChunkQuerier = (*chunkQuerier)(nil)
)

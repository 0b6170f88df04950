package rollup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Querier answers from both stores: what Raw no longer has, and what is the
// same and cheaper, comes from the rollups. It is meant for people; what decides
// should ask Raw.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	// It pins the blocks that it found, and all of the query reads them: a store
	// that waits for its readers, to be opened anew, lets no other begin. Asked in
	// this order, a block that leaves in between is looked for in the rollups.
	raw, err := s.opts.Raw.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	from, ok, err := s.rawFrom()
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	q := &querier{Store: s, mint: mint, maxt: maxt, raw: raw, covered: s.covered(from, ok), rawFrom: from}
	if !ok {
		q.rawFrom = q.covered + 1 // that is what can be in memory alone
	}
	return q, nil
}

// ChunkQuerier reads Raw alone: what wants whole chunks, as remote read does,
// goes on to make its own of them.
func (s *Store) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return s.opts.Raw.ChunkQuerier(mint, maxt)
}

var _ storage.SampleAndChunkQueryable = (*Store)(nil)

// querier answers from both stores.
type querier struct {
	*Store
	mint, maxt       int64
	raw              storage.Querier
	rawFrom, covered int64

	mu   sync.Mutex
	more []storage.Querier // of rollups, closed with it
}

// Close implements storage.Querier.
func (q *querier) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.raw.Close()
	for _, m := range q.more {
		err = errors.Join(err, m.Close())
	}
	return err
}

// rollups opens the rollups of a part of the time.
func (q *querier) rollups(mint, maxt int64) (storage.Querier, error) {
	m, err := q.db.Querier(mint, maxt)
	if err != nil {
		return nil, fmt.Errorf("open rollups: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.more = append(q.more, m)
	return m, nil
}

// Select implements storage.Querier.
func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	start, end := q.mint, q.maxt
	if hints != nil {
		start, end = hints.Start, hints.End
	}
	p := decide(start, end, hints, q.rawFrom, q.covered)
	if p.rawOnly() {
		q.metrics.queries.WithLabelValues("raw").Inc()
		return q.raw.Select(ctx, sorted, hints, matchers...)
	}
	from := "both"
	if p.rollupOnly() {
		from = "rollup"
	}
	q.metrics.queries.WithLabelValues(from).Inc()
	g := gathering{ctx: ctx, q: q, plan: p, hints: hints, matchers: matchers, series: map[string]*stitched{}}
	if err := g.gather(); err != nil {
		return storage.ErrSeriesSet(err)
	}
	return g.set()
}

// LabelValues implements storage.LabelQuerier.
func (q *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.names(hints, func(l storage.LabelQuerier, hints *storage.LabelHints) ([]string, annotations.Annotations, error) {
		if name == sumLabel {
			return nil, nil, nil
		}
		return l.LabelValues(ctx, name, hints, matchers...)
	})
}

// LabelNames implements storage.LabelQuerier.
func (q *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.names(hints, func(l storage.LabelQuerier, hints *storage.LabelHints) ([]string, annotations.Annotations, error) {
		return l.LabelNames(ctx, hints, matchers...)
	})
}

// names unites the names or values of both stores.
func (q *querier) names(hints *storage.LabelHints, ask func(storage.LabelQuerier, *storage.LabelHints) ([]string, annotations.Annotations, error)) ([]string, annotations.Annotations, error) {
	list, warnings, err := ask(q.raw, hints)
	if err != nil || q.mint >= q.rawFrom || q.covered <= 0 {
		return list, warnings, err
	}
	old, err := q.rollups(q.mint, min(q.maxt, q.rawFrom-1))
	if err != nil {
		return nil, warnings, err
	}
	// One more than asked for: the mark of sums may be among them.
	var wider *storage.LabelHints
	if hints != nil {
		own := *hints
		if own.Limit > 0 {
			own.Limit++
		}
		wider = &own
	}
	more, w, err := ask(old, wider)
	warnings.Merge(w)
	if err != nil {
		return nil, warnings, err
	}
	list = slices.DeleteFunc(slices.Concat(list, more), func(s string) bool { return s == sumLabel })
	slices.Sort(list)
	list = slices.Compact(list)
	if hints != nil && hints.Limit > 0 && len(list) > hints.Limit {
		list = list[:hints.Limit]
	}
	return list, warnings, nil
}

// SearchLabelNames implements storage.Searcher.
func (q *querier) SearchLabelNames(ctx context.Context, hints *storage.SearchHints, matchers ...*labels.Matcher) storage.SearchResultSet {
	return found(hints)(q.LabelNames(ctx, nil, matchers...))
}

// SearchLabelValues implements storage.Searcher.
func (q *querier) SearchLabelValues(ctx context.Context, name string, hints *storage.SearchHints, matchers ...*labels.Matcher) storage.SearchResultSet {
	return found(hints)(q.LabelValues(ctx, name, nil, matchers...))
}

// found picks from a list what is searched for.
func found(hints *storage.SearchHints) func([]string, annotations.Annotations, error) storage.SearchResultSet {
	return func(list []string, warnings annotations.Annotations, err error) storage.SearchResultSet {
		if err != nil {
			return storage.ErrSearchResultSet(err)
		}
		if hints == nil {
			hints = &storage.SearchHints{}
		}
		return storage.NewSearchResultSetFromSlice(storage.ApplySearchHints(list, hints), warnings)
	}
}

var _ storage.Searcher = (*querier)(nil)

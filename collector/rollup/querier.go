package rollup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Querier answers from both stores: what Raw no longer has, and what is the
// same and cheaper, comes from the rollups. It is meant for people; what decides
// should ask Raw.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	// The querier pins the blocks that it found. Asked in this order, a block
	// that leaves in between is looked for in the rollups.
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
	more []storage.Querier // opened since, closed with it
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

// open opens a store for a part of the time.
func (q *querier) open(store storage.Queryable, mint, maxt int64) (storage.Querier, error) {
	m, err := store.Querier(mint, maxt)
	if err != nil {
		return nil, err
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

// stretch is a part of a plan's time.
type stretch uint8

const (
	before  stretch = iota // the edge
	middle                 // rollups
	instead                // the same, from raw
	after                  // the seam
	stretches
)

// stitched is a series from several stretches.
type stitched struct {
	labels labels.Labels
	parts  [stretches]storage.Series
	plan   plan
}

// Labels implements storage.Series.
func (s *stitched) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s *stitched) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	var its []chunkenc.Iterator
	for part, series := range s.parts {
		switch {
		case series == nil, stretch(part) == instead && s.parts[middle] != nil:
		case stretch(part) == middle:
			its = append(its, newView(series.Iterator(nil), s.plan, false))
		case s.plan.level:
			its = append(its, newView(series.Iterator(nil), s.plan, true))
		default:
			its = append(its, series.Iterator(nil))
		}
	}
	if len(its) == 1 {
		return its[0]
	}
	return storage.ChainSampleIteratorFromIterators(nil, its)
}

// gathering collects the series of all stretches of a plan.
type gathering struct {
	ctx      context.Context
	q        *querier
	plan     plan
	hints    *storage.SelectHints
	matchers []*labels.Matcher

	series   map[string]*stitched
	key      []byte
	warnings annotations.Annotations
}

func (g *gathering) gather() error {
	p, rollups := g.plan, g.matchers
	value := ""
	totals := p.shape == mean || p.shape == sum || p.shape == count
	if totals {
		value = sumValue
	}
	rollups = append(slices.Clip(rollups), labels.MustNewMatcher(labels.MatchEqual, sumLabel, value))
	// Whole windows, as a sum stands anywhere in its own, and the one before,
	// whose value may hold.
	first := windowEnd(max(p.start, p.edge+1)) - window + 1
	if p.spacing > 0 {
		first -= window
	}
	if err := g.read(middle, g.q.db, first, p.seam, rollups); err != nil {
		return err
	}
	if p.edge >= p.start {
		if err := g.read(before, g.q.opts.Raw, p.start, p.edge, g.matchers); err != nil {
			return err
		}
	}
	if totals && p.doubled { // counters have no sums
		if err := g.read(instead, g.q.opts.Raw, max(p.start, p.edge+1), min(p.end, p.seam), g.matchers); err != nil {
			return err
		}
	}
	if p.seam < p.end {
		return g.read(after, g.q.opts.Raw, max(p.start, p.seam+1), p.end, g.matchers)
	}
	return nil
}

// read adds the series of a stretch, from its first to its last ms.
func (g *gathering) read(part stretch, store storage.Queryable, first, last int64, matchers []*labels.Matcher) error {
	q, err := g.q.open(store, first, last)
	if err != nil {
		return err
	}
	var hints *storage.SelectHints
	if g.hints != nil {
		own := *g.hints
		own.Start, own.End, own.DisableTrimming = first, last, false
		hints = &own
	}
	set := q.Select(g.ctx, false, hints, matchers...)
	for set.Next() {
		one := set.At()
		ls := one.Labels()
		if part == middle && ls.Has(sumLabel) {
			ls = labels.NewBuilder(ls).Del(sumLabel).Labels()
		}
		g.key = ls.Bytes(g.key[:0])
		s := g.series[string(g.key)]
		if s == nil {
			s = &stitched{labels: ls, plan: g.plan}
			g.series[string(g.key)] = s
		}
		s.parts[part] = one
	}
	g.warnings.Merge(set.Warnings())
	if err := set.Err(); err != nil {
		return fmt.Errorf("read series: %w", err)
	}
	return nil
}

// set is what was gathered, in order.
func (g *gathering) set() storage.SeriesSet {
	list := make([]*stitched, 0, len(g.series))
	for _, s := range g.series {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *stitched) int { return labels.Compare(a.labels, b.labels) })
	return &seriesSet{list: list, at: -1, warnings: g.warnings}
}

// seriesSet is a storage.SeriesSet of series that are there already.
type seriesSet struct {
	list     []*stitched
	at       int
	warnings annotations.Annotations
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.list) }
func (s *seriesSet) At() storage.Series                { return s.list[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return s.warnings }

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
	old, err := q.open(q.db, q.mint, min(q.maxt, q.rawFrom-1))
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

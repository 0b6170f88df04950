package rollup

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

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
	kept, err := g.q.rollups(first, p.seam)
	if err != nil {
		return err
	}
	if err := g.read(middle, kept, first, p.seam, rollups); err != nil {
		return err
	}
	if p.edge >= p.start {
		if err := g.read(before, g.q.raw, p.start, p.edge, g.matchers); err != nil {
			return err
		}
	}
	if totals && p.doubled { // counters have no sums
		if err := g.read(instead, g.q.raw, max(p.start, p.edge+1), min(p.end, p.seam), g.matchers); err != nil {
			return err
		}
	}
	if p.seam < p.end {
		return g.read(after, g.q.raw, max(p.start, p.seam+1), p.end, g.matchers)
	}
	return nil
}

// read adds the series of a stretch, from its first to its last ms.
func (g *gathering) read(part stretch, q storage.Querier, first, last int64, matchers []*labels.Matcher) error {
	hints := &storage.SelectHints{}
	if g.hints != nil {
		*hints = *g.hints
	}
	hints.Start, hints.End, hints.DisableTrimming = first, last, false
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

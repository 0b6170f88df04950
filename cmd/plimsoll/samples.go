package main

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/receive"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// samples tells the scaler's policies when samples that they read have been
// stored. It is an ingest.Watch.
type samples struct {
	epoch atomic.Uint64
	index atomic.Pointer[sampleIndex]

	mu    sync.Mutex
	as    uint64                       // epoch of known
	known map[storage.SeriesRef]*shown // nil for those that nobody waits for
}

// mostKnown is of how many series of others than agents it is remembered who waits
// for them. With more all are looked up anew.
const mostKnown = 100_000

// sampleIndex finds who waits for a series: by the name of the metric and the
// service, or by the name alone.
type sampleIndex map[sampleKey][]waiting

type sampleKey struct{ name, service string }

// waiting is a selector, and who waits for its series.
type waiting struct {
	matchers []*labels.Matcher
	arrived  func(time.Time)
}

func newSamples() *samples {
	s := &samples{}
	s.epoch.Store(1)
	s.index.Store(&sampleIndex{})
	return s
}

// watch takes what policies wait for. Selectors that name no metric, or read
// another time, are left to the interval.
func (s *samples) watch(list []scaler.Watched) {
	index := make(sampleIndex)
	for _, w := range list {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(w.PromQL)
		if err != nil {
			continue // its query fails, and says so
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if sel, ok := n.(*parser.VectorSelector); ok && present(sel) {
				if key := keyOf(sel.LabelMatchers); key.name != "" {
					index[key] = append(index[key], waiting{sel.LabelMatchers, w.Arrived})
				}
			}
			return nil
		})
	}
	s.index.Store(&index)
	s.epoch.Add(1)
}

// present tells whether a selector reads the time of the evaluation.
func present(sel *parser.VectorSelector) bool {
	return sel.OriginalOffset == 0 && sel.OriginalOffsetExpr == nil && sel.Timestamp == nil && sel.StartOrEnd == 0
}

func keyOf(matchers []*labels.Matcher) (key sampleKey) {
	for _, m := range matchers {
		switch {
		case m.Type != labels.MatchEqual:
		case m.Name == model.MetricNameLabel:
			key.name = m.Value
		case m.Name == policy.ServiceLabel:
			key.service = m.Value
		}
	}
	return key
}

// shown is a series that someone waits for.
type shown struct {
	arrived []func(time.Time)
	last    atomic.Uint64 // its value
}

// Epoch implements ingest.Watch.
func (s *samples) Epoch() uint64 { return s.epoch.Load() }

// Series implements ingest.Watch.
func (s *samples) Series(ls labels.Labels) any {
	if w := s.series(ls); w != nil {
		return w
	}
	return nil
}

// stored is series for one that the store knows by ref, if not 0.
func (s *samples) stored(ref storage.SeriesRef, ls labels.Labels) *shown {
	epoch := s.epoch.Load() // before the index, which is never older
	s.mu.Lock()
	if s.as != epoch || len(s.known) >= mostKnown {
		s.as, s.known = epoch, make(map[storage.SeriesRef]*shown)
	}
	found, known := s.known[ref]
	s.mu.Unlock()
	if known {
		return found
	}
	found = s.series(ls)
	if ref == 0 {
		return found
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.as == epoch {
		s.known[ref] = found
	}
	return found
}

func (s *samples) series(ls labels.Labels) *shown {
	index := *s.index.Load()
	if len(index) == 0 {
		return nil
	}
	var found *shown
	look := func(key sampleKey) {
		for _, w := range index[key] {
			if matchAll(w.matchers, ls) {
				if found == nil {
					found = &shown{}
					found.last.Store(math.Float64bits(math.NaN()))
				}
				found.arrived = append(found.arrived, w.arrived)
			}
		}
	}
	name := ls.Get(model.MetricNameLabel)
	look(sampleKey{name: name})
	if service := ls.Get(policy.ServiceLabel); service != "" {
		look(sampleKey{name, service})
	}
	return found
}

func matchAll(matchers []*labels.Matcher, ls labels.Labels) bool {
	for _, m := range matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Stored implements ingest.Watch. A value that is what it was decides nothing that
// the interval would not.
func (s *samples) Stored(at int64, series []any, values []float64) {
	taken := time.UnixMilli(at)
	for i, x := range series {
		one, ok := x.(*shown)
		if bits := math.Float64bits(values[i]); !ok || one.last.Swap(bits) == bits {
			continue
		}
		for _, arrived := range one.arrived {
			arrived(taken)
		}
	}
}

// besideSamples is a store that shows what others than agents store in it.
type besideSamples struct {
	receive.Store
	samples *samples
}

func (b besideSamples) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &showing{AppenderV2: b.Store.AppenderV2(ctx), samples: b.samples}
}

// showing is an appender that shows what is committed.
type showing struct {
	storage.AppenderV2
	samples *samples
	at      []int64
	series  []*shown
}

func (a *showing) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, err := a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
	var partial *storage.AppendPartialError // the sample was taken, something beside it was not
	if err == nil || errors.As(err, &partial) {
		if s := a.samples.stored(ref, ls); s != nil {
			a.at, a.series = append(a.at, t), append(a.series, s)
		}
	}
	return ref, err
}

// GetRef is what callers look for in an appender of the store.
func (a *showing) GetRef(ls labels.Labels, hash uint64) (storage.SeriesRef, labels.Labels) {
	if known, ok := a.AppenderV2.(storage.GetRef); ok {
		return known.GetRef(ls, hash)
	}
	return 0, labels.EmptyLabels()
}

func (a *showing) Commit() error {
	if err := a.AppenderV2.Commit(); err != nil {
		return err
	}
	for i, s := range a.series {
		for _, arrived := range s.arrived {
			arrived(time.UnixMilli(a.at[i]))
		}
	}
	return nil
}

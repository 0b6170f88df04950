package query

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// federationLookback is how old a sample may be to be given away: as for a query.
const federationLookback = 5 * time.Minute

// federation serves the latest sample of each series that match[] selects, as
// /federate of Prometheus does; that handler belongs to Prometheus' whole web
// server and cannot be had alone. Histograms of exponential buckets, for which the
// text format has no words, are left out of it and counted.
type federation struct {
	store    storage.Queryable
	parser   parser.Parser
	external labels.Labels
	skipped  prometheus.Counter
}

func newFederation(opts Options) (*federation, error) {
	f := &federation{
		store: opts.Store, parser: newParser(), external: opts.ExternalLabels,
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_collector_query_federation_skipped_series_total",
			Help: "Native histograms that were not given away at /federate because they were asked for as text.",
		}),
	}
	if err := opts.Registerer.Register(f.skipped); err != nil {
		return nil, fmt.Errorf("register metrics of federation: %w", err)
	}
	return f, nil
}

func (f *federation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	selectors, err := f.parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if len(selectors) == 0 || slices.ContainsFunc(selectors, everything) {
		http.Error(w, "say which series are wanted: /federate?match[]={job=\"plimsoll-agent\"}", http.StatusBadRequest)
		return
	}
	samples, err := f.latest(r.Context(), selectors, time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	format := expfmt.NegotiateAccept(r.Header, expfmt.NewFormat(expfmt.TypeProtoDelim), expfmt.NewFormat(expfmt.TypeProtoText),
		expfmt.NewFormat(expfmt.TypeProtoCompact), expfmt.NewFormat(expfmt.TypeTextPlain))
	w.Header().Set("Content-Type", string(format))
	encoder := expfmt.NewEncoder(w, format)
	for _, family := range f.families(samples, format.FormatType() != expfmt.TypeTextPlain) {
		if err := encoder.Encode(family); err != nil {
			return // the client has gone, and the status is sent
		}
	}
}

// everything tells whether a selector leaves nothing out.
func everything(selector []*labels.Matcher) bool {
	return !slices.ContainsFunc(selector, func(m *labels.Matcher) bool { return !m.Matches("") })
}

// given is a sample to give away.
type given struct {
	labels labels.Labels
	t      int64 // ms since the Unix epoch
	v      float64
	h      *histogram.FloatHistogram // nil if it is none
}

// latest reads the last sample of each series, by name.
func (f *federation) latest(ctx context.Context, selectors [][]*labels.Matcher, now time.Time) ([]given, error) {
	from, to := now.Add(-federationLookback).UnixMilli(), now.UnixMilli()
	q, err := f.store.Querier(from, to)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	hints := &storage.SelectHints{Start: from, End: to}
	sets := make([]storage.SeriesSet, len(selectors))
	for i, s := range selectors {
		sets[i] = q.Select(ctx, true, hints, s...)
	}
	set := storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
	var samples []given
	var it chunkenc.Iterator
	for set.Next() {
		it = set.At().Iterator(it)
		if g, ok := last(it); ok {
			g.labels = set.At().Labels()
			samples = append(samples, g)
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
	}
	if err := set.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(samples, func(a, b given) int {
		return cmp.Compare(a.labels.Get(model.MetricNameLabel), b.labels.Get(model.MetricNameLabel))
	})
	return samples, nil
}

// last is the last sample, unless that says that the series has ended. The text
// format has no word for the end, so the reader finds out by its own patience.
func last(it chunkenc.Iterator) (g given, ok bool) {
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		ok = true
		if kind == chunkenc.ValFloat {
			g.t, g.v = it.At()
			g.h = nil
		} else {
			g.t, g.h = it.AtFloatHistogram(nil)
			g.v = g.h.Sum
		}
	}
	return g, ok && !value.IsStaleNaN(g.v)
}

// families puts samples of one name, sorted by it, under one heading. Where
// histograms and numbers share a name, or counts and gauges, it has several:
// Prometheus reads them so.
func (f *federation) families(samples []given, histograms bool) []*dto.MetricFamily {
	var all []*dto.MetricFamily
	var current *dto.MetricFamily
	for _, s := range samples {
		kind := dto.MetricType_UNTYPED
		if s.h != nil {
			if !histograms && !s.h.UsesCustomBuckets() {
				f.skipped.Inc()
				continue
			}
			kind = dto.MetricType_HISTOGRAM
			if s.h.CounterResetHint == histogram.GaugeType {
				kind = dto.MetricType_GAUGE_HISTOGRAM
			}
		}
		name := s.labels.Get(model.MetricNameLabel)
		if current == nil || current.GetName() != name || current.GetType() != kind {
			current = &dto.MetricFamily{Name: &name, Type: &kind}
			all = append(all, current)
		}
		m := &dto.Metric{Label: f.pairs(s.labels), TimestampMs: &s.t}
		switch {
		case s.h == nil:
			m.Untyped = &dto.Untyped{Value: &s.v}
		case s.h.UsesCustomBuckets():
			m.Histogram = classic(s.h)
		default:
			m.Histogram = native(s.h)
		}
		current.Metric = append(current.Metric, m)
	}
	return all
}

// pairs are the labels of a series, with those that tell this collector from
// others where the series does not say otherwise. An instance of its own stays,
// and the lack of one is said, so that the reader does not put itself there.
func (f *federation) pairs(series labels.Labels) []*dto.LabelPair {
	b := labels.NewBuilder(f.external)
	series.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	b.Del(model.MetricNameLabel)
	var pairs []*dto.LabelPair
	b.Labels().Range(func(l labels.Label) {
		pairs = append(pairs, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
	})
	if !series.Has(model.InstanceLabel) && !f.external.Has(model.InstanceLabel) {
		pairs = append(pairs, &dto.LabelPair{Name: new(model.InstanceLabel), Value: new("")})
	}
	return pairs
}

// native is a histogram of exponential buckets in the words of the protobuf
// exposition format.
func native(h *histogram.FloatHistogram) *dto.Histogram {
	return &dto.Histogram{
		SampleCountFloat: &h.Count, SampleSum: &h.Sum, Schema: &h.Schema,
		ZeroThreshold: &h.ZeroThreshold, ZeroCountFloat: &h.ZeroCount,
		PositiveSpan: spans(h.PositiveSpans), PositiveCount: h.PositiveBuckets,
		NegativeSpan: spans(h.NegativeSpans), NegativeCount: h.NegativeBuckets,
	}
}

// classic is a histogram of explicit buckets, each with those below it.
func classic(h *histogram.FloatHistogram) *dto.Histogram {
	counts := make([]float64, len(h.CustomValues)+1) // the last one is for what is above all bounds
	for it := h.PositiveBucketIterator(); it.Next(); {
		b := it.At()
		counts[b.Index] = b.Count
	}
	d := &dto.Histogram{SampleCountFloat: &h.Count, SampleSum: &h.Sum}
	below := 0.0
	for i := range h.CustomValues {
		below += counts[i]
		d.Bucket = append(d.Bucket, &dto.Bucket{UpperBound: &h.CustomValues[i], CumulativeCountFloat: new(below)})
	}
	return d
}

func spans(from []histogram.Span) []*dto.BucketSpan {
	to := make([]*dto.BucketSpan, len(from))
	for i := range from {
		to[i] = &dto.BucketSpan{Offset: &from[i].Offset, Length: &from[i].Length}
	}
	return to
}

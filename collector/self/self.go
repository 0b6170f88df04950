// Package self puts the collector's own metrics into its store, so that rules
// and dashboards see it as they see everything else.
package self

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// Options say what is stored, where and as whose.
type Options struct {
	Gatherer prometheus.Gatherer
	Store    storage.AppendableV2
	// Job and Instance are the labels of all series; a scrape would set them.
	Job, Instance string
	Interval      time.Duration // 0 means 15 s
	Log           *slog.Logger
}

// Observer stores a process' own metrics. It is for one goroutine.
type Observer struct {
	opts   Options
	series map[uint64]*series // by the hash of their labels
	ticks  uint64
	told   bool // that something cannot be stored
}

type series struct {
	labels labels.Labels
	ref    storage.SeriesRef
	tick   uint64 // when it was last there
}

// New completes opts and complains of what is missing. It starts nothing.
func New(opts Options) (*Observer, error) {
	if opts.Gatherer == nil || opts.Store == nil || opts.Job == "" || opts.Instance == "" {
		return nil, errors.New("an observer needs a gatherer, a store, a job and an instance")
	}
	if opts.Interval == 0 {
		opts.Interval = 15 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Observer{opts: opts, series: map[uint64]*series{}}, nil
}

// Run stores what there is at each interval until ctx ends, and then ends all
// series.
func (o *Observer) Run(ctx context.Context) error {
	tick := time.NewTicker(o.opts.Interval)
	defer tick.Stop()
	o.observe(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			o.commit(context.WithoutCancel(ctx), time.Now(), nil)
			return nil
		case now := <-tick.C:
			o.observe(ctx, now)
		}
	}
}

func (o *Observer) observe(ctx context.Context, now time.Time) {
	families, err := o.opts.Gatherer.Gather()
	if err != nil { // what was gathered nevertheless is stored
		o.warn("own metrics incomplete", err)
	}
	o.commit(ctx, now, append(families, o.up()))
}

// up is what a scraper would say of its target.
func (o *Observer) up() *dto.MetricFamily {
	name, one, kind := "up", 1.0, dto.MetricType_GAUGE
	return &dto.MetricFamily{Name: &name, Type: &kind, Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &one}}}}
}

// commit stores families, and ends the series that are not in them.
func (o *Observer) commit(ctx context.Context, now time.Time, families []*dto.MetricFamily) {
	o.ticks++
	app := o.opts.Store.AppenderV2(ctx)
	var failed error
	put := func(s *series, v float64) {
		ref, err := app.Append(s.ref, s.labels, 0, now.UnixMilli(), v, nil, nil, storage.AOptions{})
		if err != nil {
			failed = fmt.Errorf("%s: %w", s.labels, err)
			return
		}
		s.ref = ref
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			points(f, m, func(suffix string, extra labels.Label, v float64) {
				put(o.find(f.GetName()+suffix, m.GetLabel(), extra), v)
			})
		}
	}
	for hash, s := range o.series {
		if s.tick != o.ticks {
			put(s, math.Float64frombits(value.StaleNaN))
			delete(o.series, hash)
		}
	}
	if err := errors.Join(failed, app.Commit()); err != nil {
		o.warn("own metrics not stored", err)
	}
}

// warn says once what keeps being so.
func (o *Observer) warn(what string, err error) {
	if !o.told {
		o.opts.Log.Warn(what, "err", err)
	}
	o.told = true
}

// find is the series of a name and its labels.
func (o *Observer) find(name string, pairs []*dto.LabelPair, extra labels.Label) *series {
	b := labels.NewScratchBuilder(len(pairs) + 4)
	b.Add(model.MetricNameLabel, name)
	b.Add("job", o.opts.Job)
	b.Add("instance", o.opts.Instance)
	for _, p := range pairs {
		switch p.GetName() {
		case "job", "instance":
			b.Add("exported_"+p.GetName(), p.GetValue())
		default:
			b.Add(p.GetName(), p.GetValue())
		}
	}
	if extra.Name != "" {
		b.Add(extra.Name, extra.Value)
	}
	b.Sort()
	ls := b.Labels()
	s := o.series[ls.Hash()]
	if s == nil || !labels.Equal(s.labels, ls) {
		s = &series{labels: ls}
		o.series[ls.Hash()] = s
	}
	s.tick = o.ticks
	return s
}

// points are the samples of one metric, as the text format would have them.
func points(f *dto.MetricFamily, m *dto.Metric, put func(suffix string, extra labels.Label, v float64)) {
	none := labels.Label{}
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		put("", none, m.GetCounter().GetValue())
	case dto.MetricType_GAUGE:
		put("", none, m.GetGauge().GetValue())
	case dto.MetricType_UNTYPED:
		put("", none, m.GetUntyped().GetValue())
	case dto.MetricType_SUMMARY:
		s := m.GetSummary()
		for _, q := range s.GetQuantile() {
			put("", labels.Label{Name: "quantile", Value: number(q.GetQuantile())}, q.GetValue())
		}
		put("_sum", none, s.GetSampleSum())
		put("_count", none, float64(s.GetSampleCount()))
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			if !math.IsInf(b.GetUpperBound(), 1) {
				put("_bucket", labels.Label{Name: "le", Value: number(b.GetUpperBound())}, float64(b.GetCumulativeCount()))
			}
		}
		put("_bucket", labels.Label{Name: "le", Value: "+Inf"}, float64(h.GetSampleCount()))
		put("_sum", none, h.GetSampleSum())
		put("_count", none, float64(h.GetSampleCount()))
	}
}

// number writes a bound as Prometheus does since version 3: 1 as "1.0".
func number(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		s = strconv.FormatFloat(v, 'f', 1, 64)
	}
	return s
}

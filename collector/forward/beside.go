package forward

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Store is what keeps samples.
type Store interface {
	AppenderV2(ctx context.Context) storage.AppenderV2
	// Sync returns once everything committed is on stable storage.
	Sync(ctx context.Context) error
}

// Beside is s with everything committed to it forwarded as well, and synced
// with it: for what does not hand over by itself, such as remote write from
// others or recording rules. Labels must not change once they are appended.
// Native histograms are stored and not forwarded.
func (f *Forwarder) Beside(s Store) Store { return beside{f, s} }

type beside struct {
	forward *Forwarder
	store   Store
}

func (b beside) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &appender{AppenderV2: b.store.AppenderV2(ctx), forward: b.forward}
}

// Sync fails only if the store does.
func (b beside) Sync(ctx context.Context) error {
	if err := b.forward.Sync(ctx); err != nil {
		b.forward.opts.Log.Warn("samples to be forwarded are not safe on disk", "err", err)
	}
	return b.store.Sync(ctx)
}

// appender remembers what it appends until that is committed.
type appender struct {
	storage.AppenderV2
	forward *Forwarder
	taken   []appended
}

type appended struct {
	at     int64
	labels labels.Labels
	value  float64
}

func (a *appender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, err := a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
	var partial *storage.AppendPartialError // the sample was taken, something beside it was not
	if (err == nil || errors.As(err, &partial)) && h == nil && fh == nil {
		a.taken = append(a.taken, appended{t, ls, v})
	}
	return ref, err
}

// GetRef is what callers look for in an appender of the store.
func (a *appender) GetRef(ls labels.Labels, hash uint64) (storage.SeriesRef, labels.Labels) {
	if known, ok := a.AppenderV2.(storage.GetRef); ok {
		return known.GetRef(ls, hash)
	}
	return 0, labels.EmptyLabels()
}

func (a *appender) Commit() error {
	if err := a.AppenderV2.Commit(); err != nil {
		return err
	}
	slices.SortStableFunc(a.taken, func(x, y appended) int { return cmp.Compare(x.at, y.at) })
	var series []labels.Labels
	var values []float64
	for i, s := range a.taken {
		series, values = append(series, s.labels), append(values, s.value)
		if i+1 < len(a.taken) && a.taken[i+1].at == s.at {
			continue
		}
		if err := a.forward.Stored(s.at, series, values); err != nil {
			a.forward.opts.Log.Warn("samples are stored and not forwarded", "err", err)
		}
		series, values = series[:0], values[:0]
	}
	return nil
}

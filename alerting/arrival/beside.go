package arrival

import (
	"errors"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Beside is app with what is committed shown to the detector: for what does not
// show its samples by itself, such as remote write. Labels must not change once
// they are appended.
func (d *Detector) Beside(app storage.AppenderV2) storage.AppenderV2 {
	return &appenderV2{AppenderV2: app, shown: shown{detector: d}}
}

// BesideV1 is Beside for those who still speak the first version of the
// interface, as the rule manager does.
func (d *Detector) BesideV1(app storage.Appender) storage.Appender {
	return &appender{Appender: app, shown: shown{detector: d}}
}

// shown is what a transaction will show: what is wanted, in order.
type shown struct {
	detector *Detector
	at       []int64
	series   []labels.Labels
	values   []float64
}

func (s *shown) add(at int64, ls labels.Labels, v float64) {
	if s.detector.program.Load().wants(ls) {
		s.at, s.series, s.values = append(s.at, at), append(s.series, ls), append(s.values, v)
	}
}

func (s *shown) show() {
	for from := 0; from < len(s.at); {
		until := from + 1
		for until < len(s.at) && s.at[until] == s.at[from] {
			until++
		}
		s.detector.Show(s.at[from], s.series[from:until], s.values[from:until])
		from = until
	}
}

type appenderV2 struct {
	storage.AppenderV2
	shown shown
}

func (a *appenderV2) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, err := a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
	var partial *storage.AppendPartialError // the sample was taken, something beside it was not
	if (err == nil || errors.As(err, &partial)) && h == nil && fh == nil {
		a.shown.add(t, ls, v)
	}
	return ref, err
}

// GetRef is what callers look for in an appender of the store.
func (a *appenderV2) GetRef(ls labels.Labels, hash uint64) (storage.SeriesRef, labels.Labels) {
	if known, ok := a.AppenderV2.(storage.GetRef); ok {
		return known.GetRef(ls, hash)
	}
	return 0, labels.EmptyLabels()
}

func (a *appenderV2) Commit() error {
	if err := a.AppenderV2.Commit(); err != nil {
		return err
	}
	a.shown.show()
	return nil
}

type appender struct {
	storage.Appender
	shown shown
}

func (a *appender) Append(ref storage.SeriesRef, ls labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	ref, err := a.Appender.Append(ref, ls, t, v)
	if err == nil {
		a.shown.add(t, ls, v)
	}
	return ref, err
}

func (a *appender) Commit() error {
	if err := a.Appender.Commit(); err != nil {
		return err
	}
	a.shown.show()
	return nil
}

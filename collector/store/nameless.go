package store

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// The log of late samples says by number whose they are, and the log of all samples
// names the numbers. A power cut may leave what was written to the one and take what
// was written to the other, neither of which was acknowledged. The TSDB then gives
// the numbers to others, and at the next start takes the samples for theirs. So what
// has no name goes before the numbers are given again.

// numbers are those of series.
type numbers map[chunks.HeadSeriesRef]struct{}

// nameless are the numbers in segments of the log of late samples that the log of
// all samples does not name.
func nameless(dir string, segments []file) (numbers, error) {
	lost := numbers{}
	late := newLines()
	for _, s := range segments {
		err := eachRecord(filepath.Join(dir, wblDir, s.name), func(r []byte, _ bool) error {
			if err := late.read(r); err != nil {
				return err
			}
			late.each(func(n chunks.HeadSeriesRef) { lost[n] = struct{}{} })
			return nil
		})
		if err != nil && !corrupt(err) {
			return nil, err
		}
	}
	if len(lost) == 0 {
		return nil, nil
	}
	err := eachNamed(dir, func(n chunks.HeadSeriesRef) (more bool) {
		delete(lost, n)
		return len(lost) > 0
	})
	return lost, err
}

// eachNamed calls do with the numbers that the log of all samples names, as long as
// it wants more, up to where it is corrupt: the TSDB cuts it there.
func eachNamed(dir string, do func(chunks.HeadSeriesRef) (more bool)) (err error) {
	wal := filepath.Join(dir, walDir)
	from := 0
	ranges := []wlog.SegmentRange{}
	checkpoint, n, err := wlog.LastCheckpoint(wal)
	switch {
	case err == nil:
		from = n + 1
		ranges = append(ranges, wlog.SegmentRange{Dir: checkpoint, First: -1, Last: -1})
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.Is(err, record.ErrNotFound):
		return err
	}
	all, err := wlog.NewSegmentsRangeReader(append(ranges, wlog.SegmentRange{Dir: wal, First: from, Last: -1})...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	decoder := record.NewDecoder(labels.NewSymbolTable(), slog.New(slog.DiscardHandler))
	var series []record.RefSeries
	r := wlog.NewReader(all)
	for r.Next() {
		if decoder.Type(r.Record()) != record.Series {
			continue
		}
		if series, err = decoder.Series(r.Record(), series[:0]); err != nil {
			return err
		}
		for _, s := range series {
			if !do(s.Ref) {
				return nil
			}
		}
	}
	if err := r.Err(); !corrupt(err) {
		return err
	}
	return nil
}

// corrupt tells whether a log ends where it says something wrong, and not where it
// cannot be read.
func corrupt(err error) bool {
	_, wrong := errors.AsType[*wlog.CorruptionErr](err)
	_, unread := errors.AsType[*fs.PathError](err)
	return wrong && !unread
}

// lines are the samples of one record of a log of late samples.
type lines struct {
	decoder    record.Decoder
	kind       record.Type
	samples    []record.RefSample
	histograms []record.RefHistogramSample
	floats     []record.RefFloatHistogramSample
}

func newLines() *lines {
	return &lines{decoder: record.NewDecoder(labels.NewSymbolTable(), slog.New(slog.DiscardHandler))}
}

// read takes the samples of a record; one that is of something else has none.
func (l *lines) read(r []byte) (err error) {
	l.samples, l.histograms, l.floats = l.samples[:0], l.histograms[:0], l.floats[:0]
	l.kind = l.decoder.Type(r)
	switch l.kind {
	case record.Samples, record.SamplesV2:
		l.samples, err = l.decoder.Samples(r, l.samples)
	case record.HistogramSamples, record.CustomBucketsHistogramSamples, record.HistogramSamplesV2:
		l.histograms, err = l.decoder.HistogramSamples(r, l.histograms)
	case record.FloatHistogramSamples, record.CustomBucketsFloatHistogramSamples, record.FloatHistogramSamplesV2:
		l.floats, err = l.decoder.FloatHistogramSamples(r, l.floats)
	}
	return err
}

func (l *lines) each(do func(chunks.HeadSeriesRef)) {
	for _, s := range l.samples {
		do(s.Ref)
	}
	for _, s := range l.histograms {
		do(s.Ref)
	}
	for _, s := range l.floats {
		do(s.Ref)
	}
}

// of tells whether any of the samples is of one of these numbers.
func (l *lines) of(any numbers) (found bool) {
	l.each(func(n chunks.HeadSeriesRef) {
		_, is := any[n]
		found = found || is
	})
	return found
}

// without is the record anew without the samples of these numbers; nil if none is
// left.
func (l *lines) without(lost numbers) []byte {
	is := func(n chunks.HeadSeriesRef) bool { _, is := lost[n]; return is }
	var e record.Encoder
	switch l.kind {
	case record.SamplesV2, record.HistogramSamplesV2, record.FloatHistogramSamplesV2:
		e.EnableSTStorage = true
	}
	samples, histograms, floats := l.samples[:0], l.histograms[:0], l.floats[:0]
	for _, s := range l.samples {
		if !is(s.Ref) {
			samples = append(samples, s)
		}
	}
	for _, s := range l.histograms {
		if !is(s.Ref) {
			histograms = append(histograms, s)
		}
	}
	for _, s := range l.floats {
		if !is(s.Ref) {
			floats = append(floats, s)
		}
	}
	var r []byte
	switch {
	case len(samples) > 0:
		return e.Samples(samples, nil)
	case len(histograms) > 0 && l.kind == record.CustomBucketsHistogramSamples:
		return e.CustomBucketsHistogramSamples(histograms, nil)
	case len(histograms) > 0:
		r, _ = e.HistogramSamples(histograms, nil) // those with custom buckets have records of their own
	case len(floats) > 0 && l.kind == record.CustomBucketsFloatHistogramSamples:
		return e.CustomBucketsFloatHistogramSamples(floats, nil)
	case len(floats) > 0:
		r, _ = e.FloatHistogramSamples(floats, nil)
	}
	return r
}

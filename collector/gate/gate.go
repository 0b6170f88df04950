// Package gate stands in front of the store and tells, of everything that
// comes from outside, whether it is wanted: the time of a sample, the labels of
// a series, its value. Agents' streams, remote write and OTLP go through the
// same checks, so that none of them is a way around another.
//
// Its promise: it reads no clock and keeps nothing, allocates nothing for what
// is wanted, and what is not wanted has one reason out of one closed set.
package gate

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// Reason is why a sample is refused, as agents, senders and operators see it:
// one of the constants below. The empty Reason means that it is wanted.
type Reason = string

// All reasons.
const (
	Future     Reason = "future"
	TooOld     Reason = "too_old"
	Duplicate  Reason = "duplicate" // another value at the same time
	OutOfOrder Reason = "out_of_order"
	Series     Reason = "series_limit"
	Labels     Reason = "too_many_labels"
	LabelName  Reason = "label_name_too_long"
	LabelValue Reason = "label_value_too_long"
	TooLong    Reason = "labels_too_long" // all together
	Twice      Reason = "duplicate_label"
	NoName     Reason = "no_name"
	Reserved   Reason = "reserved_name"
	Identity   Reason = "reserved_labels" // those of an agent's series, or of the collector's own
	UTF8       Reason = "invalid_utf8"
	Histogram  Reason = "invalid_histogram"
	Delta      Reason = "delta_temporality" // OTLP: differences, not totals
	Malformed  Reason = "malformed"         // what cannot be read as a sample
)

// Reasons are all there are, for a metric that shows each from the start.
func Reasons() []Reason {
	return []Reason{
		Future, TooOld, Duplicate, OutOfOrder, Series, Labels, LabelName, LabelValue, TooLong,
		Twice, NoName, Reserved, Identity, UTF8, Histogram, Delta, Malformed,
	}
}

// Limits bound a series and a sample, whoever sends them. A zero stands for
// its default.
type Limits struct {
	LabelsPerSeries uint32        // besides the name; default 64
	LabelNameBytes  uint32        // default 256
	LabelValueBytes uint32        // of the metric's name as well; default 4096
	SeriesBytes     uint32        // all names and values of a series together; default 16 KiB
	MaxAhead        time.Duration // a sample may be ahead of the collector's clock; default 60 s
	MaxAge          time.Duration // a sample may be behind it; default 24 h, the store's out-of-order window
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	l.LabelsPerSeries = cmp.Or(l.LabelsPerSeries, 64)
	l.LabelNameBytes = cmp.Or(l.LabelNameBytes, 256)
	l.LabelValueBytes = cmp.Or(l.LabelValueBytes, 4096)
	l.SeriesBytes = cmp.Or(l.SeriesBytes, 16<<10)
	l.MaxAhead = cmp.Or(l.MaxAhead, time.Minute)
	l.MaxAge = cmp.Or(l.MaxAge, 24*time.Hour)
	return l
}

// Window is the span of time in which samples are wanted, in ms since the Unix
// epoch, both ends included.
type Window struct{ From, To int64 }

// Window is what is wanted while the collector's clock shows now.
func (l Limits) Window(now time.Time) Window {
	return Window{From: now.Add(-l.MaxAge).UnixMilli(), To: now.Add(l.MaxAhead).UnixMilli()}
}

// Check tells why no sample of that time is wanted. One from the future would
// hide all that comes after it: the store counts what is late from there.
func (w Window) Check(ms int64) Reason {
	switch {
	case ms > w.To:
		return Future
	case ms < w.From:
		return TooOld
	}
	return ""
}

// Value is v as it is to be stored. Of the many NaNs one ends a series, and one
// says «not a number»; the rest would be neither equal to each other nor to
// what a scrape gives.
func Value(v float64) float64 {
	if math.IsNaN(v) && !value.IsStaleNaN(v) {
		return math.Float64frombits(value.NormalNaN)
	}
	return v
}

// Refusal is why the store itself does not want a sample; empty if err means
// that it has failed.
func Refusal(err error) Reason {
	var invalid histogram.Error
	switch {
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return Duplicate
	case errors.Is(err, storage.ErrOutOfOrderSample):
		return OutOfOrder
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds):
		return TooOld
	case errors.Is(err, storage.ErrNativeHistogramsDisabled), errors.As(err, &invalid):
		return Histogram
	}
	return ""
}

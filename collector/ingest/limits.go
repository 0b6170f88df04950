package ingest

import (
	"cmp"
	"time"
)

// Limits bound what one agent may send. A zero stands for its default.
type Limits struct {
	FrameBytes      uint32        // of one frame, after decompression; default 16 MiB
	Series          uint32        // of one stream, that have not ended; default 200,000
	LabelsPerSeries uint32        // default 64
	LabelNameBytes  uint32        // default 256
	LabelValueBytes uint32        // default 4096
	MaxAhead        time.Duration // a sample may be ahead of this clock; default 60 s
	MaxAge          time.Duration // a sample may be behind it; default 24 h, the store's out-of-order window
}

func (l Limits) withDefaults() Limits {
	l.FrameBytes = cmp.Or(l.FrameBytes, 16<<20)
	l.Series = cmp.Or(l.Series, 200_000)
	l.LabelsPerSeries = cmp.Or(l.LabelsPerSeries, 64)
	l.LabelNameBytes = cmp.Or(l.LabelNameBytes, 256)
	l.LabelValueBytes = cmp.Or(l.LabelValueBytes, 4096)
	l.MaxAhead = cmp.Or(l.MaxAhead, time.Minute)
	l.MaxAge = cmp.Or(l.MaxAge, 24*time.Hour)
	return l
}

// A stream's tables only grow, because a reference is a position. An agent
// that has filled them starts another stream; so long they are bounded.
const (
	maxSymbols     = 4 << 20
	maxSymbolBytes = 64 << 20
	maxTable       = 4 << 20 // series and layouts, each
	maxEvents      = 1000    // of a frame
	maxEventBytes  = 4096    // of an event's text
)

// The reasons for which a sample is refused, as agents and operators see them.
const (
	reasonFuture     = "future"
	reasonTooOld     = "too_old"
	reasonDuplicate  = "duplicate" // another value at the same time
	reasonOrder      = "out_of_order"
	reasonSeries     = "series_limit"
	reasonLabels     = "too_many_labels"
	reasonLabelName  = "label_name_too_long"
	reasonLabelValue = "label_value_too_long"
	reasonTwice      = "duplicate_label"
	reasonNoName     = "no_name"
	reasonReserved   = "reserved_name"
	reasonUTF8       = "invalid_utf8"
)

// late tells why no sample of that time is wanted, "" if it is.
func (l Limits) late(at, now time.Time) string {
	switch {
	case at.After(now.Add(l.MaxAhead)):
		return reasonFuture // it would hide all that comes after it
	case at.Before(now.Add(-l.MaxAge)):
		return reasonTooOld
	}
	return ""
}

package ingest

import (
	"cmp"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

// Limits bound what one agent may send. A zero stands for its default.
type Limits struct {
	FrameBytes uint32 // of one frame, after decompression; default 16 MiB
	// Series of one node, and of one container, that have not ended; defaults
	// 200,000 and 20,000. Metrics of applications stop there; what the kernel
	// tells may go over it by a quarter, and what nobody can do without by half.
	Series, ContainerSeries uint32
	// TotalSeries is the same of all that the store has in memory; 0 for no
	// limit.
	TotalSeries uint64
	// SampleRate is how many samples a node may send per second of its own
	// time, on the average of half a minute; default 200,000. Metrics of
	// applications are cut first.
	SampleRate uint32
	// BackfillRate is how many samples per second all nodes together may send
	// of their past; default 1,000,000.
	BackfillRate uint32
	gate.Limits  // of each series and sample
}

func (l Limits) withDefaults() Limits {
	l.FrameBytes = cmp.Or(l.FrameBytes, 16<<20)
	l.Series = cmp.Or(l.Series, 200_000)
	l.ContainerSeries = cmp.Or(l.ContainerSeries, 20_000)
	l.SampleRate = cmp.Or(l.SampleRate, 200_000)
	l.BackfillRate = cmp.Or(l.BackfillRate, 1_000_000)
	l.Limits = l.Limits.WithDefaults()
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

package ingest

import "github.com/prometheus/prometheus/model/labels"

// Watch decides on some series as their samples arrive. Its methods are called
// for several nodes at a time and must not block.
type Watch interface {
	// Epoch changes when Series may answer otherwise than before. It is never 0.
	Epoch() uint64
	// Series returns what stands for a series in Stored, or nil if its samples
	// are not to be shown. It is asked once for each epoch and stream.
	Series(ls labels.Labels) any
	// Stored shows samples of one time, in ms since the Unix epoch, once they can
	// be queried, and ends of series as staleness markers. The slices are good
	// until it returns.
	Stored(at int64, series []any, values []float64)
}

// look is what a transaction will have for the watch. A sample that nobody
// watches costs it two comparisons.
type look struct {
	watch  Watch
	epoch  uint64 // of the watch, as the transaction began
	at     []int64
	series []any
	values []float64
}

func newLook(w Watch) look {
	l := look{watch: w}
	l.reset()
	return l
}

func (l *look) reset() {
	if l.watch == nil {
		return
	}
	l.epoch = l.watch.Epoch()
	clear(l.series)
	l.at, l.series, l.values = l.at[:0], l.series[:0], l.values[:0]
}

func (l *look) add(at int64, c *series, v float64) {
	if c.epoch != l.epoch {
		c.epoch, c.watched = l.epoch, l.watch.Series(c.labels)
	}
	if c.watched != nil {
		l.at, l.series, l.values = append(l.at, at), append(l.series, c.watched), append(l.values, v)
	}
}

// give shows the watch what has been stored, a time at a time.
func (l *look) give() {
	for from := 0; from < len(l.at); {
		until := from + 1
		for until < len(l.at) && l.at[until] == l.at[from] {
			until++
		}
		l.watch.Stored(l.at[from], l.series[from:until], l.values[from:until])
		from = until
	}
}

package ingest

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Tap is shown all samples that are stored, ends of series as staleness markers
// among them: what forwards them, say. It sees each at least once: what was
// stored and not yet acknowledged when the collector was killed is shown again.
type Tap interface {
	// Stored shows samples of one time, in ms since the Unix epoch. The slices
	// are good until it returns. It is called for several nodes at a time.
	Stored(at int64, series []labels.Labels, values []float64) error
	// Sync returns once what was shown before the call is safe. Nothing is
	// acknowledged before it has; that it fails stops nothing and is counted.
	Sync(ctx context.Context) error
}

// draft is what a transaction will have for the tap and the watch. It remembers
// nothing for who is not there.
type draft struct {
	tap    Tap
	look   look
	at     []int64
	series []labels.Labels
	values []float64
}

func (s *Server) newDraft() draft {
	return draft{tap: s.opts.Tap, look: newLook(s.opts.Watch)}
}

func (d *draft) reset() {
	d.look.reset()
	clear(d.series)
	d.at, d.series, d.values = d.at[:0], d.series[:0], d.values[:0]
}

func (d *draft) add(at int64, c *series, v float64) {
	d.look.add(at, c, v)
	if d.tap != nil {
		d.at, d.series, d.values = append(d.at, at), append(d.series, c.labels), append(d.values, v)
	}
}

// write appends a sample of the collector's own.
func (d *draft) write(app storage.AppenderV2, c *series, at int64, v float64) error {
	if err := write(app, c, at, v); err != nil {
		return err
	}
	d.add(at, c, v)
	return nil
}

// give shows the watch and the tap what has been stored, a time at a time.
func (s *Server) give(d *draft) {
	d.look.give()
	for from := 0; from < len(d.at); {
		until := from + 1
		for until < len(d.at) && d.at[until] == d.at[from] {
			until++
		}
		if err := d.tap.Stored(d.at[from], d.series[from:until], d.values[from:until]); err != nil {
			s.untapped("stored", err)
		}
		from = until
	}
}

// untapped counts what the tap has not taken.
func (s *Server) untapped(deed string, err error) {
	s.metrics.tapErrors.WithLabelValues(deed).Inc()
	if s.causes.say("tap " + deed) {
		s.log.Warn("what was stored cannot be passed on as well; it is stored all the same", "deed", deed, "err", err)
	}
}

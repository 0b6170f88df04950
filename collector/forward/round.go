package forward

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/plimsoll-io/plimsoll/collector/forward/spool"
)

// maxMetrics bounds what is remembered of metrics for version 1.
const maxMetrics = 20_000

// round is what an endpoint reads at a time, deals with as a whole, and only
// then notes as done.
type round struct {
	series   []*series
	samples  int // to be sent
	filtered int
	damaged  int
	end      spool.Place
	arrived  int64     // when the oldest was appended, in ms
	until    time.Time // more is waited for
}

// gatherer reads rounds from the spool.
type gatherer struct {
	reader   *spool.Reader
	external labels.Labels
	relabel  []*relabel.Config
	metadata func(metric string) Metric
	patience time.Duration // for more, once there is something

	record  *spool.Record // read, and left for the next round
	segment uint64
	known   map[uint32]*series // of that segment
	builder *labels.Builder
	metrics map[string]Metric // by family, of all that was sent
}

// next reads until there are enough samples, or no more come in time. It
// returns an error when ctx ends or the spool does, and nil otherwise. A round
// does not reach across segments, in which the same series has two references.
func (g *gatherer) next(ctx context.Context, enough int, tell func(arrived int64)) (*round, error) {
	r := &round{}
	for r.samples < enough {
		if g.record == nil {
			rec, err := g.read(ctx, r)
			if err != nil {
				return nil, err
			}
			if rec == nil {
				break
			}
			g.record = rec
		}
		if g.record.Segment != g.segment {
			if r.end != (spool.Place{}) {
				break
			}
			g.segment, g.known = g.record.Segment, map[uint32]*series{}
		}
		if r.arrived == 0 {
			r.arrived, r.until = g.record.Arrived, time.Now().Add(g.patience)
			tell(r.arrived)
		}
		g.take(r)
	}
	return r, nil
}

// read returns the next record, or nil if the round has waited long enough.
func (g *gatherer) read(ctx context.Context, r *round) (*spool.Record, error) {
	if r.end == (spool.Place{}) {
		return g.reader.Next(ctx)
	}
	limited, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	rec, err := g.reader.Next(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, nil
	}
	return rec, err
}

// take moves the samples of g.record to the round.
func (g *gatherer) take(r *round) {
	rec := g.record
	g.record = nil
	r.end, r.damaged = rec.End, r.damaged+int(rec.Damaged)
	for i, ref := range rec.Refs {
		s := g.known[ref]
		if s == nil {
			s = g.resolve(g.reader.Labels(ref))
			g.known[ref] = s
		}
		if s.leftOut {
			r.filtered++
			continue
		}
		if len(s.samples) == 0 {
			r.series = append(r.series, s)
		}
		s.samples = append(s.samples, sample{rec.At, rec.Values[i]})
		r.samples++
	}
}

// resolve gives a series the labels under which it is sent: as in Prometheus,
// external labels where it has none of that name, then the rules.
func (g *gatherer) resolve(ls labels.Labels) *series {
	name := ls.Get(model.MetricNameLabel)
	g.builder.Reset(ls)
	g.external.Range(func(l labels.Label) {
		if ls.Get(l.Name) == "" {
			g.builder.Set(l.Name, l.Value)
		}
	})
	if !relabel.ProcessBuilder(g.builder, g.relabel...) {
		return &series{leftOut: true}
	}
	s := &series{labels: g.builder.Labels()}
	if s.labels.IsEmpty() {
		return &series{leftOut: true}
	}
	s.hash = s.labels.Hash()
	g.describe(s, name)
	return s
}

// describe finds what is known of the metric, which may be told under the name
// of the series or of its family.
func (g *gatherer) describe(s *series, name string) {
	if g.metadata == nil {
		return
	}
	told := name
	if s.metric = g.metadata(name); s.metric == (Metric{}) {
		told = family(name)
		s.metric = g.metadata(told)
	}
	if s.metric != (Metric{}) && len(g.metrics) < maxMetrics {
		sent := s.labels.Get(model.MetricNameLabel)
		if told != name {
			sent = family(sent)
		}
		g.metrics[sent] = s.metric
	}
}

// done empties the series of a round for the next one.
func (r *round) done() {
	for _, s := range r.series {
		s.samples = s.samples[:0]
	}
}

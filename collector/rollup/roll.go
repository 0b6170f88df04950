package rollup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

const (
	// lookEvery is how often Run looks for slices that have become due.
	lookEvery = time.Minute
	// burst is how long rolling up goes on without a rest.
	burst = 20 * time.Millisecond
)

// sumLabel marks the series that hold the sums of a gauge's windows, beside the
// series itself. Whatever else has such a label is not rolled up.
const (
	sumLabel = "__rollup__"
	sumValue = "sum"
)

// Run rolls up what is due until ctx ends. A failure is told and tried again a
// minute later: rollups are a comfort, and no reason to stop collecting.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := s.catchUp(ctx); err != nil && ctx.Err() == nil {
			s.metrics.failures.Inc()
			s.opts.Log.Warn("rolling up failed, it is tried again in a minute", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// catchUp rolls up every slice that is due.
func (s *Store) catchUp(ctx context.Context) error {
	lacking, err := s.todo(time.Now())
	if err != nil {
		return err
	}
	s.whole.Store(len(lacking) == 0)
	if len(lacking) > 1 {
		s.opts.Log.Info("rolling up what is stored", "slices", len(lacking), "from", time.UnixMilli(lacking[0]).UTC())
	}
	for i, from := range lacking {
		s.metrics.pending.Set(float64(len(lacking) - i))
		if err := s.held(); err != nil {
			return err
		}
		if err := s.rollSlice(ctx, from); err != nil {
			return fmt.Errorf("roll up the %v from %s: %w", Slice, time.UnixMilli(from).UTC().Format(time.RFC3339), err)
		}
	}
	s.metrics.pending.Set(0)
	s.whole.Store(true)
	return nil
}

// held says why nothing should be written for now, or nil.
func (s *Store) held() error {
	if s.opts.Hold != nil {
		if why := s.opts.Hold(); why != nil {
			return fmt.Errorf("nothing is written for now: %w", why)
		}
	}
	return nil
}

// rollSlice makes the rollups of one slice: one block, all of it or nothing.
func (s *Store) rollSlice(ctx context.Context, from int64) (err error) {
	to := from + slice
	// The window that ends with the slice's first instant is read whole, because
	// what is left of that instant depends on it.
	q, err := s.opts.Raw.Querier(from-window+1, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	b, err := newBlock(s.opts.Dir, from, to)
	if err != nil {
		return err
	}
	r := roller{block: b, pace: newPace(s.opts.Share, s.held)}
	if s.opts.Types != nil {
		r.types = s.opts.Types()
	}
	defer func() {
		s.metrics.in.Add(float64(r.in))
		s.metrics.seconds.Add(r.pace.worked().Seconds())
	}()
	set := q.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, ".*"))
	for set.Next() {
		if err = r.series(set.At().Labels(), set.At().Iterator(r.it)); err != nil {
			break
		}
		if err = r.pace.rest(ctx); err != nil {
			break
		}
	}
	if err = errors.Join(err, set.Err()); err != nil {
		return errors.Join(err, b.abandon())
	}
	out := b.meta.Stats.NumSamples
	if err := b.finish(ctx); err != nil {
		return err
	}
	s.metrics.out.Add(float64(out))
	s.mu.Lock()
	defer s.mu.Unlock()
	if out == 0 {
		s.empty[from] = true
	} else {
		s.written[from] = true
	}
	return nil
}

// roller rolls up series after series into a block.
type roller struct {
	block *block
	types map[string]string
	pace  *pace
	in    int64 // samples read

	it         chunkenc.Iterator
	kept, sums []point
}

// series rolls up one series.
func (r *roller) series(ls labels.Labels, it chunkenc.Iterator) error {
	r.it = it
	if ls.Has(sumLabel) {
		return nil
	}
	name := ls.Get(model.MetricNameLabel)
	k := kindOf(name, r.types[name])
	from, to := r.block.meta.MinTime, r.block.meta.MaxTime
	within := func(p point) bool { return from <= p.t && p.t < to }

	r.kept, r.sums = r.kept[:0], r.sums[:0]
	w := windows{it: it}
	for end, samples, ok := w.next(); ok; end, samples, ok = w.next() {
		r.in += int64(len(samples))
		if p, ok := total(end, samples); ok && k != counter && within(p) {
			r.sums = append(r.sums, p)
		}
		for _, p := range reduce(samples, k) {
			if within(p) {
				r.kept = append(r.kept, p)
			}
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("series %s: %w", ls, err)
	}
	if err := r.block.add(ls, r.kept); err != nil {
		return err
	}
	return r.block.add(labels.NewBuilder(ls).Set(sumLabel, sumValue).Labels(), r.sums)
}

// pace keeps work within a share of the time.
type pace struct {
	share float64
	held  func() error // asked at each rest why there should be no more work
	since time.Time    // when the present stretch of work began
	spent time.Duration
}

func newPace(share float64, held func() error) *pace {
	return &pace{share: share, held: held, since: time.Now()}
}

// rest waits, after a stretch of work, until that was no more than the share of
// the time that has passed. It returns an error if ctx ends, or if the work is
// held: a store that has failed waits for its readers, this one among them.
func (p *pace) rest(ctx context.Context) error {
	took := time.Since(p.since)
	if took < burst {
		return ctx.Err()
	}
	p.spent += took
	idle := time.NewTimer(time.Duration(float64(took) * (1/p.share - 1)))
	defer idle.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-idle.C:
	}
	p.since = time.Now()
	return p.held()
}

// worked is the time that was not rest.
func (p *pace) worked() time.Duration { return p.spent + time.Since(p.since) }

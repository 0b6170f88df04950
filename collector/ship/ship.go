// Package ship copies the blocks of a store into an object storage, in the form
// in which Thanos reads them: chunks and index as they are, and meta.json, which
// makes a block visible, last and with the labels of the collector.
//
// Its promise: every sample that reached a block reaches the bucket once. What
// is in the bucket is known by the blocks of the head that a block was made of
// (its sources), not by its compaction level, so late samples and history are
// neither left out nor sent twice. A kill at any moment leaves nothing that a
// reader takes for a block, and nothing that the next start does not clear.
package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// The external labels of a collector. Their names are not those of any metric:
// where a series has a label of the same name, Thanos shows it under two sets
// of labels, depending on which way it came.
const (
	LabelCluster = "plimsoll_cluster" // of all collectors that belong together
	LabelReplica = "plimsoll_replica" // of this collector alone
)

// Options say what is copied, and where to.
type Options struct {
	// Dir is the directory of the TSDB that holds the blocks.
	Dir string
	// Bucket is where they go; see OpenBucket. The caller closes it.
	Bucket Bucket
	// ExternalLabels tell the blocks of this collector from others in the same
	// bucket. At least one is needed.
	ExternalLabels map[string]string
	// Interval is how often the directory is looked at; 0 means 30 s. After a
	// failure it is doubled each time, up to ten minutes.
	Interval   time.Duration
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	defaultInterval = 30 * time.Second
	longestPause    = 10 * time.Minute
	// enoughFailures end a round.
	enoughFailures = 3
)

// Shipper copies blocks. Only Run changes anything; HoldBack may be called at
// any time.
type Shipper struct {
	opts    Options
	log     *slog.Logger
	state   *state
	metrics *metrics
	// waiting are the blocks of the last round that are not in the bucket.
	waiting []ulid.ULID
}

// New reads what has been copied before. It asks nothing of the bucket yet, and
// the directory need not exist.
func New(opts Options) (*Shipper, error) {
	if opts.Dir == "" || opts.Bucket == nil {
		return nil, errors.New("ship blocks: a data directory and a bucket are needed")
	}
	if len(opts.ExternalLabels) == 0 {
		return nil, errors.New("ship blocks: without external labels nobody can tell whose blocks are in the bucket; name the cluster and the replica")
	}
	for name, value := range opts.ExternalLabels {
		if !model.UTF8Validation.IsValidLabelName(name) || value == "" {
			return nil, fmt.Errorf("ship blocks: external label %q=%q is not a label", name, value)
		}
	}
	if opts.Interval <= 0 {
		opts.Interval = defaultInterval
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Shipper{opts: opts, log: opts.Log, metrics: newMetrics()}
	if err := durable.DropTorn(filepath.Join(opts.Dir, StateFile)); err != nil {
		s.log.Warn("what a crash has left beside the list of what was copied cannot be removed", "err", err)
	}
	var err error
	if s.state, err = readState(filepath.Join(opts.Dir, StateFile)); err != nil {
		s.log.Warn("what was copied before is not known, the bucket will be asked", "err", err)
	}
	if opts.Registerer != nil {
		if err := s.metrics.register(opts.Registerer); err != nil {
			return nil, fmt.Errorf("ship blocks: register metrics: %w", err)
		}
	}
	return s, nil
}

// HoldBack tells whether a block is not in the bucket yet. The store must not
// compact such a block: merged with one that is, its samples could not be
// copied without copying the others again. It is a tsdb.BlockExcludeFilterFunc.
func (s *Shipper) HoldBack(meta *tsdb.BlockMeta) bool { return !s.state.covers(meta) }

// Run copies blocks until ctx ends. A failure is logged, counted and tried
// again; it never ends the loop.
func (s *Shipper) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := s.round(ctx); err == nil {
			failures = 0
			s.metrics.succeeded.SetToCurrentTime()
		} else if ctx.Err() == nil {
			failures++
			s.metrics.failures.Inc()
			s.log.Error("blocks not copied, trying again", "err", err, "pending", len(s.waiting), "in", s.pause(failures))
		}
		timer.Reset(spread(s.pause(failures)))
	}
}

func (s *Shipper) pause(failures int) time.Duration {
	pause := s.opts.Interval
	for range failures {
		pause = min(2*pause, max(longestPause, s.opts.Interval))
	}
	return pause
}

// spread takes up to a fifth off, so that collectors that failed together do
// not come back together.
func spread(d time.Duration) time.Duration {
	return d - rand.N(d/5+1)
}

// round copies what is not in the bucket.
func (s *Shipper) round(ctx context.Context) error {
	blocks, unread := localBlocks(s.opts.Dir)
	if unread == nil {
		s.mourn(blocks)
	}
	err := s.copyDue(ctx, blocks)
	s.note(s.due(blocks))
	if unread == nil { // else a block that was not read would be forgotten
		s.state.keep(blocks)
	}
	return errors.Join(unread, err, s.state.write())
}

// copyDue copies what is due. A block that cannot be copied does not keep the
// others from it, but where several cannot, it is not the blocks.
func (s *Shipper) copyDue(ctx context.Context, blocks []block) error {
	if err := s.clear(ctx, blocks); err != nil {
		return err
	}
	if !s.state.complete() {
		if err := s.learn(ctx); err != nil {
			return err
		}
	}
	var errs []error
	due := s.due(blocks)
	for i, b := range due {
		s.note(due[i:])
		if err := s.copyOnce(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("block %s: %w", b.meta.ULID, err))
		}
		if ctx.Err() != nil || len(errs) == enoughFailures {
			break
		}
	}
	return errors.Join(errs...)
}

// due are the blocks that have something the bucket has not, oldest first.
func (s *Shipper) due(blocks []block) []block {
	return slices.DeleteFunc(slices.Clone(blocks), func(b block) bool { return s.state.covers(&b.meta) })
}

// note remembers what waits.
func (s *Shipper) note(due []block) {
	s.waiting = s.waiting[:0]
	for _, b := range due {
		s.waiting = append(s.waiting, b.meta.ULID)
	}
	s.metrics.pending.Set(float64(len(due)))
}

// mourn counts the blocks that waited and are gone, merged ones not among them.
func (s *Shipper) mourn(blocks []block) {
	left := ofAll(blocks)
	for _, id := range s.waiting {
		if !left[id] {
			s.metrics.missed.Inc()
			s.log.Error("a block was deleted before it was copied: its samples are not in the bucket", "block", id)
		}
	}
}

// ofAll are the blocks and those they were made of.
func ofAll(blocks []block) map[ulid.ULID]bool {
	ids := map[ulid.ULID]bool{}
	for _, b := range blocks {
		ids[b.meta.ULID] = true
		for _, id := range b.meta.Compaction.Sources {
			ids[id] = true
		}
	}
	return ids
}

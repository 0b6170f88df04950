package rollup

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"golang.org/x/sys/unix"
)

// compactor merges blocks as the TSDB does by itself, but not while nothing
// should be written, or if it would take more than half of what is free: small
// blocks are a lesser evil than a disk without room for samples. Nor while a slice
// is to be rolled up: a block that was merged across that hole would seem to
// cover it, as all that is known of a block is its begin and its end.
type compactor struct {
	tsdb.Compactor
	whole *atomic.Bool
	held  func() error
	log   *slog.Logger
}

func (s *Store) newCompactor(ctx context.Context, r prometheus.Registerer, log *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
	c, err := tsdb.NewLeveledCompactorWithOptions(ctx, r, log, ranges, pool, tsdb.LeveledCompactorOptions{
		MaxBlockChunkSegmentSize:    o.MaxBlockChunkSegmentSize,
		EnableOverlappingCompaction: o.EnableOverlappingCompaction,
		PD:                          o.PostingsDecoderFactory,
	})
	return compactor{c, &s.whole, s.held, log}, err
}

// Plan implements tsdb.Compactor.
func (c compactor) Plan(dir string) ([]string, error) {
	if !c.whole.Load() {
		return nil, nil
	}
	plan, err := c.Compactor.Plan(dir)
	if err != nil || len(plan) == 0 {
		return nil, err
	}
	if err := c.room(dir, plan); err != nil {
		c.log.Warn("rollups are not merged for now", "err", err)
		return nil, nil
	}
	return plan, nil
}

// room says why the blocks must not be merged, or nil.
func (c compactor) room(dir string, blocks []string) error {
	if err := c.held(); err != nil {
		return err
	}
	var bytes int64
	for _, block := range blocks {
		n, err := size(block)
		if err != nil {
			return err
		}
		bytes += n
	}
	var v unix.Statfs_t
	if err := unix.Statfs(dir, &v); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if free := int64(v.Bavail) * v.Frsize; bytes > free/2 {
		return fmt.Errorf("that takes up to %d bytes, and %d are free", bytes, free)
	}
	return nil
}

// size is what the files below a directory take.
func size(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

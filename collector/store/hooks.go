package store

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// hook puts the functions of this file into the options of a TSDB, which asks
// them before it makes blocks and while it reads. ctx ends a compaction.
func (l *life) hook(ctx context.Context, o *tsdb.Options, damaged func(chunkDamage) bool) {
	o.NewCompactorFunc = func(_ context.Context, r prometheus.Registerer, log *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
		return l.newCompactor(ctx, r, log, ranges, pool, o)
	}
	o.BlockQuerierFunc = func(b tsdb.BlockReader, mint, maxt int64) (storage.Querier, error) {
		return tsdb.NewBlockQuerier(tolerating(b, damaged), mint, maxt)
	}
	o.BlockChunkQuerierFunc = func(b tsdb.BlockReader, mint, maxt int64) (storage.ChunkQuerier, error) {
		return tsdb.NewBlockChunkQuerier(tolerating(b, damaged), mint, maxt)
	}
}

// newCompactor makes the compactor that the TSDB would make by itself, but one
// that begins nothing for which there is no room.
func (l *life) newCompactor(ctx context.Context, r prometheus.Registerer, log *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
	c, err := tsdb.NewLeveledCompactorWithOptions(ctx, r, log, ranges, pool, tsdb.LeveledCompactorOptions{
		MaxBlockChunkSegmentSize:    o.MaxBlockChunkSegmentSize,
		EnableOverlappingCompaction: o.EnableOverlappingCompaction,
		PD:                          o.PostingsDecoderFactory,
		BlockExcludeFilter:          o.BlockCompactionExcludeFunc,
	})
	return compactor{c, l}, err
}

type compactor struct {
	tsdb.Compactor
	life *life
}

// noBlocks is a plan to merge no blocks. After it the TSDB looks for blocks that
// have come, and deletes those beyond retention, as after any other.
const noBlocks = ""

// Plan implements tsdb.Compactor. Where there is no room to merge blocks, they
// can as well stay as they are.
func (c compactor) Plan(dir string) ([]string, error) {
	if c.life.look.CompareAndSwap(true, false) {
		return []string{noBlocks}, nil
	}
	plan, err := c.Compactor.Plan(dir)
	bytes := c.life.need().chunks
	for _, block := range plan {
		bytes += size(block)
	}
	if err != nil || len(plan) == 0 || c.life.mayWrite(bytes) == nil {
		return plan, err
	}
	return nil, nil
}

// Compact implements tsdb.Compactor.
func (c compactor) Compact(dest string, dirs []string, open []*tsdb.Block) ([]ulid.ULID, error) {
	if slices.Equal(dirs, []string{noBlocks}) {
		return nil, nil
	}
	return c.Compactor.Compact(dest, dirs, open)
}

// Write implements tsdb.Compactor.
func (c compactor) Write(dest string, b tsdb.BlockReader, mint, maxt int64, base *tsdb.BlockMeta) ([]ulid.ULID, error) {
	needs := c.life.need()
	if block, ok := b.(*tsdb.Block); ok {
		needs.block = block.Size()
	}
	var err error
	if dest == c.life.dir {
		err = c.life.mayWrite(needs.chunks + needs.block)
	} else {
		err = roomIn(dest, needs.block)
	}
	if err != nil {
		return nil, fmt.Errorf("no block is made: %w", err)
	}
	return c.Compactor.Write(dest, b, mint, maxt, base)
}

// roomIn tells what is lacking to write so much elsewhere. The directory need
// not be there yet.
func roomIn(dir string, bytes int64) error {
	v, err := statfs(dir)
	for err != nil && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		v, err = statfs(dir)
	}
	if err != nil {
		return err
	}
	if v.free < bytes {
		return fmt.Errorf("%s are free in %s, and up to %s are needed", inBytes(v.free), dir, inBytes(bytes))
	}
	return nil
}

// registrar sees which of the metrics that the TSDB registers count the failed
// writes of its logs.
type registrar struct {
	*prometheus.Registry
	life *life
}

var writesFailed = []string{
	`"prometheus_tsdb_wal_writes_failed_total"`,
	`"prometheus_tsdb_out_of_order_wbl_writes_failed_total"`,
}

// Register implements prometheus.Registerer.
func (r registrar) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	for d := range descs {
		for _, name := range writesFailed {
			if strings.Contains(d.String(), name) {
				r.life.writesFailed = append(r.life.writesFailed, c)
			}
		}
	}
	return r.Registry.Register(c)
}

// MustRegister implements prometheus.Registerer.
func (r registrar) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// counted is the sum of the counters of a collector.
func counted(c prometheus.Collector) (sum float64) {
	metrics := make(chan prometheus.Metric)
	go func() {
		defer close(metrics)
		c.Collect(metrics)
	}()
	for metric := range metrics {
		var m dto.Metric
		if metric.Write(&m) == nil {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

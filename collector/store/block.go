package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// verifyBlock reads all of a block that every query over it would read: its
// description, each checksummed section of its index, and that the chunks the
// index points at lie within files that are there. It does not read the chunks
// themselves: that would be reading all data at every start.
func verifyBlock(ctx context.Context, dir string) (err error) {
	b, err := tsdb.OpenBlock(nil, dir, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if name := b.Meta().ULID.String(); name != filepath.Base(dir) {
		return fmt.Errorf("meta.json is of block %s", name)
	}
	ix, err := b.Index()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ix.Close()) }()
	if err := verifySeries(ctx, b, ix, dir); err != nil {
		return err
	}
	return verifyPostings(ctx, ix)
}

// verifySeries decodes each series, and the last chunk of each chunk file, which
// is the one that a truncated file lacks.
func verifySeries(ctx context.Context, b *tsdb.Block, ix tsdb.IndexReader, dir string) error {
	files, err := numbered(filepath.Join(dir, "chunks"))
	if err != nil {
		return err
	}
	last := make([]chunks.Meta, len(files))
	name, value := index.AllPostingsKey()
	all, err := ix.Postings(ctx, name, value)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	var (
		builder labels.ScratchBuilder
		metas   []chunks.Meta
		series  uint64
	)
	for all.Next() {
		if err := ix.Series(all.At(), &builder, &metas); err != nil {
			return fmt.Errorf("index: series: %w", err)
		}
		series++
		for _, m := range metas {
			file, offset := chunks.BlockChunkRef(m.Ref).Unpack()
			if file >= len(files) || int64(offset) >= files[file].info.Size() {
				return fmt.Errorf("chunks/%06d is missing or too short", file+1)
			}
			if m.Ref > last[file].Ref {
				last[file] = m
			}
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("index: postings: %w", err)
	}
	if want := b.Meta().Stats.NumSeries; series != want {
		return fmt.Errorf("index has %d series, meta.json says %d", series, want)
	}
	return verifyChunks(b, last)
}

func verifyChunks(b *tsdb.Block, metas []chunks.Meta) (err error) {
	r, err := b.Chunks()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for _, m := range metas {
		if m.Ref == 0 {
			continue
		}
		if _, _, err := r.ChunkOrIterable(m); err != nil {
			return fmt.Errorf("chunks: %w", err)
		}
	}
	return nil
}

// verifyPostings reads the list of series of each label value.
func verifyPostings(ctx context.Context, ix tsdb.IndexReader) error {
	names, err := ix.LabelNames(ctx)
	if err != nil {
		return fmt.Errorf("index: label names: %w", err)
	}
	for _, name := range names {
		values, err := ix.SortedLabelValues(ctx, name, nil)
		if err != nil {
			return fmt.Errorf("index: values of label %s: %w", name, err)
		}
		if _, err := ix.Postings(ctx, name, values...); err != nil {
			return fmt.Errorf("index: postings of label %s: %w", name, err)
		}
	}
	return nil
}

// blockTimes is what a block covers, as far as it still says: by its
// description, else by its index, else, as both ends, by the time of its making
// in its name.
func blockTimes(dir string) (from, to time.Time) {
	var meta tsdb.BlockMeta
	data, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err == nil && json.Unmarshal(data, &meta) == nil && meta.MaxTime > 0 {
		return time.UnixMilli(meta.MinTime).UTC(), time.UnixMilli(meta.MaxTime).UTC()
	}
	if from, to, err := indexTimes(filepath.Join(dir, "index")); err == nil && !from.After(to) {
		return from, to
	}
	id, err := ulid.ParseStrict(filepath.Base(dir))
	if err != nil {
		return time.Time{}, time.Time{}
	}
	made := ulid.Time(id.Time()).UTC()
	return made, made
}

// indexTimes is what the chunks that an index names cover.
func indexTimes(path string) (from, to time.Time, err error) {
	r, err := index.NewFileReader(path, index.DecodePostingsRaw)
	if err != nil {
		return from, to, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	name, value := index.AllPostingsKey()
	all, err := r.Postings(context.Background(), name, value)
	if err != nil {
		return from, to, err
	}
	var (
		builder labels.ScratchBuilder
		metas   []chunks.Meta
		mint    = int64(math.MaxInt64)
		maxt    = int64(math.MinInt64)
	)
	for all.Next() {
		if err := r.Series(all.At(), &builder, &metas); err != nil {
			return from, to, err
		}
		for _, m := range metas {
			mint, maxt = min(mint, m.MinTime), max(maxt, m.MaxTime)
		}
	}
	return time.UnixMilli(mint).UTC(), time.UnixMilli(maxt).UTC(), all.Err()
}

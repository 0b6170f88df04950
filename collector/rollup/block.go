package rollup

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/fileutil"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// tmpSuffix is what the TSDB takes for a block that was never finished, and
// removes when it opens.
const tmpSuffix = ".tmp-for-creation"

// spillFile holds chunks until the order of series is known.
const spillFile = "spill"

// block is being written. The format wants series and their chunks in the order
// of labels, and they come in any; so chunks are first spilled into a file, and
// of each series only its labels and the places of its chunks are in memory. The
// library's own writer holds everything there, in a head of its own.
type block struct {
	dir, tmp string
	meta     tsdb.BlockMeta
	spill    *os.File
	out      *bufio.Writer // into spill
	end      int64         // of what was spilled, in bytes
	series   []spilled
}

// spilled is a series whose chunks are in the file, one after the other.
type spilled struct {
	labels labels.Labels
	begin  int64
	chunks []place
}

// place is a chunk.
type place struct {
	mint, maxt int64
	size       int
	encoding   chunkenc.Encoding
}

// newBlock begins a block for the samples from mint to before maxt.
func newBlock(into string, mint, maxt int64) (*block, error) {
	id := ulid.Make()
	b := &block{dir: filepath.Join(into, id.String())}
	b.tmp = b.dir + tmpSuffix
	b.meta = tsdb.BlockMeta{ULID: id, MinTime: mint, MaxTime: maxt, Version: 1}
	b.meta.Compaction.Level = 1
	b.meta.Compaction.Sources = []ulid.ULID{id}
	if err := os.MkdirAll(b.tmp, 0o750); err != nil {
		return nil, err
	}
	var err error
	if b.spill, err = os.Create(filepath.Join(b.tmp, spillFile)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.tmp))
	}
	b.out = bufio.NewWriterSize(b.spill, 1<<18)
	return b, nil
}

// add takes a series with all its samples. Series may come in any order, each
// once.
func (b *block) add(ls labels.Labels, samples []point) error {
	if len(samples) == 0 {
		return nil
	}
	encoder := storage.NewSeriesToChunkEncoder(&storage.SeriesEntry{
		Lset:             ls,
		SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator { return &list{rest: samples} },
	})
	s := spilled{labels: ls, begin: b.end}
	it := encoder.Iterator(nil)
	for it.Next() {
		c := it.At()
		data, n := c.Chunk.Bytes(), uint64(c.Chunk.NumSamples())
		if _, err := b.out.Write(data); err != nil {
			return err
		}
		b.end += int64(len(data))
		s.chunks = append(s.chunks, place{c.MinTime, c.MaxTime, len(data), c.Chunk.Encoding()})
		b.meta.Stats.NumSamples += n
		if c.Chunk.Encoding() == chunkenc.EncXOR {
			b.meta.Stats.NumFloatSamples += n
		} else {
			b.meta.Stats.NumHistogramSamples += n
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	b.meta.Stats.NumChunks += uint64(len(s.chunks))
	b.series = append(b.series, s)
	return nil
}

// finish makes the block part of the directory, all of it or nothing. A block
// without series is dropped.
func (b *block) finish(ctx context.Context) error {
	if len(b.series) == 0 {
		return b.abandon()
	}
	b.meta.Stats.NumSeries = uint64(len(b.series))
	slices.SortFunc(b.series, func(a, b spilled) int { return labels.Compare(a.labels, b.labels) })
	err := b.out.Flush()
	if err == nil {
		err = b.write(ctx)
	}
	if err == nil {
		err = os.Remove(b.spill.Name())
	}
	if err == nil {
		err = b.writeMeta()
	}
	if err == nil {
		err = fileutil.Replace(b.tmp, b.dir)
	}
	if err != nil {
		return errors.Join(err, b.abandon())
	}
	return b.spill.Close()
}

// abandon removes what was written.
func (b *block) abandon() error { return errors.Join(b.spill.Close(), os.RemoveAll(b.tmp)) }

// write writes chunks and index.
func (b *block) write(ctx context.Context) (err error) {
	c, err := chunks.NewWriter(filepath.Join(b.tmp, "chunks"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	w, err := index.NewWriter(ctx, filepath.Join(b.tmp, "index"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for _, symbol := range b.symbols() {
		if err := w.AddSymbol(symbol); err != nil {
			return err
		}
	}
	for i, s := range b.series {
		metas, err := b.read(s)
		if err != nil {
			return err
		}
		if err := c.WriteChunks(metas...); err != nil {
			return err
		}
		if err := w.AddSeries(storage.SeriesRef(i), s.labels, metas...); err != nil {
			return err
		}
	}
	return nil
}

// symbols are all names and values of labels, in order.
func (b *block) symbols() []string {
	seen := map[string]struct{}{}
	for _, s := range b.series {
		s.labels.Range(func(l labels.Label) {
			seen[l.Name], seen[l.Value] = struct{}{}, struct{}{}
		})
	}
	return slices.Sorted(maps.Keys(seen))
}

// read brings the chunks of a series back.
func (b *block) read(s spilled) ([]chunks.Meta, error) {
	metas := make([]chunks.Meta, len(s.chunks))
	at := s.begin
	for i, p := range s.chunks {
		data := make([]byte, p.size)
		if _, err := b.spill.ReadAt(data, at); err != nil {
			return nil, err
		}
		at += int64(p.size)
		c, err := chunkenc.FromData(p.encoding, data)
		if err != nil {
			return nil, err
		}
		metas[i] = chunks.Meta{MinTime: p.mint, MaxTime: p.maxt, Chunk: c}
	}
	return metas, nil
}

// writeMeta writes the block's description, and that nothing of it is deleted:
// who links blocks wants that file too.
func (b *block) writeMeta() (err error) {
	if _, err := tombstones.WriteFile(slog.New(slog.DiscardHandler), b.tmp, tombstones.NewMemTombstones()); err != nil {
		return err
	}
	text, err := json.MarshalIndent(b.meta, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(b.tmp, "meta.json"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, cmp.Or(err, f.Sync()), f.Close(), durable.SyncDir(b.tmp))
}

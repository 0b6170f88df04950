package store

import (
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// The chunks of a block are not read when the store opens: there are too many.
// One that turns out to be damaged fails the first query that wants it; those
// after it are answered without, and warned.

// chunkDamage is a chunk that cannot be read.
type chunkDamage struct {
	block tsdb.BlockMeta
	chunk chunks.Meta
	err   error
}

// badChunk names it.
type badChunk struct {
	block ulid.ULID
	ref   chunks.ChunkRef
}

// damaged notes a damaged chunk as a loss, and tells whether it had done so
// before.
func (s *Store) damaged(d chunkDamage) (known bool) {
	s.mu.Lock()
	id := badChunk{d.block.ULID, d.chunk.Ref}
	if _, known = s.bad[id]; known {
		s.mu.Unlock()
		return true
	}
	s.bad[id] = struct{}{}
	l := Loss{
		What: fmt.Sprintf("a chunk of block %s", d.block.ULID), Why: d.err,
		From: time.UnixMilli(d.chunk.MinTime).UTC(), To: time.UnixMilli(d.chunk.MaxTime).UTC(),
	}
	s.losses = append(s.losses, l)
	s.mu.Unlock()
	s.log.Warn("a chunk is damaged, the rest of its block is in use", "block", d.block.ULID, "from", l.From, "to", l.To, "err", d.err)
	return false
}

// tolerating is a block whose damaged chunks are empty once damaged has said
// that they are known. What is in memory is left as it is.
func tolerating(b tsdb.BlockReader, damaged func(chunkDamage) (known bool)) tsdb.BlockReader {
	if _, ok := b.(*tsdb.Block); !ok {
		return b
	}
	return tolerantBlock{b, damaged}
}

type tolerantBlock struct {
	tsdb.BlockReader
	damaged func(chunkDamage) bool
}

// Chunks implements tsdb.BlockReader.
func (b tolerantBlock) Chunks() (tsdb.ChunkReader, error) {
	r, err := b.BlockReader.Chunks()
	return tolerantChunks{r, b}, err
}

type tolerantChunks struct {
	tsdb.ChunkReader
	block tolerantBlock
}

// ChunkOrIterable implements tsdb.ChunkReader.
func (c tolerantChunks) ChunkOrIterable(meta chunks.Meta) (chunkenc.Chunk, chunkenc.Iterable, error) {
	chunk, iterable, err := c.ChunkReader.ChunkOrIterable(meta)
	if err == nil {
		return chunk, iterable, nil
	}
	block := c.block.Meta()
	if c.block.damaged(chunkDamage{block, meta, err}) {
		return chunkenc.NewXORChunk(), nil, nil
	}
	return nil, nil, fmt.Errorf("block %s: a chunk is damaged, the next query goes without it: %w", block.ULID, err)
}

package ship

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/objstore"
	"golang.org/x/sync/errgroup"
)

const (
	metaName  = "meta.json"
	indexName = "index"
	chunksDir = "chunks"

	blockVersion  = 1
	thanosVersion = 1
	// source is who made a block, for people who look into the bucket.
	source = "plimsoll"

	// maxMetaBytes is more than any meta.json has: 1,000 sources take 30 kB.
	maxMetaBytes = 8 << 20
	// readers is how many meta.json are read from the bucket at a time.
	readers = 8
)

// block is a directory of the store.
type block struct {
	dir  string
	meta tsdb.BlockMeta
}

// localBlocks are the finished blocks of a directory, oldest samples first. A
// block appears under its name only once it is whole. One that cannot be read
// is left out, and is an error beside the others.
func localBlocks(dir string) ([]block, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	var blocks []block
	var errs []error
	for _, e := range entries {
		id, err := ulid.ParseStrict(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		at := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(filepath.Join(at, metaName))
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
				continue // deleted since the list was made
			}
		}
		var meta *thanosMeta
		if err == nil {
			meta, err = parseMeta(data, id)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("block %s: %w", e.Name(), err))
			continue
		}
		blocks = append(blocks, block{at, meta.BlockMeta})
	}
	slices.SortFunc(blocks, func(a, b block) int {
		return cmp.Or(cmp.Compare(a.meta.MinTime, b.meta.MinTime), a.meta.ULID.Compare(b.meta.ULID))
	})
	return blocks, errors.Join(errs...)
}

// parseMeta reads a meta.json, whether of the store or of the bucket.
func parseMeta(data []byte, id ulid.ULID) (*thanosMeta, error) {
	var meta thanosMeta
	if err := json.Unmarshal(data, &meta); err != nil {
		return nil, fmt.Errorf("%s: %w", metaName, err)
	}
	if meta.Version != blockVersion {
		return nil, fmt.Errorf("%s: version is %d, want %d", metaName, meta.Version, blockVersion)
	}
	if meta.ULID != id {
		return nil, fmt.Errorf("%s is of block %s", metaName, meta.ULID)
	}
	return &meta, nil
}

// thanosMeta is a meta.json with the section that Thanos adds to it:
// pkg/block/metadata of v0.42.4. Keys that it can do without are left out.
type thanosMeta struct {
	tsdb.BlockMeta

	Thanos thanosSection `json:"thanos"`
}

type thanosSection struct {
	Version    int               `json:"version"`
	Labels     map[string]string `json:"labels"`
	Downsample downsample        `json:"downsample"`
	Source     string            `json:"source"`
	Files      []thanosFile      `json:"files"`
	UploadTime time.Time         `json:"upload_time"`
}

// downsample is the distance of samples in ms; 0 stands for all that came.
type downsample struct {
	Resolution int64 `json:"resolution"`
}

type thanosFile struct {
	Path string `json:"rel_path"`
	Size int64  `json:"size_bytes,omitempty"`
}

// copyOnce copies a block, unless the bucket turns out to have it.
func (s *Shipper) copyOnce(ctx context.Context, b block) error {
	id := b.meta.ULID
	there, err := s.remote(ctx, id)
	if err != nil {
		return err
	}
	if there != nil {
		s.state.add(&b.meta)
		return s.state.write()
	}
	s.state.begin(id)
	if err := s.state.write(); err != nil {
		return err
	}
	if err := s.copy(ctx, b); err != nil {
		return err
	}
	s.metrics.uploads.Inc()
	s.log.Info("block copied", "block", id, "from", time.UnixMilli(b.meta.MinTime).UTC(), "to", time.UnixMilli(b.meta.MaxTime).UTC(),
		"samples", b.meta.Stats.NumSamples)
	s.state.add(&b.meta)
	return s.state.write()
}

// copy sends the files of a block, and last what makes it one.
func (s *Shipper) copy(ctx context.Context, b block) (err error) {
	files, err := openFiles(b.dir)
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	if err != nil {
		return err
	}
	meta := thanosMeta{b.meta, thanosSection{
		Version: thanosVersion, Labels: s.opts.ExternalLabels, Source: source,
	}}
	for _, f := range files {
		name, err := filepath.Rel(b.dir, f.Name())
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if err := s.put(ctx, path.Join(b.meta.ULID.String(), name), f); err != nil {
			return err
		}
		s.metrics.bytes.Add(float64(info.Size()))
		meta.Thanos.Files = append(meta.Thanos.Files, thanosFile{name, info.Size()})
	}
	meta.Thanos.Files = append(meta.Thanos.Files, thanosFile{Path: metaName})
	meta.Thanos.UploadTime = time.Now().UTC()
	data, err := json.MarshalIndent(meta, "", "\t")
	if err != nil {
		return err
	}
	return s.put(ctx, path.Join(b.meta.ULID.String(), metaName), bytes.NewReader(data))
}

func (s *Shipper) put(ctx context.Context, name string, r io.Reader) error {
	if err := s.opts.Bucket.Upload(ctx, name, r); err != nil {
		return fmt.Errorf("copy to %s of bucket %s: %w", name, s.opts.Bucket.Name(), err)
	}
	return nil
}

// openFiles opens the files of a block in the order of their paths. Once they
// are open, the store may delete the block without harm to a copy under way.
func openFiles(dir string) ([]*os.File, error) {
	entries, err := os.ReadDir(filepath.Join(dir, chunksDir))
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, chunksDir, e.Name()))
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	f, err := os.Open(filepath.Join(dir, indexName))
	if err != nil {
		return files, err
	}
	return append(files, f), nil
}

// remote is the meta.json of a block in the bucket, or nil if there is none, or
// one that was cut off while it was written: then the block is not there yet.
func (s *Shipper) remote(ctx context.Context, id ulid.ULID) (_ *thanosMeta, err error) {
	r, err := s.opts.Bucket.Get(ctx, path.Join(id.String(), metaName))
	if s.opts.Bucket.IsObjNotFoundErr(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look into bucket %s: %w", s.opts.Bucket.Name(), err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err := io.ReadAll(io.LimitReader(r, maxMetaBytes))
	if err != nil {
		return nil, fmt.Errorf("read %s of block %s in the bucket: %w", metaName, id, err)
	}
	meta, err := parseMeta(data, id)
	if err != nil {
		return nil, nil // cut off, so not there
	}
	return meta, nil
}

// learn asks the bucket what it has of this collector. Whoever merges blocks
// there keeps the list of what they were made of.
func (s *Shipper) learn(ctx context.Context) error {
	var ids []ulid.ULID
	err := s.opts.Bucket.Iter(ctx, "", func(name string) error {
		if id, err := ulid.ParseStrict(strings.TrimSuffix(name, objstore.DirDelim)); err == nil {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list bucket %s: %w", s.opts.Bucket.Name(), err)
	}
	metas := make([]*thanosMeta, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, id := range ids {
		g.Go(func() (err error) {
			metas[i], err = s.remote(gctx, id)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	known := map[ulid.ULID]bool{}
	for _, m := range metas {
		if m == nil || !maps.Equal(m.Thanos.Labels, s.opts.ExternalLabels) {
			continue
		}
		known[m.ULID] = true
		for _, id := range sources(&m.BlockMeta) {
			known[id] = true
		}
	}
	s.state.know(known)
	return nil
}

// clear removes from the bucket what is there of blocks that were begun and
// that the store no longer has. Those it still has are copied once more, over
// what is there.
func (s *Shipper) clear(ctx context.Context, blocks []block) error {
	for _, id := range s.state.partial() {
		if slices.ContainsFunc(blocks, func(b block) bool { return b.meta.ULID == id }) {
			continue
		}
		there, err := s.remote(ctx, id)
		if err != nil {
			return err
		}
		if there == nil {
			if err := s.remove(ctx, id); err != nil {
				return err
			}
			s.log.Warn("removed from the bucket what was there of a block that the store no longer has", "block", id)
		}
		s.state.end(id)
		if err := s.state.write(); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes all objects of a block.
func (s *Shipper) remove(ctx context.Context, id ulid.ULID) error {
	var names []string
	err := s.opts.Bucket.Iter(ctx, id.String()+objstore.DirDelim, func(name string) error {
		names = append(names, name)
		return nil
	}, objstore.WithRecursiveIter())
	if err != nil {
		return fmt.Errorf("list block %s in the bucket: %w", id, err)
	}
	for _, name := range names {
		if err := s.opts.Bucket.Delete(ctx, name); err != nil {
			return fmt.Errorf("delete %s from the bucket: %w", name, err)
		}
	}
	return nil
}

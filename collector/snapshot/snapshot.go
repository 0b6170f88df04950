package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// Source is a store that can link its blocks into a directory, what is only in
// memory, late samples included, as blocks of their own.
type Source interface {
	Snapshot(dir string, withHead bool) error
}

// Options say what snapshots are made of and where they go.
type Options struct {
	// Dir takes the snapshots. It must be on the file system of the sources, as
	// links cannot leave it.
	Dir string
	// Sources are the stores, by the names of their directories: "tsdb".
	Sources map[string]Source
	// Keep is how many snapshots stay; with one more the oldest goes. 0 means 3.
	Keep       int
	Version    string // of this program
	Log        *slog.Logger
	Registerer prometheus.Registerer // takes plimsoll_snapshot_…
}

const (
	defaultKeep = 3
	unfinished  = ".unfinished-"
	// nameLayout is UTC, sorts by time and suits every file system.
	nameLayout = "20060102T150405.000Z"
)

// ErrBusy says that a snapshot is being made.
var ErrBusy = errors.New("a snapshot is being made; wait for it")

// Snapshots makes snapshots, one at a time.
type Snapshots struct {
	opts    Options
	one     sync.Mutex
	metrics metrics
}

// New removes what an earlier process has not finished. It makes no snapshot.
func New(opts Options) (*Snapshots, error) {
	if opts.Dir == "" || len(opts.Sources) == 0 {
		return nil, errors.New("snapshots need a directory and a store")
	}
	if opts.Keep < 0 {
		return nil, fmt.Errorf("%d snapshots cannot be kept", opts.Keep)
	}
	opts.Keep = cmp.Or(opts.Keep, defaultKeep)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Snapshots{opts: opts, metrics: newMetrics(opts.Dir)}
	if err := s.metrics.register(opts.Registerer); err != nil {
		return nil, fmt.Errorf("snapshots: register metrics: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(opts.Dir, unfinished+"*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("snapshots: remove what was not finished: %w", err)
		}
	}
	return s, nil
}

// Snapshot is one of them.
type Snapshot struct {
	Name string `json:"name"`
	Dir  string `json:"dir"`
	Manifest
}

// Progress is told how many bytes of how many are done. It may be nil.
type Progress func(done, total int64)

func (p Progress) tell(done, total int64) {
	if p != nil {
		p(done, total)
	}
}

// Create makes a snapshot while everything goes on. Linking takes moments;
// reading it all for the checksums takes as long as the disk needs, and ends
// with ctx. Then the oldest snapshots beyond Keep are removed.
func (s *Snapshots) Create(ctx context.Context, progress Progress) (_ Snapshot, err error) {
	if !s.one.TryLock() {
		return Snapshot{}, ErrBusy
	}
	defer s.one.Unlock()
	began := time.Now()
	defer func() {
		if err != nil {
			s.metrics.failures.Inc()
			err = fmt.Errorf("make snapshot: %w", err)
		}
	}()
	name := began.UTC().Format(nameLayout)
	if err := os.MkdirAll(s.opts.Dir, 0o750); err != nil {
		return Snapshot{}, err
	}
	tmp := filepath.Join(s.opts.Dir, unfinished+name)
	if err := os.Mkdir(tmp, 0o750); err != nil {
		return Snapshot{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	m, err := s.fill(ctx, tmp, began, progress)
	if err != nil {
		return Snapshot{}, err
	}
	dir := filepath.Join(s.opts.Dir, name)
	if err := errors.Join(os.Rename(tmp, dir), durable.SyncDir(s.opts.Dir)); err != nil {
		return Snapshot{}, err
	}
	took := time.Since(began)
	s.metrics.made(m, took)
	s.opts.Log.Info("snapshot made", "snapshot", dir, "bytes", m.Bytes(), "took", took)
	return Snapshot{name, dir, m}, s.prune(name)
}

func (s *Snapshots) fill(ctx context.Context, tmp string, began time.Time, progress Progress) (Manifest, error) {
	m := Manifest{Format: format, Version: s.opts.Version, Created: began.UTC().Truncate(time.Second)}
	for _, name := range slices.Sorted(maps.Keys(s.opts.Sources)) {
		part := filepath.Join(tmp, name)
		if err := os.Mkdir(part, 0o750); err != nil {
			return m, err
		}
		if err := s.opts.Sources[name].Snapshot(part, true); err != nil {
			return m, fmt.Errorf("store %s: %w", name, err)
		}
		p, err := describe(tmp, name)
		if err != nil {
			return m, err
		}
		m.Parts = append(m.Parts, p)
	}
	var err error
	if m.Files, err = list(tmp); err != nil {
		return m, err
	}
	total, done := m.Bytes(), int64(0)
	for i := range m.Files {
		f := &m.Files[i]
		f.SHA256, err = sum(ctx, filepath.Join(tmp, filepath.FromSlash(f.Path)), nil, func(n int64) {
			done += n
			progress.tell(done, total)
		})
		if err != nil {
			return m, err
		}
	}
	return m, m.write(tmp)
}

// list finds the files below dir, without their checksums.
func list(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", path)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if rel != manifestFile {
			files = append(files, File{Path: filepath.ToSlash(rel), Bytes: info.Size()})
		}
		return nil
	})
	return files, err
}

// prune removes the oldest snapshots beyond Keep, but not the one that was just
// made: the clock may have been ahead when the others were.
func (s *Snapshots) prune(made string) error {
	all, _, err := List(s.opts.Dir)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(all, func(one Snapshot) bool { return one.Name == made })
	for len(others)+1 > s.opts.Keep {
		if err := s.remove(others[0]); err != nil {
			return fmt.Errorf("remove the oldest snapshot: %w", err)
		}
		s.opts.Log.Info("oldest snapshot removed", "snapshot", others[0].Dir)
		others = others[1:]
	}
	return nil
}

// remove takes the name away first: what is left of a snapshot is none, and the
// next start removes it.
func (s *Snapshots) remove(old Snapshot) error {
	tmp := filepath.Join(s.opts.Dir, unfinished+old.Name)
	if err := os.Rename(old.Dir, tmp); err != nil {
		return err
	}
	return os.RemoveAll(tmp)
}

// List lists the snapshots in a directory, the oldest first. What cannot be read
// is an error of its own among the problems, and hides no other. Nothing is
// verified.
func List(dir string) (all []Snapshot, problems []error, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries { // in order of their names
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		m, err := read(path)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		all = append(all, Snapshot{e.Name(), path, m})
	}
	return all, problems, nil
}

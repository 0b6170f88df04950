package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
)

// The TSDB cannot open a directory without writing to it: it begins new files of
// the logs, and packs chunks while it reads them. Where the disk takes nothing it
// opens a shadow instead: directories in memory, and in them links to the files
// of the data directory. There it may write, rename and delete; what the links
// point to stays as it is.

// memoryDirs are where shadows may live; one of them is mostly in memory.
func memoryDirs() []string { return []string{"/dev/shm", os.TempDir()} }

// openShadow opens a shadow of the data directory, without the logs if there is
// no place for what is made of them.
func (s *Store) openShadow(ctx context.Context) (*life, error) {
	all := []string{walDir, wblDir, headChunksDir}
	var errs []error
	for _, logs := range [][]string{all, nil} {
		for _, parent := range memoryDirs() {
			room := int64(needAtLeast)
			if logs != nil {
				room = toReplay(s.dir, true)
			}
			l, err := s.openShadowIn(ctx, parent, room, logs)
			if err == nil {
				if logs == nil {
					s.log.Warn("there is no place to read the logs: only what is in blocks is answered", "tried", memoryDirs())
				}
				return l, nil
			}
			errs = append(errs, fmt.Errorf("in %s: %w", parent, err))
		}
	}
	return nil, errors.Join(errs...)
}

func (s *Store) openShadowIn(ctx context.Context, parent string, room int64, logs []string) (*life, error) {
	if err := roomIn(parent, room); err != nil {
		return nil, err
	}
	outer := shadowOf(s.dir, parent)
	if err := os.RemoveAll(outer); err != nil {
		return nil, err
	}
	dir := filepath.Join(outer, "shadow")
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = s.cast(dir, logs)
	}
	var l *life
	if err == nil {
		l, err = s.bear(ctx, dir, true)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(outer))
	}
	return l, nil
}

// shadowOf names the directory of a shadow. It is always the same, so that what a
// kill has left is found: we own the data directory, and so its shadow.
func shadowOf(dir, parent string) string {
	name := fnv.New64a()
	_, _ = name.Write([]byte(dir)) // never fails
	return filepath.Join(parent, fmt.Sprintf("plimsoll-store-%d-%016x", os.Getuid(), name.Sum64()))
}

// cast makes the links: to the blocks, and to the logs that are named.
func (s *Store) cast(dir string, logs []string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		_, err := ulid.ParseStrict(e.Name())
		if isBlock := err == nil; !e.IsDir() || !isBlock && !slices.Contains(logs, e.Name()) {
			continue
		}
		if err := mirror(filepath.Join(s.dir, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// mirror makes a tree of directories with links in the place of files.
func mirror(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Mkdir(filepath.Join(to, rel), 0o700)
		}
		return os.Symlink(path, filepath.Join(to, rel))
	})
}

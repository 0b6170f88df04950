package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// sum reads a file, tells how many bytes at a time, and returns its checksum. If
// into is not nil it gets the bytes as well.
func sum(ctx context.Context, path string, into io.Writer, tell func(n int64)) (_ string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	to := io.Writer(hash)
	if into != nil {
		to = io.MultiWriter(hash, into)
	}
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return "", err
			}
			tell(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(hash.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// Verify reads all of a snapshot and tells everything in which it differs from
// its list.
func Verify(ctx context.Context, dir string, progress Progress) (Manifest, error) {
	m, err := read(dir)
	if err != nil {
		return m, err
	}
	found, err := list(dir)
	if err != nil {
		return m, err
	}
	listed := map[string]bool{}
	for _, f := range m.Files {
		listed[f.Path] = true
	}
	var problems []error
	for _, f := range found {
		if !listed[f.Path] {
			problems = append(problems, fmt.Errorf("%s is not in the list", f.Path))
		}
	}
	total, done := m.Bytes(), int64(0)
	for _, f := range m.Files {
		err := f.compare(ctx, dir, nil, func(n int64) {
			done += n
			progress.tell(done, total)
		})
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	return m, errors.Join(problems...)
}

// compare reads the file and says what is wrong with it.
func (f File) compare(ctx context.Context, dir string, into io.Writer, tell func(n int64)) error {
	var read int64
	got, err := sum(ctx, filepath.Join(dir, filepath.FromSlash(f.Path)), into, func(n int64) {
		read += n
		tell(n)
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is missing", f.Path)
	case err != nil:
		return err
	case read != f.Bytes:
		return fmt.Errorf("%s has %d bytes instead of %d", f.Path, read, f.Bytes)
	case got != f.SHA256:
		return fmt.Errorf("%s is damaged: its checksum is another", f.Path)
	}
	return nil
}

// restoring marks what is being copied into a data directory.
const restoring = ".restoring"

// Restore copies a snapshot into the data directory of a collector that does not
// run. It refuses a directory that has any of the snapshot's stores already, and
// puts nothing in place before every byte has proved right.
func Restore(ctx context.Context, dir, data string, progress Progress) (m Manifest, err error) {
	if m, err = read(dir); err != nil {
		return m, err
	}
	for _, p := range m.Parts {
		if err := vacant(filepath.Join(data, p.Name)); err != nil {
			return m, err
		}
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		return m, err
	}
	tmp := filepath.Join(data, restoring)
	if err := os.RemoveAll(tmp); err != nil { // of an attempt that was cut off
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	for _, p := range m.Parts {
		if err := os.MkdirAll(filepath.Join(tmp, p.Name), 0o750); err != nil {
			return m, err
		}
	}
	total, done := m.Bytes(), int64(0)
	for _, f := range m.Files {
		if err := f.copy(ctx, dir, tmp, func(n int64) {
			done += n
			progress.tell(done, total)
		}); err != nil {
			return m, fmt.Errorf("%w; nothing was restored, take another snapshot", err)
		}
	}
	for _, p := range m.Parts {
		if err := durable.SyncDir(filepath.Join(tmp, p.Name)); err != nil {
			return m, err
		}
		to := filepath.Join(data, p.Name)
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, err // it has filled meanwhile
		}
		if err := os.Rename(filepath.Join(tmp, p.Name), to); err != nil {
			return m, err
		}
	}
	return m, durable.SyncDir(data)
}

// vacant complains of a directory that has something in it.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty; stop the collector and move that directory away, or name another with --data.path", dir)
	}
	return nil
}

// copy copies the file to below another directory, on stable storage.
func (f File) copy(ctx context.Context, from, to string, tell func(n int64)) (err error) {
	path := filepath.Join(to, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if err = f.compare(ctx, from, out, tell); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close(), durable.SyncDir(filepath.Dir(path)))
}

// Package durable changes files so that a power cut leaves them as they were or as
// they are to be, and never in between.
package durable

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// newSuffix is between the name of a file and what tells its replacements apart,
// until they have its name.
const newSuffix = ".new-"

// Replace puts data at path: whole and on stable storage, or not at all.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return ReplaceWith(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// ReplaceWith puts at path what is written to w, as Replace does. What could not be
// written to its end is removed: it may be what fills the disk.
func ReplaceWith(path string, mode fs.FileMode, write func(w io.Writer) error) error {
	dir, name := filepath.Dir(path), filepath.Base(path)
	tmp, err := os.CreateTemp(dir, name+newSuffix+"*") // mode 0600
	if err != nil {
		return err
	}
	if err = write(tmp); err == nil {
		err = cmp.Or(tmp.Chmod(mode), tmp.Sync())
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return SyncDir(dir)
}

// DropTorn removes replacements of the file at path that a crash has kept from
// taking its place. Nobody may be replacing it.
func DropTorn(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+newSuffix) {
			err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return err
}

// SyncDir makes the names in a directory survive a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

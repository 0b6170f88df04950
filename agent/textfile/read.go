package textfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The bounds of a reading.
const (
	MaxFiles     = 100
	MaxFileBytes = 1 << 20
	MaxSeries    = 2000
)

// Reading is what a directory held.
type Reading struct {
	Files   []File
	Samples []Sample // no two of the same name and labels
	LeftOut int      // series beyond MaxSeries, or whose labels are too long
}

// File is one that was understood.
type File struct {
	Path    string
	ModTime time.Time
}

// Read reads every *.prom in dir, in the order of their names. The error tells
// of those that it could not read or understand; the others are in the Reading
// all the same.
func Read(dir string) (Reading, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Reading{}, err
	}
	var r Reading
	var errs []error
	seen := newSeen()
	files := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".prom") {
			continue
		}
		if files++; files > MaxFiles {
			errs = append(errs, fmt.Errorf("%s: more than %d files, the rest is not read", dir, MaxFiles))
			break
		}
		path := filepath.Join(dir, e.Name())
		data, at, err := load(path)
		if err == nil {
			err = r.add(data, seen)
		}
		if err != nil {
			errs = append(errs, named(path, err))
			continue
		}
		r.Files = append(r.Files, File{Path: path, ModTime: at})
	}
	return r, errors.Join(errs...)
}

// add takes over what a file says, all of it or, if it is broken, nothing.
func (r *Reading) add(data []byte, seen *seen) error {
	samples, leftOut, err := Parse(data)
	if err != nil {
		return err
	}
	if err := seen.agree(samples); err != nil {
		return err
	}
	for _, s := range samples {
		if len(r.Samples) == MaxSeries {
			leftOut++
		} else if seen.first(s) {
			r.Samples = append(r.Samples, s)
		}
	}
	r.LeftOut += leftOut
	return nil
}

// load reads a file. One that is a pipe would block whoever opens it, and one
// that is a device may have no end.
func load(path string) ([]byte, time.Time, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, time.Time{}, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err == nil && len(data) > MaxFileBytes {
		err = fmt.Errorf("longer than %d bytes", MaxFileBytes)
	}
	// A last line without its end is whole: jobs write with printf.
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		data = append(data, '\n')
	}
	return data, info.ModTime(), err
}

// named gives an error the name of the file, unless it has it.
func named(path string, err error) error {
	if pathErr := (*os.PathError)(nil); errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// Package secretfile keeps secrets in JSON files that nobody but their owner can
// read, and that are whole whatever happens.
package secretfile

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

const (
	mode     = 0o600
	maxBytes = 1 << 30
)

// Read reads a file. It refuses one that anybody can read. That its group can is
// put right without a word: Kubernetes gives the group of a volume its rights at
// each start. The error wraps fs.ErrNotExist if there is no such file.
func Read(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch is := info.Mode().Perm(); {
	case is&0o007 != 0:
		return fmt.Errorf("%s: others may read it (mode %04o); chmod 600 it, or, if somebody may have done so, put something new in its place", path, is)
	case is != mode && is&0o070 != 0:
		if err := f.Chmod(mode); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Write replaces a file: whole and on stable storage, or not at all.
func Write(path string, from any) error {
	data, err := json.MarshalIndent(from, "", " ")
	if err != nil {
		return err
	}
	return durable.Replace(path, append(data, '\n'), mode)
}

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segment is one numbered file of a journal.
type segment struct {
	number  int
	path    string
	damaged bool
}

func name(path string, number int) string { return fmt.Sprintf("%s.%08d", path, number) }

// list finds the segments of a journal, the oldest first.
func list(path string) ([]segment, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []segment
	for _, e := range entries {
		digits, ours := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		number, err := strconv.Atoi(digits)
		if !ours || err != nil || number < 1 || !e.Type().IsRegular() {
			continue
		}
		found = append(found, segment{number: number, path: filepath.Join(filepath.Dir(path), e.Name())})
	}
	slices.SortFunc(found, func(a, b segment) int { return a.number - b.number })
	return found, nil
}

// remove deletes a segment, or sets it aside if something in it could not be
// read. Only the last such one is kept, so that a disk does not fill with them.
func (s segment) remove(path string) error {
	if s.damaged {
		return os.Rename(s.path, path+".damaged")
	}
	return os.Remove(s.path)
}

package linelog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// chunk is how much of a file is read at once.
const chunk = 64 << 10

// Segment is a file of a log, as far as it went when it was listed. One that is
// dropped meanwhile has no lines.
type Segment struct {
	Number int
	Size   int64     // bytes on disk
	Oldest time.Time // when its first line was written; zero if nothing tells
	Newest time.Time // when its last was; zero if it has none

	path   string
	packed bool
}

// Line is a line of a segment.
type Line struct {
	At   int64  // where it begins in the text, in bytes; Forward only
	Text []byte // without its end; good until the next line is asked for
	// Torn tells that it has no end: a crash tore it, or it is being written.
	// Only the last line of a segment can be.
	Torn bool
}

// List finds the segments in a directory, the oldest first, for who only reads.
func List(dir string) ([]Segment, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []Segment
	for _, f := range files {
		plain, packed := strings.CutSuffix(f.Name(), ".gz")
		number, err := strconv.Atoi(strings.TrimSuffix(plain, extension))
		if err != nil || number < 1 || fileName(number) != plain || !f.Type().IsRegular() {
			continue // not ours
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped by who writes
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Segment{Number: number, Size: info.Size(), Newest: info.ModTime(), path: filepath.Join(dir, f.Name()), packed: packed})
	}
	slices.SortStableFunc(list, func(a, b Segment) int { return a.Number - b.Number })
	// A crash may have left one both packed and not, in this order: packed second.
	return slices.CompactFunc(list, func(a, b Segment) bool { return a.Number == b.Number }), nil
}

const extension = ".jsonl"

func fileName(number int) string { return fmt.Sprintf("%08d%s", number, extension) }

// Name is that of its file, without the directory.
func (s Segment) Name() string { return filepath.Base(s.path) }

// remove removes it, packed and not: a crash, or a disk that refused, may have
// left both.
func (s Segment) remove() error {
	plain := strings.TrimSuffix(s.path, ".gz")
	for _, path := range []string{plain, plain + ".gz" + packing, plain + ".gz"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// whole is how far a segment that is not packed goes without a torn end.
func (s Segment) whole() (int64, error) {
	for line, err := range s.Backward() {
		if err != nil {
			return 0, err
		}
		if line.Torn {
			return s.Size - int64(len(line.Text)), nil
		}
		break
	}
	return s.Size, nil
}

// count is how many lines a segment has.
func (s Segment) count() (lines int64, err error) {
	for _, err := range s.Forward() {
		if err != nil {
			return lines, err
		}
		lines++
	}
	return lines, nil
}

// began is when the first line was written, by what it says, or else by the time
// of the file.
func (s Segment) began(timeOf func([]byte) time.Time) (time.Time, error) {
	for line, err := range s.Forward() {
		if err != nil {
			return time.Time{}, err
		}
		if at := timeOf(line.Text); !at.IsZero() {
			return at, nil
		}
		break
	}
	return s.Newest, nil
}

package scaler

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segmentsKept is into how many segments a full journal is cut: dropping the
// oldest loses one part in that many.
const segmentsKept = 8

// segments are numbered files of lines, of which only the last is written to.
// It is not safe for concurrent use.
type segments struct {
	dir      string
	maxBytes int64 // of all together
	list     []segment
	file     *os.File // the last of list; nil until the first write
}

type segment struct {
	number int
	path   string
	size   int64
}

// openSegments finds what is there. Nothing is appended to an older segment,
// since it may end in half a line.
func openSegments(dir string, maxBytes int64) (*segments, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	s := &segments{dir: dir, maxBytes: maxBytes}
	for _, f := range files {
		base, ok := strings.CutSuffix(f.Name(), ".jsonl")
		number, err := strconv.Atoi(base)
		if !ok || err != nil {
			continue // not ours
		}
		info, err := f.Info()
		if err != nil {
			return nil, err
		}
		s.list = append(s.list, segment{number, filepath.Join(dir, f.Name()), info.Size()})
	}
	slices.SortFunc(s.list, func(a, b segment) int { return a.number - b.number })
	return s, nil
}

// append writes one line, in a new segment if the last has its share, and then
// drops the oldest segments until all together fit. If the disk takes only part
// of the line, that part is taken back.
func (s *segments) append(line []byte) error {
	if s.file == nil || s.last().size+int64(len(line)) > s.maxBytes/segmentsKept {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	last := s.last()
	if n, err := s.file.Write(line); err != nil {
		if n > 0 && s.file.Truncate(last.size) != nil {
			last.size += int64(n)
			err = errors.Join(err, s.close())
		}
		return err
	}
	last.size += int64(len(line))
	return s.trim()
}

func (s *segments) last() *segment { return &s.list[len(s.list)-1] }

func (s *segments) rotate() error {
	if err := s.close(); err != nil {
		return err
	}
	number := 1
	if len(s.list) > 0 {
		number = s.last().number + 1
	}
	path := filepath.Join(s.dir, fmt.Sprintf("%08d.jsonl", number))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.file = file
	s.list = append(s.list, segment{number: number, path: path})
	return nil
}

func (s *segments) trim() error {
	var total int64
	for _, seg := range s.list {
		total += seg.size
	}
	for total > s.maxBytes && len(s.list) > 1 {
		if err := os.Remove(s.list[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= s.list[0].size
		s.list = s.list[1:]
	}
	return nil
}

// sync makes what was appended survive a power cut.
func (s *segments) sync() error {
	if s.file == nil {
		return nil
	}
	return s.file.Sync()
}

func (s *segments) close() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return errors.Join(file.Sync(), file.Close())
}

// lines returns a segment's lines, oldest first, as far as it went when seg was
// listed. A segment that was dropped meanwhile has none.
func (seg segment) lines() ([][]byte, error) {
	file, err := os.Open(seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, seg.size))
	if err != nil {
		return nil, err
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")), nil
}

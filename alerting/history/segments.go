package history

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
	"time"
)

// segmentsKept is into how many segments a full history is cut, by bytes and by
// age: dropping the oldest loses one part in that many.
const segmentsKept = 8

// segments are numbered files of lines, of which only the last is written to.
// It is not safe for concurrent use.
type segments struct {
	dir      string
	maxBytes int64 // of all together
	maxAge   time.Duration
	list     []segment
	file     *os.File // the last of list; nil until the first write
}

type segment struct {
	number int
	path   string
	size   int64
	oldest time.Time // when its first line was written; zero if it has none
	newest time.Time // when its last line was
}

func openSegments(dir string, maxBytes int64, maxAge time.Duration) (*segments, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	s := &segments{dir: dir, maxBytes: maxBytes, maxAge: maxAge}
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
		seg := segment{number: number, path: filepath.Join(dir, f.Name()), size: info.Size(), newest: info.ModTime()}
		if seg.oldest, err = seg.began(); err != nil {
			return nil, err
		}
		s.list = append(s.list, seg)
	}
	slices.SortFunc(s.list, func(a, b segment) int { return a.number - b.number })
	return s, s.trim(time.Now())
}

// began is the time of the first line, or that of the file if there is none.
func (seg segment) began() (time.Time, error) {
	file, err := os.Open(seg.path)
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, len(`{"at":"`)+len(stamp))
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return time.Time{}, err
	}
	at, err := time.Parse(stamp, strings.TrimPrefix(string(head[:n]), `{"at":"`))
	if err != nil {
		return seg.newest, nil //nolint:nilerr // a damaged line is found when it is read
	}
	return at, nil
}

// append writes whole lines, in a new segment if the last has its share, and
// drops what is too much or too old. If the disk takes only part, that part is
// taken back.
func (s *segments) append(lines []byte, now time.Time) error {
	if err := s.prepare(int64(len(lines)), now); err != nil {
		return err
	}
	last := s.last()
	if n, err := s.file.Write(lines); err != nil {
		if n > 0 && s.file.Truncate(last.size) != nil {
			// The next process cuts off what is half; this one begins anew.
			last.size += int64(n)
			err = errors.Join(err, s.close(), s.create())
		}
		return err
	}
	last.size += int64(len(lines))
	last.newest = now
	if last.oldest.IsZero() {
		last.oldest = now
	}
	return s.trim(now)
}

// prepare opens the segment that is to be written to.
func (s *segments) prepare(more int64, now time.Time) error {
	if s.file == nil && len(s.list) > 0 {
		if err := s.reopen(); err != nil {
			return err
		}
	}
	if s.file != nil && !s.full(more, now) {
		return nil
	}
	return errors.Join(s.close(), s.create())
}

func (s *segments) full(more int64, now time.Time) bool {
	last := s.last()
	return last.size > 0 && (last.size+more > s.maxBytes/segmentsKept || now.Sub(last.oldest) > s.maxAge/segmentsKept)
}

// reopen goes on with the last segment, whose end a crash may have torn.
func (s *segments) reopen() error {
	last := s.last()
	data, err := last.lines()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(last.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	whole := int64(bytes.LastIndexByte(data, '\n') + 1)
	if err := file.Truncate(whole); err != nil {
		return errors.Join(err, file.Close())
	}
	last.size, s.file = whole, file
	if whole == 0 {
		last.oldest = time.Time{}
	}
	return nil
}

func (s *segments) create() error {
	number := 1
	if len(s.list) > 0 {
		number = s.last().number + 1
	}
	path := filepath.Join(s.dir, fmt.Sprintf("%08d.jsonl", number))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	s.file = file
	s.list = append(s.list, segment{number: number, path: path})
	return nil
}

func (s *segments) last() *segment { return &s.list[len(s.list)-1] }

func (s *segments) bytes() (sum int64) {
	for _, seg := range s.list {
		sum += seg.size
	}
	return sum
}

// trim drops the oldest segments until the rest fits and is young enough. The
// one that is written to stays.
func (s *segments) trim(now time.Time) error {
	for len(s.list) > 0 {
		first := s.list[0]
		old := !first.newest.IsZero() && now.Sub(first.newest) > s.maxAge
		if !old && s.bytes() <= s.maxBytes || len(s.list) == 1 && s.file != nil {
			return nil
		}
		if err := os.Remove(first.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.list = s.list[1:]
	}
	return nil
}

func (s *segments) close() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return errors.Join(file.Sync(), file.Close())
}

// lines is what a segment had when it was listed. One that was dropped
// meanwhile has none.
func (seg segment) lines() ([]byte, error) {
	file, err := os.Open(seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, seg.size))
}

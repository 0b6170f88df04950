package linelog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
)

// text is a segment that is open for reading.
type text struct {
	file   *os.File
	packed bool
	size   int64 // of the file
	limit  int64 // of the text, for one that was packed since it was listed; else -1
}

// open returns nil if the segment was dropped.
func (s Segment) open() (*text, error) {
	t := &text{packed: s.packed, limit: -1}
	var err error
	t.file, err = os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) && !s.packed {
		t.packed, t.limit = true, s.Size
		t.file, err = os.Open(s.path + ".gz")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := t.file.Stat()
	if err != nil {
		return nil, errors.Join(err, t.file.Close())
	}
	t.size = info.Size()
	if !t.packed {
		t.size = min(t.size, s.Size)
	}
	return t, nil
}

func (t *text) close() { _ = t.file.Close() }

// reader reads the text from its beginning.
func (t *text) reader() (io.Reader, error) {
	if !t.packed {
		return io.NewSectionReader(t.file, 0, t.size), nil
	}
	if t.size == 0 {
		return bytes.NewReader(nil), nil
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(io.NewSectionReader(t.file, 0, t.size), chunk))
	if err != nil {
		return nil, err
	}
	if t.limit >= 0 {
		return io.LimitReader(z, t.limit), nil
	}
	return z, nil
}

// Forward are the lines, the oldest first. An error is the last of them.
func (s Segment) Forward() iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		t, err := s.open()
		if err != nil {
			yield(Line{}, err)
		}
		if t == nil {
			return
		}
		defer t.close()
		r, err := t.reader()
		if err != nil {
			yield(Line{}, fmt.Errorf("%s: %w", s.Name(), err))
			return
		}
		in := bufio.NewReaderSize(r, chunk)
		var at int64
		for {
			text, err := readLine(in)
			if errors.Is(err, io.EOF) && len(text) == 0 {
				return
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Line{}, fmt.Errorf("%s: %w", s.Name(), err))
				return
			}
			if !yield(Line{At: at, Text: bytes.TrimSuffix(text, []byte("\n")), Torn: err != nil}, nil) {
				return
			}
			at += int64(len(text))
		}
	}
}

// readLine reads up to the end of a line, also of one longer than the buffer.
func readLine(in *bufio.Reader) (line []byte, err error) {
	line, err = in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	line = bytes.Clone(line)
	rest, err := in.ReadBytes('\n')
	return append(line, rest...), err
}

// Backward are the lines, the newest first. An error is the last of them.
func (s Segment) Backward() iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		t, err := s.open()
		if err != nil {
			yield(Line{}, err)
		}
		if t == nil {
			return
		}
		defer t.close()
		before, err := t.backwards()
		if err != nil {
			yield(Line{}, fmt.Errorf("%s: %w", s.Name(), err))
			return
		}
		r := tail{before: before}
		for {
			line, err := r.previous()
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(Line{}, fmt.Errorf("%s: %w", s.Name(), err))
				return
			case !yield(line, nil):
				return
			}
		}
	}
}

// backwards gives out the text in pieces, the last first, each of at least so many
// bytes if there are; then io.EOF.
func (t *text) backwards() (func(least int) ([]byte, error), error) {
	if !t.packed {
		at := t.size
		return func(least int) ([]byte, error) {
			if at == 0 {
				return nil, io.EOF
			}
			piece := make([]byte, min(at, int64(max(chunk, least))))
			at -= int64(len(piece))
			_, err := t.file.ReadAt(piece, at)
			return piece, cut(err)
		}, nil
	}
	starts, err := blocks(t.file, t.size)
	if err != nil {
		return nil, err
	}
	next := len(starts) - 1
	return func(int) ([]byte, error) {
		for next > 0 {
			next--
			piece, err := unpack(t.file, starts[next], starts[next+1])
			if err != nil {
				return nil, cut(err)
			}
			if t.limit >= 0 { // each but the last is a whole block
				piece = piece[:max(0, min(int64(len(piece)), t.limit-int64(next)*blockText))]
			}
			if len(piece) > 0 {
				return piece, nil
			}
		}
		return nil, io.EOF
	}, nil
}

// cut is the error of a file that ends too early, which is not its end.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tail is the text that was read but not given out, from its end.
type tail struct {
	before func(least int) ([]byte, error) // what is before it
	buf    []byte
	whole  bool // there is nothing before it
}

// previous is the line before the one that was given out last.
func (t *tail) previous() (Line, error) {
	for {
		body, ended := bytes.CutSuffix(t.buf, []byte("\n"))
		if i := bytes.LastIndexByte(body, '\n'); i >= 0 || t.whole && len(t.buf) > 0 {
			t.buf = t.buf[:i+1]
			return Line{Text: body[i+1:], Torn: !ended}, nil
		}
		if t.whole {
			return Line{}, io.EOF
		}
		// A line that is longer than what there is takes twice as much each time.
		piece, err := t.before(len(t.buf))
		if errors.Is(err, io.EOF) {
			t.whole = true
			continue
		}
		if err != nil {
			return Line{}, err
		}
		t.buf = append(piece, t.buf...)
	}
}

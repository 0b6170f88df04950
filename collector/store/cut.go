package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

// The TSDB meets a corrupt log by deleting all that follows the corruption. It
// says so in several log lines and in no return value. So the segments get a
// second name before it opens them; what it has changed can be told from that,
// and what it has deleted is still there.

// keepDir holds the second names while the TSDB opens.
const keepDir = "opening"

// memory is what the logs were before the TSDB opened them.
type memory struct {
	dir  string
	logs map[string][]file // by subdirectory
	last ending
}

// ending is how whoever wrote a log last has ended.
type ending int

const (
	byClose   ending = iota
	byKill           // its last write may have been cut short
	byFailure        // its last writes have failed, and what was written since is worth nothing
)

// remember notes the segments and gives them second names where the file system
// can do that.
func remember(dir string, last ending) (*memory, error) {
	m := &memory{dir, map[string][]file{}, last}
	if err := m.forget(); err != nil { // of an opening that did not end
		return nil, err
	}
	for _, sub := range []string{walDir, wblDir} {
		segments, err := numbered(filepath.Join(dir, sub))
		if err != nil {
			return nil, err
		}
		m.logs[sub] = segments
		if err := os.MkdirAll(filepath.Join(dir, keepDir, sub), 0o750); err != nil {
			return nil, err
		}
		for _, s := range segments {
			if os.Link(filepath.Join(dir, sub, s.name), filepath.Join(dir, keepDir, sub, s.name)) != nil {
				break // without hard links the loss is told all the same
			}
		}
	}
	return m, nil
}

func (m *memory) forget() error { return os.RemoveAll(filepath.Join(m.dir, keepDir)) }

// compare finds what has been cut since, moves it into quarantine and forgets
// the rest.
func (m *memory) compare() ([]Loss, error) {
	var losses []Loss
	for _, sub := range []string{walDir, wblDir} {
		cut, err := m.changed(sub)
		if err != nil {
			return losses, err
		}
		if len(cut) > 0 {
			losses = append(losses, m.keep(sub, cut))
		}
	}
	return losses, m.forget()
}

// changed returns the segments that are not what they were.
func (m *memory) changed(sub string) ([]file, error) {
	var cut []file
	for _, s := range m.logs[sub] {
		now, err := os.Stat(filepath.Join(m.dir, sub, s.name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case os.SameFile(s.info, now) && s.info.Size() == now.Size():
			continue
		}
		cut = append(cut, s)
	}
	return cut, nil
}

func (m *memory) keep(sub string, cut []file) Loss {
	l := Loss{
		What: fmt.Sprintf("%s from segment %s", sub, cut[0].name),
		From: m.startOf(sub, cut[0]), To: cut[len(cut)-1].info.ModTime(),
	}
	sound, torn, why := corruption(filepath.Join(m.dir, keepDir, sub, cut[0].name))
	l.Bytes, l.Why = -sound, why
	l.CutShort = m.isNewest(sub, cut) && (m.last == byFailure || m.last == byKill && torn)
	for _, s := range cut {
		l.Bytes += s.info.Size()
		// Whether it can be kept does not change what is lost.
		if kept, err := moveAside(m.dir, filepath.Join(m.dir, keepDir, sub, s.name), filepath.Join(sub, s.name)); err == nil {
			l.Kept = filepath.Dir(kept)
		}
	}
	return l
}

// isNewest tells whether nothing was written behind the first of the segments.
func (m *memory) isNewest(sub string, cut []file) bool {
	for _, s := range m.logs[sub] {
		if s.n > cut[0].n && s.info.Size() > 0 {
			return false
		}
	}
	return true
}

// startOf is when a segment was begun, which is when the one before it was
// last written.
func (m *memory) startOf(sub string, s file) time.Time {
	start := time.Time{}
	for _, f := range m.logs[sub] {
		if f.n < s.n {
			start = f.info.ModTime()
		}
	}
	return start
}

// corruption returns how many bytes of a segment are sound, and what follows:
// torn if that is the beginning of a record and then the end of the file.
func corruption(path string) (sound int64, torn bool, why error) {
	name := filepath.Base(path)
	info, err := os.Stat(path)
	if err != nil {
		return 0, false, fmt.Errorf("segment %s is corrupt", name)
	}
	segment, err := wlog.OpenReadSegment(path)
	if err != nil {
		return 0, false, fmt.Errorf("segment %s is corrupt", name)
	}
	buffered := wlog.NewSegmentBufReader(segment)
	defer func() { _ = buffered.Close() }() // it was only read
	r := wlog.NewReader(buffered)
	for r.Next() {
		sound = r.Offset()
	}
	if corrupt, ok := errors.AsType[*wlog.CorruptionErr](r.Err()); ok {
		return sound, corrupt.Offset >= info.Size(), fmt.Errorf("segment %s: corrupt after byte %d: %w", name, sound, corrupt.Err)
	}
	return 0, false, fmt.Errorf("segment %s: its records are whole, but make no sense", name)
}

package linelog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// room opens the segment that is to take n more bytes.
func (l *Log) room(n int64, now time.Time) error {
	if n > l.opts.MaxBytes {
		return fmt.Errorf("%d bytes do not fit into a log of %d", n, l.opts.MaxBytes)
	}
	if l.late {
		if err := l.trim(now); err != nil {
			return fmt.Errorf("drop the oldest lines: %w", err)
		}
		l.late = false
	}
	over := false
	if l.file == nil && len(l.list) > 0 && !l.spoilt && !l.last().packed {
		if err := l.reopen(); err != nil {
			return err
		}
		// It may keep less than when that was written. What goes for it is
		// foretold where a segment begins.
		over = l.last().Size > 0 && l.surplus(n, now) > 0
	}
	if l.file != nil && !l.spoilt && !over && !l.isFull(n, now) {
		return nil
	}
	if err := l.create(); err != nil {
		return err
	}
	l.tidy()
	return nil
}

func (l *Log) isFull(n int64, now time.Time) bool {
	last := l.last()
	return last.Size > 0 && (last.Size+n > l.share() || l.opts.MaxAge > 0 && now.Sub(last.Oldest) > l.opts.MaxAge/kept)
}

// reopen goes on with the last segment, whose end a crash may have torn.
func (l *Log) reopen() error {
	last := l.last()
	whole, err := last.whole()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(last.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if err := file.Truncate(whole); err != nil {
		return errors.Join(err, file.Close())
	}
	last.Size, l.file = whole, file
	if whole == 0 {
		last.Oldest = time.Time{}
	}
	return nil
}

func (l *Log) create() error {
	number := 1
	if len(l.list) > 0 {
		number = l.last().Number + 1
	}
	path := filepath.Join(l.opts.Dir, fileName(number))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, l.opts.Perm)
	if err != nil {
		return err
	}
	l.retire() // not before there is another, or each attempt would open the last anew
	l.file, l.spoilt = file, false
	l.list = append(l.list, Segment{Number: number, path: path})
	return nil
}

func (l *Log) last() *Segment { return &l.list[len(l.list)-1] }

func (l *Log) trim(now time.Time) error {
	for range l.surplus(0, now) {
		first := l.list[0]
		lines, _ := first.count() // one that is damaged goes as well
		if err := first.remove(); err != nil {
			return err
		}
		l.dropped += lines
		l.list = l.list[1:]
	}
	return nil
}

// surplus is how many of the oldest segments must go, with n more bytes to come.
// The one that is written to stays, and has its whole share at once, so that
// nothing goes but when a segment begins.
func (l *Log) surplus(n int64, now time.Time) (gone int) {
	sum := int64(0)
	for _, seg := range l.list {
		sum += seg.Size
	}
	if l.file != nil {
		size := l.last().Size
		sum += max(size+n, l.share()) - size
		if l.opts.Pack { // both are there for a moment
			sum += max(size+n, l.share())
		}
	}
	for gone < len(l.list) && !(l.file != nil && gone == len(l.list)-1) {
		seg := l.list[gone]
		old := l.opts.MaxAge > 0 && !seg.Newest.IsZero() && now.Sub(seg.Newest) > l.opts.MaxAge
		if !old && sum <= l.opts.MaxBytes {
			break
		}
		sum -= seg.Size
		gone++
	}
	return gone
}

// Package history keeps what happened to alerts, for people who ask afterwards:
// when an alert fired, who was told, and what held a message back.
//
// It is a log of JSON, an event on a line, in a directory of numbered files:
//
//	{"at":"2026-11-21T03:12:07.351Z","event":"notified","alerts":[…],"receiver":"ops",…}
//
// Its promises: it never takes more than a number of bytes and never keeps what
// is older than an age; an event that was appended survives the end of the
// process, however that ends; a line that a crash tore costs that line. A power
// cut may cost what was not yet written to the disk by the kernel.
package history

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/plimsoll-io/plimsoll/internal/linelog"
)

// Options say where a log is and how much it keeps.
type Options struct {
	Dir      string        // made if it does not exist
	MaxBytes int64         // of all files; 0 means 64 MiB
	MaxAge   time.Duration // 0 means 30 days
	Log      *slog.Logger  // nil: discarded
}

// Log is a history on disk. Its methods may be called concurrently.
type Log struct {
	log     *slog.Logger
	disk    *linelog.Log
	reading chan struct{} // one reader at a time, for the time it takes

	mu      sync.Mutex
	damaged int
}

// Open opens the history in a directory, with all that it has.
func Open(opts Options) (*Log, error) {
	disk, err := linelog.Open(linelog.Options{
		Dir: opts.Dir, Perm: 0o666,
		MaxBytes: cmp.Or(opts.MaxBytes, 64<<20), MaxAge: cmp.Or(opts.MaxAge, 30*24*time.Hour), TimeOf: timeOf,
	})
	if err == nil {
		err = disk.Trim()
	}
	if err != nil {
		return nil, fmt.Errorf("open alert history: %w; make %s writable, or move it away to begin anew", err, opts.Dir)
	}
	return &Log{log: cmp.Or(opts.Log, slog.New(slog.DiscardHandler)), disk: disk, reading: make(chan struct{}, 1)}, nil
}

// timeOf is when a line was written: the time that it begins with.
func timeOf(line []byte) time.Time {
	text, ok := strings.CutPrefix(string(line[:min(len(line), len(begins)+len(stamp))]), begins)
	at, err := time.Parse(stamp, text)
	if !ok || err != nil {
		return time.Time{} // a damaged line is found when it is read
	}
	return at
}

// Append writes events in one go. If it fails, none of them was kept.
func (l *Log) Append(events ...Event) error {
	var b bytes.Buffer
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("write alert history: %w", err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	if err := l.disk.Append(b.Bytes()); err != nil {
		return fmt.Errorf("write alert history: %w", err)
	}
	return nil
}

// Trim drops what has become too old. Append does that too.
func (l *Log) Trim() error {
	if err := l.disk.Trim(); err != nil {
		return fmt.Errorf("drop old alert history: %w", err)
	}
	return nil
}

// Bytes is how much the history takes on disk.
func (l *Log) Bytes() int64 { return l.disk.Bytes() }

// Dropped is how many events had to go since Open, for the bytes or the age.
func (l *Log) Dropped() int64 { return l.disk.Dropped() }

// Damaged is how many lines could not be read so far.
func (l *Log) Damaged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.damaged
}

// Close ends the writing. Reading goes on working.
func (l *Log) Close() error { return l.disk.Close() }

// replayed is how many of the last files Replay reads: a start must not take
// longer the more there is to remember.
const replayed = 2

// Replay calls f with the events of the last two files, the oldest first: at
// least with the latest eighth of a full history.
func (l *Log) Replay(f func(Event)) error {
	all := l.disk.Segments()
	for _, seg := range all[max(0, len(all)-replayed):] {
		for line, err := range seg.Forward() {
			if err != nil {
				return fmt.Errorf("read alert history: %w", err)
			}
			if e, ok := l.parse(line); ok {
				f(e)
			}
		}
	}
	return nil
}

// Read returns the events that q selects, the newest first. One reader is
// served at a time; others wait until ctx ends.
func (l *Log) Read(ctx context.Context, q Query) ([]Event, error) {
	select {
	case l.reading <- struct{}{}:
		defer func() { <-l.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	limit := cmp.Or(q.Limit, 100)
	look := q.glance()
	var found []Event
	for _, seg := range slices.Backward(l.disk.Segments()) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(found) >= limit || !q.From.IsZero() && seg.Newest.Before(q.From) {
			break
		}
		events, err := l.within(seg, q, look, limit-len(found))
		if err != nil {
			return nil, err
		}
		found = append(found, events...)
	}
	// Events of different goroutines may have been written a moment out of order.
	slices.SortStableFunc(found, func(a, b Event) int { return b.At.Compare(a.At) })
	return found, nil
}

// within returns the last events of a segment that q selects, the newest first.
func (l *Log) within(seg linelog.Segment, q Query, look func([]byte) bool, limit int) ([]Event, error) {
	var found []Event
	for line, err := range seg.Backward() {
		if err != nil {
			return nil, fmt.Errorf("read alert history: %w", err)
		}
		if !look(line.Text) {
			continue
		}
		if e, ok := l.parse(line); ok && q.matches(e) {
			found = append(found, e)
		}
		if len(found) >= limit {
			break
		}
	}
	return found, nil
}

// glance makes what tells, from the bytes of a line and much faster than by
// parsing it, that q does not select it.
func (q Query) glance() func(line []byte) bool {
	from, to := q.From.UTC().Format(stamp), q.To.UTC().Format(stamp)
	var values [][]byte // that must be in the line, as JSON has them
	for _, m := range q.Matchers {
		if text, err := json.Marshal(m.Value); err == nil && m.Type == labels.MatchEqual && m.Value != "" {
			values = append(values, text)
		}
	}
	return func(line []byte) bool {
		if rest, ok := bytes.CutPrefix(line, []byte(begins)); ok && len(rest) > len(stamp) {
			at := string(rest[:len(stamp)])
			if !q.From.IsZero() && at < from || !q.To.IsZero() && at > to {
				return false
			}
		}
		return !slices.ContainsFunc(values, func(v []byte) bool { return !bytes.Contains(line, v) })
	}
}

// parse reads a line, such as the one above. What is none is counted.
func (l *Log) parse(line linelog.Line) (Event, bool) {
	e, err := parse(line.Text)
	if err != nil {
		l.mu.Lock()
		l.damaged++
		first := l.damaged == 1
		l.mu.Unlock()
		if first {
			l.log.Warn("a line of the alert history cannot be read and is left out", "err", err)
		}
	}
	return e, err == nil
}

func parse(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, err
	}
	if e.At.IsZero() || e.Kind == "" {
		return Event{}, errors.New("no time or no kind")
	}
	return e, nil
}

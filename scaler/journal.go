package scaler

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// summaryEvery is how long a run of equal entries may become before it is
	// written, so that a crash loses no more than that of a silence.
	summaryEvery = time.Minute
	// longestInterval is the longest between two ticks of a policy, and so the
	// most by which entries may be out of their order in the journal.
	longestInterval = time.Hour
)

// JournalOptions say where a journal is and how much it may keep.
type JournalOptions struct {
	// Dir is made if it does not exist.
	Dir string
	// MaxBytes bounds the whole journal; the oldest eighth goes first. Default
	// 64 MiB.
	MaxBytes int64
	// Log may be nil.
	Log *slog.Logger
}

// Journal keeps decisions on disk, one JSON object on a line. A line that a
// crash tore is skipped when read. Its methods may be called concurrently.
type Journal struct {
	log *slog.Logger

	mu   sync.Mutex
	disk *segments
	last map[string]string // by policy: the verdict last written
	runs map[string]Entry  // by policy: what repeats that verdict and is not written yet
}

// OpenJournal opens the journal in a directory, with all that it has.
func OpenJournal(opts JournalOptions) (*Journal, error) {
	disk, err := openSegments(opts.Dir, cmp.Or(opts.MaxBytes, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &Journal{
		log:  cmp.Or(opts.Log, slog.New(slog.DiscardHandler)),
		disk: disk,
		last: make(map[string]string),
		runs: make(map[string]Entry),
	}, nil
}

// Record keeps the entry of one tick. The first of a new verdict is written at
// once, and a change of the number of replicas survives a power cut when Record
// returns. An entry that repeats the verdict before it makes its run longer;
// the run is written when the verdict changes, and at least each minute.
func (j *Journal) Record(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()

	e.Since, e.Ticks = e.At(), 1
	verdict := e.verdict()
	if e.Result != resultAccepted && j.last[e.Policy] == verdict {
		return wrapJournal(j.lengthen(e))
	}
	err := errors.Join(j.flush(e.Policy), j.write(e))
	if e.Result == resultAccepted {
		err = errors.Join(err, j.disk.sync())
	}
	j.last[e.Policy] = verdict
	return wrapJournal(err)
}

// lengthen adds an entry to the run of its policy. The policy and the past are
// in the entry that began the verdict.
func (j *Journal) lengthen(e Entry) error {
	e.App, e.State = nil, nil
	if run, ok := j.runs[e.Policy]; ok {
		e.Since, e.Ticks = run.Since, run.Ticks+1
	}
	j.runs[e.Policy] = e
	if e.At().Sub(e.Since) < summaryEvery {
		return nil
	}
	return j.flush(e.Policy)
}

// flush writes the run of a policy, if it has one.
func (j *Journal) flush(name string) error {
	run, ok := j.runs[name]
	if !ok {
		return nil
	}
	delete(j.runs, name)
	return j.write(run)
}

func (j *Journal) write(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return j.disk.append(append(line, '\n'))
}

// Close writes what is still in memory. The journal may be read afterwards, but
// not written.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(j.runs)) {
		errs = append(errs, j.flush(name))
	}
	return wrapJournal(errors.Join(append(errs, j.disk.close())...))
}

func wrapJournal(err error) error {
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// JournalQuery selects entries. The zero value selects the last 100.
type JournalQuery struct {
	Policy string // all if empty
	// From and To select entries that stand for any time in between. Zero is
	// no limit.
	From, To time.Time
	Limit    int // default 100
}

func (q JournalQuery) matches(e Entry) bool {
	return (q.Policy == "" || e.Policy == q.Policy) &&
		(q.From.IsZero() || !e.At().Before(q.From)) &&
		(q.To.IsZero() || !e.Since.After(q.To))
}

// Read returns the entries that q selects, the newest first.
func (j *Journal) Read(q JournalQuery) ([]Entry, error) {
	limit := cmp.Or(q.Limit, 100)
	j.mu.Lock()
	disk := slices.Clone(j.disk.list)
	runs := slices.Collect(maps.Values(j.runs))
	j.mu.Unlock()

	found := runs
	for _, seg := range slices.Backward(disk) {
		lines, err := seg.lines()
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		more, done := j.search(lines, q, limit)
		found = append(found, more...)
		if done {
			break
		}
	}
	return q.pick(found), nil
}

// pick returns those entries that q selects.
func (q JournalQuery) pick(entries []Entry) []Entry {
	found := slices.DeleteFunc(entries, func(e Entry) bool { return !q.matches(e) })
	slices.SortStableFunc(found, func(a, b Entry) int { return b.At().Compare(a.At()) })
	return found[:min(cmp.Or(q.Limit, 100), len(found))]
}

// search returns up to limit matching entries, the last line first, and whether
// nothing older is needed.
func (j *Journal) search(lines [][]byte, q JournalQuery, limit int) (found []Entry, done bool) {
	// Names need no escaping, and the policy is the first field.
	prefix := []byte(`{"policy":"` + q.Policy)
	for _, line := range slices.Backward(lines) {
		if len(found) >= limit {
			return found, true
		}
		if len(line) == 0 || q.Policy != "" && !bytes.HasPrefix(line, prefix) {
			continue
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			j.log.Warn("journal line skipped", "err", err)
			continue
		}
		if !q.From.IsZero() && e.At().Before(q.From.Add(-longestInterval)) {
			return found, true
		}
		if q.matches(e) {
			found = append(found, e)
		}
	}
	return found, false
}

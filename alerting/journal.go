package alerting

// For a second listener, such as the gossip between two collectors:
//
//	am.onChange(kindSilences, func(change []byte) { … })  // before am.start
//	err := am.merge(kindSilences, changes)                // what the other side has told
//	s := am.shared(kindSilences)                          // the same as a cluster.State: MarshalBinary, Merge
//
// and likewise kindSent, the notification log. Changes are in Alertmanager's own
// encoding, one or more delimited messages. A listener is called under
// Alertmanager's lock: it must not wait, must not call back, and must leave the
// bytes as they are. It also hears of what merge found to be new, as
// Alertmanager's own gossip does. What is merged is as durable as what is made
// here.

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/alertmanager/nflog"

	"github.com/plimsoll-io/plimsoll/alerting/journal"
	"github.com/plimsoll-io/plimsoll/internal/durable"
)

const (
	// commitInterval is the least time between two flushes. With the flush itself
	// it is what a power cut can cost of notifications that were sent and of
	// alerts; for a silence the API's answer waits.
	commitInterval = 50 * time.Millisecond
	// retryInterval is how often a snapshot is tried while a change is in memory
	// alone.
	retryInterval = time.Second
	// journalBytes is how long a journal may get, or as long as its snapshot if
	// that is longer, before a new snapshot shortens it.
	journalBytes = 4 << 20
	// overflow is how many times as long it may get while snapshots fail.
	overflow = 4
)

// kind names something that is kept. Its snapshot has the same name.
type kind string

const (
	kindSilences kind = "silences"
	kindSent     kind = "nflog"
	kindAlerts   kind = "alerts"
)

// keepable is a state in memory that tells its changes one by one and takes
// them in again: Alertmanager's silences and notification log, and our roll.
type keepable interface {
	cluster.State
	Snapshot(io.Writer) (int64, error)
	GC() (int, error)
	SetBroadcast(func(change []byte))
}

// The first byte of a record.
const (
	tagChange   byte = 'c' // followed by what Merge takes
	tagIntent   byte = 'i' // followed by an intention, in JSON
	tagWithdraw byte = 'w' // followed by an intention that was not carried out
)

// kept is a state whose changes outlive the process, each from the moment on
// that it is made: they are in a snapshot, or in the journal since.
type kept struct {
	kind     kind
	state    keepable
	split    func([]byte) [][]byte // into single changes
	path     string                // of the snapshot
	log      *slog.Logger
	metrics  keptMetrics
	intents  *intentions // nil unless notifications are kept
	maxBytes int64

	journal   *journal.Journal // from start on
	listeners []func([]byte)
	large     atomic.Int64 // bytes of the last snapshot
	failing   atomic.Bool  // and it was said

	dirty, full chan struct{} // to be flushed; to be shortened
	end         chan struct{}
	loops       sync.WaitGroup
	saving      sync.Mutex // one snapshot at a time

	fresh echo
}

// newKept reads what is on disk into a state that is empty so far. It changes
// nothing of it.
func newKept(k kind, state keepable, split func([]byte) [][]byte, dir string, log *slog.Logger, m *journalMetrics) (*kept, error) {
	c := &kept{
		kind: k, state: state, split: split, path: filepath.Join(dir, string(k)),
		log: log.With("log", string(k)), metrics: m.of(k), maxBytes: journalBytes,
		dirty: make(chan struct{}, 1), full: make(chan struct{}, 1), end: make(chan struct{}),
	}
	if notifications, ok := state.(*nflog.Log); ok {
		c.intents = &intentions{open: map[to]intention{}, sent: notifications}
	}
	if err := c.loadSnapshot(); err != nil {
		return nil, err
	}
	_, err := journal.Replay(c.journalPath(), c.replay)
	return c, err
}

func (c *kept) journalPath() string { return c.path + ".journal" }

func (c *kept) replay(record []byte) {
	var err error
	switch body := record[1:]; {
	case record[0] == tagChange:
		err = c.state.Merge(body)
	case record[0] == tagIntent && c.intents != nil:
		err = c.intents.replay(body, true)
	case record[0] == tagWithdraw && c.intents != nil:
		err = c.intents.replay(body, false)
	default:
		err = fmt.Errorf("unknown record %q", record[0])
	}
	if err != nil {
		c.metrics.damaged.Inc()
		c.log.Error("a record of the journal makes no sense and is left out", "err", err)
	}
}

// start begins to keep what changes.
func (c *kept) start() error {
	j, damage, err := journal.Open(c.journalPath(), func([]byte) {}) // they were read before
	if err != nil {
		return err
	}
	c.journal = j
	if err := durable.DropTorn(c.path); err != nil {
		c.log.Warn("what a crash has left of a snapshot cannot be removed", "err", err)
	}
	if damage != (journal.Damage{}) {
		c.metrics.damaged.Add(float64(damage.Records))
		if damage.Tail > 0 {
			c.metrics.damaged.Inc()
		}
		c.log.Error("the journal is damaged; what could be read is in force, the damaged file is set aside",
			"records", damage.Records, "tail_bytes", damage.Tail, "aside", c.journalPath()+".damaged")
	}
	c.state.SetBroadcast(c.changed)
	c.loops.Go(c.flush)
	c.loops.Go(c.shorten)
	poke(c.full) // begin with a short journal
	return nil
}

// close writes what is left. What changes from here on is not kept.
func (c *kept) close() {
	if c.journal == nil {
		return
	}
	close(c.end)
	c.loops.Wait()
	if err := c.journal.Close(); err != nil {
		c.log.Error("the journal did not close", "err", err)
	}
}

// changed takes a change from the state, which holds its lock.
func (c *kept) changed(change []byte) {
	c.append(tagChange, change)
	for _, hear := range c.listeners {
		hear(change)
	}
}

func (c *kept) append(tag byte, body []byte) {
	bound := max(c.maxBytes, c.large.Load())
	size := c.journal.Size()
	var err error
	if size > overflow*bound {
		err = c.journal.Lose(fmt.Errorf("it has %d bytes, and no snapshot that would shorten it could be written", size))
	} else {
		err = c.journal.Append(append(append(make([]byte, 0, 1+len(body)), tag), body...))
	}
	c.metrics.bytes.Set(float64(size))
	if err != nil {
		c.failed(err)
		return
	}
	c.metrics.records.Inc()
	poke(c.dirty)
	if size > bound {
		poke(c.full)
	}
}

// failed notes that the disk lacks something that is in force, and has a
// snapshot tried until it does not.
func (c *kept) failed(err error) {
	c.metrics.errors.Inc()
	c.metrics.unsaved.Set(1)
	if c.failing.CompareAndSwap(false, true) {
		c.log.Error("cannot write; alerting goes on, but a crash would forget the latest changes: make room, or look at the disk", "err", err)
	}
	poke(c.full)
}

// flush lets changes share a flush, so that many cost little.
func (c *kept) flush() {
	for {
		select {
		case <-c.end:
			return
		case <-c.dirty:
		}
		_ = c.sync() // failed says it
		select {
		case <-c.end:
			return
		case <-time.After(commitInterval):
		}
	}
}

// sync returns once all changes until now survive a power cut, or with the
// reason why they do not.
func (c *kept) sync() error {
	err := c.journal.Sync()
	if err != nil {
		c.failed(err)
	}
	return err
}

// shorten takes snapshots out of turn: of a journal that is long, and until one
// is on disk that has what the journal lacks.
func (c *kept) shorten() {
	for {
		select {
		case <-c.end:
			return
		case <-c.full:
		}
		if _, err := c.save(); err == nil {
			continue
		}
		poke(c.full)
		select {
		case <-c.end:
			return
		case <-time.After(retryInterval):
		}
	}
}

// maintain takes a snapshot now and then, and when done is closed. Of silences
// and notifications Alertmanager does that.
func (c *kept) maintain(interval time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = c.save() // which says what is wrong
		case <-done:
			_, _ = c.save()
			return
		}
	}
}

// save writes a snapshot and drops what the journal has of it.
func (c *kept) save() (int64, error) {
	c.saving.Lock()
	defer c.saving.Unlock()
	if _, err := c.state.GC(); err != nil {
		c.log.Warn("cannot forget all that is old", "err", err)
	}
	drop, err := c.rotate()
	size, failed := writeSnapshot(c.path, c.state)
	if failed == nil {
		c.large.Store(size)
		failed = drop()
	}
	err = errors.Join(err, failed)
	c.metrics.bytes.Set(float64(c.journal.Size()))
	if err != nil {
		c.failed(fmt.Errorf("snapshot: %w", err))
		return size, err
	}
	c.metrics.snapshots.Inc()
	if c.journal.Err() == nil {
		c.metrics.unsaved.Set(0)
		if c.failing.CompareAndSwap(true, false) {
			c.log.Info("all changes are on disk again")
		}
	}
	return size, nil
}

// rotate begins a segment with the notifications whose outcome is open.
func (c *kept) rotate() (func() error, error) {
	if c.intents == nil {
		return c.journal.Rotate()
	}
	return c.journal.RotateWith(c.intents.carry)
}

// writeSnapshot replaces a snapshot at once or not at all.
func writeSnapshot(path string, state keepable) (size int64, err error) {
	err = durable.ReplaceWith(path, 0o600, func(w io.Writer) (err error) {
		size, err = state.Snapshot(w)
		return err
	})
	return size, err
}

// poke sets a signal that holds until it is taken.
func poke(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

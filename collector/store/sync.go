package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// syncer brings the logs to stable storage. The TSDB writes them at each commit
// but flushes them only when a segment is full, which survives the death of the
// process and not that of the machine.
type syncer struct {
	dir     string
	seconds prometheus.Observer
	lost    func() error // why what was committed is not in the log, or nil
	fail    func(error)  // hears of a round that failed

	mu      sync.Mutex
	next    *round // will begin once the one under way has ended; nil if nobody waits
	running bool
	failed  error // stays
	wg      sync.WaitGroup

	from map[string]int // first segment that may not be on stable storage; of the round under way
}

// round is one flush, for all who asked before it began.
type round struct {
	done chan struct{}
	err  error
}

func newSyncer(dir string, seconds prometheus.Observer, lost func() error, fail func(error)) *syncer {
	return &syncer{dir: dir, seconds: seconds, lost: lost, fail: fail, from: map[string]int{}}
}

// wait joins the next round and returns when it has ended. A round that is
// under way is of no use: it may have passed what the caller committed.
func (s *syncer) wait(ctx context.Context) error {
	s.mu.Lock()
	if s.next == nil {
		s.next = &round{done: make(chan struct{})}
	}
	r := s.next
	if !s.running {
		s.running = true
		s.wg.Go(s.run)
	}
	s.mu.Unlock()

	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run does rounds until nobody waits.
func (s *syncer) run() {
	for {
		s.mu.Lock()
		r := s.next
		s.next = nil
		if r == nil {
			s.running = false
			s.mu.Unlock()
			return
		}
		r.err = s.failed
		s.mu.Unlock()

		if r.err == nil {
			if r.err = s.flush(); r.err != nil {
				s.fail(r.err)
			}
		}
		s.mu.Lock()
		s.failed = r.err
		s.mu.Unlock()
		close(r.done)
	}
}

// stop waits for the rounds under way.
func (s *syncer) stop() { s.wg.Wait() }

func (s *syncer) flush() error {
	if err := s.lost(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	timer := prometheus.NewTimer(s.seconds)
	defer timer.ObserveDuration()
	for _, sub := range []string{walDir, wblDir} {
		if err := s.flushLog(sub); err != nil {
			return fmt.Errorf("sync %s: %w; what was stored since is not safe from a power cut, the store must be opened anew", filepath.Join(s.dir, sub), err)
		}
	}
	return nil
}

// flushLog flushes the segments that were not yet full the last time, and those
// that have come since.
func (s *syncer) flushLog(sub string) error {
	dir := filepath.Join(s.dir, sub)
	segments, err := numbered(dir)
	if err != nil {
		return err
	}
	if len(segments) == 0 {
		return nil
	}
	last := segments[len(segments)-1].n
	from, known := s.from[sub]
	for _, seg := range segments {
		if seg.n < from {
			continue
		}
		if err := syncFile(filepath.Join(dir, seg.name)); err != nil {
			return err
		}
	}
	if !known || last != from { // a new file is safe once its name is, too
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	s.from[sub] = last
	return nil
}

// syncFile flushes a file that someone else writes. One that has gone since it
// was listed is in a checkpoint or a block, which the TSDB flushes by itself.
func syncFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

// Reopen closes the TSDB and opens it anew, which is the remedy for a write or a
// Sync that has failed: what is written after that would be lost when the log is
// next read. It waits until the disk has room and takes what is written, and
// until the queries and transactions under way have ended, but for half a minute
// at most; others wait, or are refused. What was committed and not yet covered by a Sync may be gone
// afterwards, and the references of appenders are worth nothing.
//
// If it fails, or ctx ends, the store stays as it is, or answers queries from
// memory; Reopen is to be called again.
func (s *Store) Reopen(ctx context.Context) error {
	select {
	case s.renewal <- struct{}{}:
		defer func() { <-s.renewal }()
	case <-ctx.Done():
		return fmt.Errorf("reopen store: %w", ctx.Err())
	}
	if err := s.awaitRoom(ctx); err != nil {
		return fmt.Errorf("reopen store: %w", err)
	}
	if err := s.renew(ctx); err != nil {
		return fmt.Errorf("reopen store: %w", err)
	}
	return nil
}

// awaitRoom waits until the data directory can be written.
func (s *Store) awaitRoom(ctx context.Context) error {
	const again = 250 * time.Millisecond
	for {
		err := s.guard.has(2 * s.need().chunks) // to close, and to open
		if err == nil {
			err = probe(s.dir)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(again):
		}
	}
}

func (s *Store) renew(ctx context.Context) error {
	s.mu.Lock()
	l := s.life
	s.gate = make(chan struct{})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.gate)
		s.gate = nil
	}()
	if l != nil {
		slow := time.AfterFunc(patience/3, func() {
			s.log.Warn("the store waits to be opened anew until queries and transactions have ended", "users", l.inUse())
		})
		waiting, cancel := context.WithTimeout(ctx, patience)
		err := l.left(waiting)
		cancel()
		slow.Stop()
		if err != nil {
			return err
		}
		s.install(nil, errRenewed)
		s.bury(l)
	}
	if err := s.begins(ctx); err != nil {
		s.install(nil, err)
		return err
	}
	if _, err := s.current(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.metrics.reopened.Inc()
	}
	return s.why
}

// bury ends a life that another shall follow.
func (s *Store) bury(l *life) {
	failed := l.lost() != nil
	if err := l.close(); err != nil {
		s.log.Warn("the TSDB did not close; what was in memory is read from the log, and some files stay open until the collector ends", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !l.shadow && failed {
		s.last = byFailure
	}
}

// mend opens the data directory itself once that can be done, for a store that
// had no room when it began. So it does for one that has failed, if nobody else
// does: perhaps nobody appends because it is not ready.
func (s *Store) mend(ctx context.Context) {
	select {
	case s.renewal <- struct{}{}:
		defer func() { <-s.renewal }()
	default: // somebody else does, and has no life to show meanwhile
		return
	}
	if l, err := s.current(); err == nil && !l.shadow && !l.neglected() || s.roomToOpen() != nil {
		return
	}
	if err := s.renew(ctx); err != nil {
		s.log.Warn("the store is still not open", "err", err)
		return
	}
	s.log.Info("the store is open")
}

// toReplay is how many bytes are written while a directory is opened: by the TSDB
// the chunks that were full and not yet on disk when it was left.
//
// It packs each minute, of a head of some three hours, and buffers 4 MiB of what
// it packs; a log takes about twice the space of the chunks that are made of it.
// So if chunks are there, they are nearly all. If an opening has not come to its
// end, perhaps because that was too little, it is better to count with all.
//
// If samples came late, their log is written anew and all is packed again, see
// unpack; in a shadow beside what is there, else segment by segment and in its
// place.
func toReplay(dir string, shadow bool) int64 {
	const buffer = 4 << 20
	late := size(filepath.Join(dir, wblDir))
	logs := size(filepath.Join(dir, walDir)) + late
	packed := size(filepath.Join(dir, headChunksDir))
	again := late
	if !shadow {
		again = min(late, wlog.DefaultSegmentSize)
	}
	_, err := os.Lstat(filepath.Join(dir, keepDir))
	switch {
	case err == nil:
		return needAtLeast + logs + again
	case late > 0 && !shadow:
		return needAtLeast + max(0, logs/2-packed) + again
	case late == 0 && packed > logs/16:
		return needAtLeast + min(logs/2, buffer+logs/16)
	}
	return needAtLeast + logs/2 + again
}

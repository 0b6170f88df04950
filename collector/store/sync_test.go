package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestManySyncsAtATimeAllReturn(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	var g sync.WaitGroup
	for range 50 {
		g.Go(func() {
			if err := s.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
}

// A kernel flushes no device file, so a segment that is one shows that each
// segment is really flushed.
func TestAFailedSyncIsNeverForgotten(t *testing.T) {
	for _, sub := range []string{walDir, wblDir} {
		t.Run(sub, func(t *testing.T) {
			s := open(t, Options{Dir: t.TempDir()})
			defer mustClose(t, s)
			if err := s.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			newest := filepath.Join(s.Dir(), sub, segmentName(1))
			if err := os.Symlink("/dev/null", newest); err != nil {
				t.Fatal(err)
			}
			if s.Sync(t.Context()) == nil {
				t.Error("the newest segment was not flushed")
			}
			if err := os.Remove(newest); err != nil {
				t.Fatal(err)
			}
			if s.Sync(t.Context()) == nil {
				t.Error("after a failure a Sync succeeded")
			}
		})
	}
}

func TestSyncFlushesTheSegmentThatWasNotFullTheLastTime(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What was the newest then, and has filled up since.
	old := filepath.Join(s.Dir(), walDir, segmentName(0))
	if err := errors.Join(os.Remove(old), os.Symlink("/dev/null", old)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir(), walDir, segmentName(1)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s.Sync(t.Context()) == nil {
		t.Error("it was not flushed again")
	}
}

func TestAHangingDiskDoesNotHoldTheCallerForEver(t *testing.T) {
	y := newSyncer(t.TempDir(), newMetrics().syncSeconds, func() error { return nil }, func(error) {})
	y.running = true // a round that never ends
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := y.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// The upkeep, a snapshot and who opens the store anew all look before they write.
func TestManyProbesAtATimeAllSucceed(t *testing.T) {
	dir := t.TempDir()
	var g sync.WaitGroup
	for range 20 {
		g.Go(func() {
			if err := probe(dir); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
}

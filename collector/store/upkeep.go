package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	upkeepInterval = time.Minute
	// staleSoon is how long before the head is written out anyway the series
	// that have ended are not worth a block of their own.
	staleSoon = 10 * time.Minute
	// never is the interval at which the TSDB keeps itself up.
	never = time.Duration(math.MaxInt64)
)

// The TSDB would keep itself up, in a goroutine of its own, where a chunk that
// cannot be written is a panic that ends the process. So that goroutine is told
// to sleep, and this one does the same: here a panic can be caught, and there is
// a look at the disk before.

// keepUp makes blocks of what is in memory, merges and deletes blocks, and packs
// chunks, every minute until ctx ends.
func (l *life) keepUp(ctx context.Context) {
	ticker := time.NewTicker(upkeepInterval)
	defer ticker.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := l.upkeepOnce(ctx)
		if err != nil && ctx.Err() == nil && !told {
			l.log.Warn("the upkeep of the store fails; it is tried every minute", "err", err)
		}
		told = err != nil
	}
}

// upkeepOnce does what can be done of it.
func (l *life) upkeepOnce(ctx context.Context) error {
	if err := l.lost(); err != nil {
		return err
	}
	l.look.Store(true)
	return errors.Join(
		l.packLateFirst(),
		l.careful("compact", func() error { return l.db.Compact(ctx) }),
		l.careful("pack chunks", func() error {
			if err := l.mayWrite(l.need().chunks); err != nil {
				return err
			}
			l.db.ForceHeadMMap()
			return nil
		}),
		l.careful("compact ended series", l.compactStale),
	)
}

// packLateFirst makes a block of the late samples where the head is about to
// become one. That ends with a checkpoint, which drops from the log the numbers of
// series under which late samples may still be in theirs.
func (l *life) packLateFirst() error {
	if head := l.db.Head(); head.NumSeries() == 0 || head.MaxTime()-head.MinTime() <= headSpan {
		return nil
	}
	return l.packLate()
}

// packLate makes a block of the late samples that are in memory; the TSDB leaves
// them out of a snapshot.
func (l *life) packLate() error {
	return l.careful("compact late samples", func() error {
		if err := l.mayWrite(l.need().chunks); err != nil {
			return err
		}
		return l.db.CompactOOOHead(context.Background())
	})
}

// careful takes a panic for what it is: a disk that takes nothing.
func (l *life) careful(deed string, f func() error) error {
	panicked := true
	err := shielded(func() error {
		err := f()
		panicked = false
		return err
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", deed, err)
	if panicked {
		l.fail(err)
	}
	return err
}

// compactStale writes out the series that have ended once they are many, unless
// the head is about to be written out as a whole.
func (l *life) compactStale() error {
	head := l.db.Head()
	stale, all := float64(head.NumStaleSeries()), float64(head.NumSeries())
	blockAt := time.Duration(headSpan-(head.MaxTime()-head.MinTime())) * time.Millisecond
	if all == 0 || stale/all < staleShare || blockAt < staleSoon {
		return nil
	}
	return l.db.CompactStaleHead()
}

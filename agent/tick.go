package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// sample ticks at whole multiples of the interval, so that the agents of a
// fleet look at the same moments. A tick that comes due while another is still
// at work is left out: late readings help nobody, and a queue of them would
// make all that follow late too. So is one between the multiples of a slower
// pace; the agent wakes up for it all the same, to be fast again as soon as
// nobody wants that pace any more.
func (a *Agent) sample(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := a.following(time.Time{})
	for {
		expected := time.Now().Add(next.Sub(a.clock.Now()))
		if !a.waitUntil(ctx, next, timer) {
			return nil
		}
		if pace := a.pace(); next.Equal(next.Truncate(pace)) {
			a.tick(ctx, a.stamp(next))
			if late := time.Since(expected); late > 0 {
				a.metrics.missed.Add(uint64((late - 1) / pace))
			}
		}
		next = a.following(next)
	}
}

// pace is the time from one tick to the next, as the collector wants it.
func (a *Agent) pace() time.Duration {
	return a.opts.Interval * time.Duration(max(a.opts.Settings().Slowdown, 1))
}

// following is the first tick that is after the last and not over yet.
func (a *Agent) following(last time.Time) time.Time {
	now := a.clock.Now()
	next := now.Truncate(a.opts.Interval)
	if next.Before(now) || !next.After(last) {
		next = next.Add(a.opts.Interval)
	}
	return next
}

// waitUntil returns true when the agent's clock shows next, or has been set back
// so that it will not for long; false when ctx ended before.
func (a *Agent) waitUntil(ctx context.Context, next time.Time, timer *time.Timer) bool {
	for {
		wait := next.Sub(a.clock.Now())
		if wait <= 0 || wait > a.opts.Interval {
			return ctx.Err() == nil
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return false
		case <-timer.C: // early if the clock slows down to let the wall catch up
		}
	}
}

// stamp is the time of the batch whose tick was due at next. A tick that
// starts within a hundredth of the interval is stamped as if it had been
// punctual, as Prometheus does with scrapes: evenly spaced samples compress to
// nothing. Any other is stamped with the truth. No two batches in a row have the
// same time.
func (a *Agent) stamp(next time.Time) time.Time {
	at := a.clock.Now()
	if late := at.Sub(next); late >= 0 && late <= a.opts.Interval/100 {
		at = next
	}
	at = at.Truncate(time.Millisecond)
	if back := a.last.Sub(at); back >= 0 && back < time.Second { // more is a clock set back
		at = a.last.Add(time.Millisecond)
	}
	a.last = at
	return at
}

// tick reads every source once. What was read is spooled even if ctx ended
// meanwhile, and a full disk costs a batch, not the agent.
func (a *Agent) tick(ctx context.Context, at time.Time) {
	began := time.Now()
	a.batch.Reset(a.ticks, at)
	a.ticks++
	for _, s := range a.sources {
		a.collect(ctx, s)
	}
	if a.opts.Observe != nil {
		a.opts.Observe(&a.batch)
	}
	samples := uint64(a.batch.Len())
	if err := a.opts.Spool.Append(&a.batch); err != nil {
		a.metrics.lost.Add(1)
		a.log(ctx, slog.LevelError, "batch lost", "spool", err)
	} else {
		a.metrics.samples.Add(samples)
	}
	a.metrics.ticks.Store(a.ticks)
	a.metrics.took.Store(int64(time.Since(began)))
}

// collect reads one source. If it panics, what it added in this tick is taken
// back, for nobody knows how far it got, and the others go on.
func (a *Agent) collect(ctx context.Context, s *watched) {
	limited, cancel := context.WithTimeout(ctx, a.opts.Interval)
	defer cancel()
	began, columns := time.Now(), len(a.batch.Columns)
	defer func() {
		s.took.Add(int64(time.Since(began)))
		if p := recover(); p != nil {
			a.batch.Columns = a.batch.Columns[:columns]
			s.failed.Add(1)
			s.panicked.Add(1)
			a.log(ctx, slog.LevelError, "source panicked", s.Name(), fmt.Errorf("%v", p), "stack", string(debug.Stack()))
		}
	}()
	err := s.Collect(limited, &a.batch)
	if err == nil || ctx.Err() != nil {
		return
	}
	s.failed.Add(1)
	a.log(ctx, slog.LevelWarn, "source incomplete", s.Name(), err)
}

// log logs, but not the same thing at every tick. It is only for the goroutine
// that samples.
func (a *Agent) log(ctx context.Context, level slog.Level, what, source string, err error, more ...any) {
	held, ok := a.quiet.due(what+"\x00"+source+"\x00"+err.Error(), a.last)
	if !ok {
		return
	}
	args := append([]any{"source", source, "err", err}, more...)
	if held > 0 {
		args = append(args, "repeated", held)
	}
	a.opts.Log.Log(ctx, level, what, args...)
}

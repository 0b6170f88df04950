package store

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// quiet makes the TSDB's log a step quieter: its info is our debug. While it
// opens its warnings are our info, because Open warns of the same by itself,
// once and with what was lost.
type quiet struct {
	slog.Handler
	opening *atomic.Bool
}

func newQuiet(log *slog.Logger) quiet {
	q := quiet{log.With("component", "tsdb").Handler(), new(atomic.Bool)}
	q.opening.Store(true)
	return q
}

// opened ends the time in which warnings are info.
func (q quiet) opened() { q.opening.Store(false) }

func (q quiet) level(l slog.Level) slog.Level {
	if l <= slog.LevelInfo || l <= slog.LevelWarn && q.opening.Load() {
		return l - (slog.LevelWarn - slog.LevelInfo)
	}
	return l
}

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, q.level(l))
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = q.level(r.Level)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.opening}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.opening}
}

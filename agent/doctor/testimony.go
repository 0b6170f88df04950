package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// testimony is what a part of the agent says while it is tried. How it fares is
// told by its counts; this is why.
type testimony struct {
	mu    sync.Mutex
	lines []string
}

// logger is for the part.
func (t *testimony) logger() *slog.Logger { return slog.New(hearing{t}) }

// all is what was said; empty if nothing was.
func (t *testimony) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "; ")
}

// hearing is a handler of what is worth a person's while.
type hearing struct{ *testimony }

func (hearing) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (h hearing) Handle(_ context.Context, r slog.Record) error {
	var why []string
	r.Attrs(func(a slog.Attr) bool {
		why = append(why, fmt.Sprintf("%s %v", a.Key, a.Value))
		return true
	})
	line := r.Message
	if len(why) > 0 {
		line += " (" + strings.Join(why, ", ") + ")"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	const most = 32
	if len(h.lines) < most {
		h.lines = append(h.lines, line)
	}
	return nil
}

func (h hearing) WithAttrs([]slog.Attr) slog.Handler { return h } // such as which engine, which the flag says
func (h hearing) WithGroup(string) slog.Handler      { return h }

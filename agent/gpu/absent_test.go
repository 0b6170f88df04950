//go:build !cgo

package gpu

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestABuildWithoutCgoSaysSoAndStartsNoChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log tail
		h, err := New(Options{Args: []string{asChild}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
		if s := h.State(); s.Starts != 0 || s.Expected {
			t.Errorf("state %+v", s)
		}
		if text := log.text(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "without cgo") {
			t.Errorf("the log is not one line that says so:\n%s", text)
		}
	})
}

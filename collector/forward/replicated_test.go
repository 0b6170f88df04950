package forward

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWhatIsReplicatedIsAtTheTarget(t *testing.T) {
	tg := newTarget(t, time.Hour)
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, version1)))
	now := time.Now().UnixMilli()
	for i := range 20 {
		if err := r.Stored(now+int64(i), container(2, "c"), []float64{1, 2}); err != nil {
			t.Fatal(err)
		}
		if err := r.Replicated(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := tg.count(); got != 2*(i+1) {
			t.Fatalf("%d samples are at the target, %d were said to be", got, 2*(i+1))
		}
	}
}

func TestATargetThatIsAwayReplicatesNothing(t *testing.T) {
	tg := newTarget(t, time.Hour)
	tg.answers(func(_ int, _ []byte, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, version1)))
	if err := r.Stored(time.Now().UnixMilli(), container(1, "c"), []float64{1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := r.Replicated(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "endpoint target") {
		t.Errorf("error %v, want one that names the endpoint", err)
	}
}

// An agent that waits for a target that is away for days would otherwise be told
// that it may forget what nobody else has.
func TestWhatIsReliedOnIsNeverTooOld(t *testing.T) {
	for _, keep := range []bool{true, false} {
		tg := newTarget(t, time.Hour)
		tg.answers(func(n int, _ []byte, w http.ResponseWriter, _ *http.Request) bool {
			if n <= 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n <= 3
		})
		r := start(t, Options{Dir: t.TempDir(), MaxAge: time.Nanosecond, Keep: keep}, configured(t, quick(tg.server.URL, version1)))
		hand(t, r.Forwarder, time.Now().UnixMilli(), container(1, "c"), []float64{1})
		if err := r.Replicated(t.Context()); err != nil {
			t.Fatal(err)
		}
		if there := tg.count() == 1; there != keep {
			t.Errorf("kept %v: at the target is %v", keep, there)
		}
	}
}

func TestNobodyReplicatesNothing(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()}, Config{})
	if r.Replicated(t.Context()) == nil {
		t.Error("there is no endpoint, and all is said to be there")
	}
}

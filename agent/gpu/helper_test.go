package gpu

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// driver is what a child finds: what it answers, or that it hangs.
type driver struct {
	missing error
	hangs   chan struct{} // until closed; nil if it does not
	fails   atomic.Bool
	told    atomic.Int64
}

func (d *driver) open() (devices, error) {
	if d.missing != nil {
		return nil, d.missing
	}
	return d, nil
}

func (d *driver) snapshot() (*Snapshot, []xidEvent, error) {
	told := d.told.Add(1)
	if d.hangs != nil {
		<-d.hangs
	}
	if d.fails.Load() {
		return nil, nil, errors.New("count GPUs: NVML error 999")
	}
	return &Snapshot{Driver: "1", Devices: []Device{{UUID: "GPU-x", Index: int(told)}}}, []xidEvent{{"GPU-x", 48}}, nil
}

func (d *driver) close() {}

// virtual is a helper whose children are goroutines that serve, so that hours of
// it pass at once. Which driver a child finds is asked at its start.
func virtual(t *testing.T, find func(start uint64) *driver) (h *Helper, log *tail, end func()) {
	t.Helper()
	log = new(tail)
	h, err := New(Options{Args: []string{"x"}, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h.start = func() (*child, error) {
		parentIn, childIn := net.Pipe()
		parentOut, childOut := net.Pipe()
		ended := make(chan struct{})
		d := find(h.State().Starts + 1)
		go func() {
			defer close(ended)
			defer childOut.Close()
			defer childIn.Close()
			_ = serve(d.open, childIn, childOut)
		}()
		return &child{in: parentIn, out: parentOut, ended: ended, said: new(tail), stop: func() {
			parentIn.Close()
			parentOut.Close()
		}}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.run(ctx) }()
	return h, log, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// text is all that was kept.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// pass lets virtual time go by, and what comes due at its end happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestASnapshotIsTakenEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(driver)
		h, _, end := virtual(t, func(uint64) *driver { return d })
		pass(time.Minute + time.Millisecond)
		s := h.State()
		if d.told.Load() != 61 || s.Starts != 1 || !s.Up {
			t.Errorf("%d snapshots in a minute by %d children, up %v", d.told.Load(), s.Starts, s.Up)
		}
		if age := time.Since(s.Taken); age != time.Millisecond {
			t.Errorf("the last is %s old", age)
		}
		if x := s.Snapshot.Devices[0].XIDs; x.Last != 48 || x.Counts[0] != (XIDCount{48, 61}) {
			t.Errorf("errors %+v, want 61 of code 48", x)
		}
		end()
	})
}

func TestANodeWithoutAGPUIsLookedAtEveryTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, log, end := virtual(t, func(start uint64) *driver {
			if start <= 6 {
				return &driver{missing: absentError("no library")}
			}
			return new(driver)
		})
		pass(59 * time.Minute)
		if s := h.State(); s.Starts != 6 || s.Expected || strings.Count(log.text(), "\n") != 1 {
			t.Errorf("state %+v, log:\n%s", s, log.text())
		}
		pass(2 * time.Minute)
		if s := h.State(); !s.Up || !s.Expected {
			t.Errorf("state %+v once there is a GPU", s)
		}
		end()
	})
}

func TestAFailureIsTriedAgainMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, end := virtual(t, func(uint64) *driver {
			d := new(driver)
			d.fails.Store(true)
			return d
		})
		pass(8 * time.Second) // after 0, 1, 3 and 7
		if s := h.State(); s.Starts != 4 || s.Up || !s.Expected {
			t.Errorf("state %+v", s)
		}
		before := h.State().Starts
		pass(time.Hour)
		if n := h.State().Starts - before; n < 12 || n > 20 {
			t.Errorf("%d starts in an hour, want one in about five minutes", n)
		}
		end()
	})
}

func TestNoSecondChildIsStartedBesideOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &driver{hangs: make(chan struct{})}
		h, log, end := virtual(t, func(start uint64) *driver {
			if start == 1 {
				return stuck
			}
			return new(driver)
		})
		pass(time.Hour)
		if s := h.State(); s.Starts != 1 || s.Up || strings.Count(log.text(), "does not end") != 1 {
			t.Errorf("state %+v, log:\n%s", s, log.text())
		}
		close(stuck.hangs)
		pass(10 * time.Second)
		if s := h.State(); s.Starts != 2 || !s.Up {
			t.Errorf("state %+v after the driver let go", s)
		}
		end()
	})
}

func TestADriverThatHangsDoesNotKeepTheAgentFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &driver{hangs: make(chan struct{})}
		_, _, end := virtual(t, func(uint64) *driver { return stuck })
		pass(time.Hour)
		began := time.Now()
		end()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		close(stuck.hangs)
	})
}

func TestADriverThatGoesAwayIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(driver)
		h, _, end := virtual(t, func(start uint64) *driver {
			if start == 1 {
				return d
			}
			return &driver{missing: absentError("no driver")}
		})
		pass(10 * time.Second)
		d.fails.Store(true)
		pass(time.Minute)
		if s := h.State(); s.Up || !s.Expected || s.Starts < 4 {
			t.Errorf("state %+v, want it to be a fault", s)
		}
		end()
	})
}

func TestAHelperNeedsArguments(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("without them the child would be another agent")
	}
}

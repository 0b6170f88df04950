package scaler

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

var web = driver.Workload{Name: "web"}

// grab returns a grip on a platform that runs two replicas of web.
func grab(t *testing.T, mode policy.Mode) (*grip, *fake.Platform) {
	t.Helper()
	p := &fake.Platform{}
	p.Add(web, 2)
	g := &guard{
		drivers: map[string]driver.Driver{"fake": p},
		ceiling: 500,
		lease:   alone{},
		log:     slog.New(slog.DiscardHandler),
		metrics: newMetrics(nil),
	}
	h, err := g.grip(policy.App{Name: "web", Mode: mode, Target: policy.Target{Driver: "fake", Service: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	return h, p
}

func TestTheGuardLetsAnActivePolicyWrite(t *testing.T) {
	h, p := grab(t, policy.Active)
	if err := h.scale(t.Context(), 500, ""); err != nil {
		t.Fatal(err)
	}
	if w := p.Writes(); len(w) != 1 || w[0].To != 500 {
		t.Errorf("writes %+v, want one to 500", w)
	}
}

func TestNoNumberBeyondTheCeilingReachesADriver(t *testing.T) {
	for _, n := range []int{501, 1e12, math.MaxInt} {
		h, p := grab(t, policy.Active)
		err := h.scale(t.Context(), n, "")
		if !errors.Is(err, errGuard) || outcome(err) != journal.Refused {
			t.Errorf("%d: error %v, want the guard's", n, err)
		}
		if w := p.Writes(); len(w) != 0 {
			t.Errorf("%d: writes %+v", n, w)
		}
		if got := testutil.ToFloat64(h.guard.metrics.refused.WithLabelValues("web", refusedCeiling)); got != 1 {
			t.Errorf("%d: counted %v times, want once", n, got)
		}
	}
}

// TestARefusalIsInTheEntry: decide has the same ceiling, so a loop gets this far
// only if decide is broken.
func TestARefusalIsInTheEntry(t *testing.T) {
	h, p := grab(t, policy.Active)
	l := &loop{app: policy.App{Name: "web"}, grip: h, metrics: h.guard.metrics}
	result, problem := l.act(t.Context(), decide.Decision{Action: decide.Grow, From: 2, To: 501, Apply: true}, "")
	if result != journal.Refused || !strings.Contains(problem, "ceiling of 500") || len(p.Writes()) != 0 {
		t.Errorf("%s: %s; writes %+v", result, problem, p.Writes())
	}
}

func TestLessThanNoneReachesNoDriver(t *testing.T) {
	for _, n := range []int{-1, math.MinInt} {
		h, p := grab(t, policy.Active)
		if err := h.scale(t.Context(), n, ""); !errors.Is(err, errGuard) || len(p.Writes()) != 0 {
			t.Errorf("%d: error %v, writes %+v", n, err, p.Writes())
		}
	}
}

func TestAPolicyThatOnlyAdvisesHoldsNothingThatWrites(t *testing.T) {
	for _, mode := range []policy.Mode{policy.Advise, policy.Paused, "", "ACTIVE"} {
		h, p := grab(t, mode)
		if h.write != nil {
			t.Errorf("mode %q: the grip has a writer", mode)
		}
		if _, ok := h.read.(writer); ok {
			t.Errorf("mode %q: the reader is a writer in disguise", mode)
		}
		if err := h.scale(t.Context(), 3, ""); !errors.Is(err, errGuard) || len(p.Writes()) != 0 {
			t.Errorf("mode %q: error %v, writes %+v", mode, err, p.Writes())
		}
	}
}

func TestARunawayIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := grab(t, policy.Active)
		for i := range 1000 { // a hundred seconds
			err := h.scale(t.Context(), 1+i%7, "")
			if err != nil && !errors.Is(err, errGuard) {
				t.Fatal(err)
			}
			<-time.After(100 * time.Millisecond)
		}
		// Some ask for what is there, which is no write.
		if n := len(p.Writes()); n < 40 || n > writeBurst+100/2 {
			t.Errorf("%d writes in 100 s, want at most the burst and one each 2 s", n)
		}
	})
}

func TestAPlatformThatHangsIsLeftAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := grab(t, policy.Active)
		p.HangStatus()
		p.HangScale()
		begin := time.Now()
		if _, err := h.status(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("status: error %v, want the deadline", err)
		}
		err := h.scale(t.Context(), 3, "")
		if !errors.Is(err, context.DeadlineExceeded) || outcome(err) != journal.Unknown {
			t.Errorf("scale: error %v, want the deadline, which leaves the outcome unknown", err)
		}
		if took := time.Since(begin); took != lookLimit+writeLimit {
			t.Errorf("took %v, want %v", took, lookLimit+writeLimit)
		}
	})
}

func TestOutcomesAreToldApart(t *testing.T) {
	tests := map[error]string{
		nil:                      journal.Accepted,
		driver.ErrConflict:       journal.Conflict,
		driver.ErrCapacity:       journal.Capacity,
		driver.ErrNotFound:       journal.Refused,
		driver.ErrRefused:        journal.Refused,
		context.DeadlineExceeded: journal.Unknown,
		errors.New("EOF"):        journal.Unknown,
	}
	for err, want := range tests {
		if got := outcome(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

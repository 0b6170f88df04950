package scaler

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// term is a lease in a test's hand: the epoch in which it is held, or 0.
type term struct{ epoch atomic.Uint64 }

func (l *term) Held() (uint64, bool) { e := l.epoch.Load(); return e, e > 0 }

// follow runs a scaler of a pair beside the others of the world.
func follow(t *testing.T, w *world, l Lease) *Scaler {
	t.Helper()
	s, err := New(Options{
		Policies: []policy.App{holding(policy.Active)}, Query: w, Lease: l,
		Drivers: map[string]driver.Driver{"fake": &w.platform},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(t.Context()) }()
	t.Cleanup(func() { <-ended })
	return s
}

func TestOfTwoScalersOnlyTheLeaderWritesAndTheOtherGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{load: 20}
		w.platform.Add(web, 2)
		var a, b term
		a.epoch.Store(7)
		follow(t, w, &a)
		standby := follow(t, w, &b)
		<-time.After(time.Minute)
		w.set(40)
		<-time.After(5 * time.Second)
		if writes := w.platform.Writes(); len(writes) != 1 || writes[0].To != 4 || writes[0].Epoch != 7 {
			t.Fatalf("writes %+v, want one to 4 in epoch 7", writes)
		}
		if s := standby.Policies()[0]; s.Last == nil || s.Last.Mode != policy.Standby || s.Last.Result != "" {
			t.Errorf("the standby's last tick is %+v", s.Last)
		}

		a.epoch.Store(0)
		w.set(80)
		<-time.After(10 * time.Second)
		if writes := w.platform.Writes(); len(writes) != 1 {
			t.Fatalf("nobody leads, and writes are %+v", writes)
		}
		b.epoch.Store(8)
		<-time.After(2 * time.Second)
		if writes := w.platform.Writes(); len(writes) != 2 || writes[1].Epoch != 8 {
			t.Errorf("writes %+v, want a second in epoch 8 within a tick of the new lead", writes)
		}
	})
}

func TestALeadThatEndedBetweenDecisionAndWriteIsRefused(t *testing.T) {
	h, p := grab(t, policy.Active)
	h.guard.lease = new(term)
	if err := h.scale(t.Context(), 3, ""); !errors.Is(err, errGuard) {
		t.Errorf("error %v, want the guard's", err)
	}
	if w := p.Writes(); len(w) != 0 {
		t.Errorf("writes %+v", w)
	}
}

// A process that was stopped after it had looked at its lease finds that another
// has written since.
func TestAWriteOfAnEarlierEpochIsRefusedByThePlatform(t *testing.T) {
	h, p := grab(t, policy.Active)
	old := new(term)
	old.epoch.Store(7)
	h.guard.lease = old
	p.BeforeScale(func() {
		if err := p.Scale(t.Context(), web, 5, "", 8); err != nil {
			t.Error(err)
		}
	})
	err := h.scale(t.Context(), 3, "")
	if !errors.Is(err, driver.ErrFenced) || outcome(err) != journal.Refused {
		t.Errorf("error %v, want ErrFenced, which is a refusal", err)
	}
	if w := p.Writes(); len(w) != 1 || w[0].Epoch != 8 {
		t.Errorf("writes %+v, want that of epoch 8 alone", w)
	}
}

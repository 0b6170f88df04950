// Package drivertest is the contract of driver.Driver as tests. Every driver
// runs it, the one in memory and those that speak to a real platform.
package drivertest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

// Platform is what a driver's test brings along.
type Platform struct {
	Driver driver.Driver
	// Workload exists on the platform, may be scaled between 1 and 5
	// replicas and is left with some count in between.
	Workload driver.Workload
	// Fixed, if named, exists too but has no count that one could set.
	Fixed driver.Workload
	// Replicas lists the ids of Workload's replicas that serve, as the
	// platform itself knows them, not through Driver.
	Replicas func(t *testing.T) []string
	// Patience is how long the platform may take to start or stop a replica.
	Patience time.Duration
}

// Run checks p.Driver against the contract. The cases build on each other's
// workload but not on its count.
func Run(t *testing.T, p Platform) {
	t.Run("asks and tells", p.asksAndTells)
	t.Run("a second request for the same count changes nothing", p.idempotent)
	t.Run("replicas become ready", p.becomeReady)
	t.Run("replicas that stay keep their ids", p.keepsIDs)
	t.Run("a stale revision is a conflict and writes nothing", p.conflict)
	t.Run("an empty revision fits any state", p.unconditional)
	t.Run("an unknown workload is not found", p.unknown)
	t.Run("a negative count is refused", p.negative)
	t.Run("who leads no longer is refused", p.fenced)
	t.Run("an ended context is obeyed", p.obeysContext)
	if l, ok := p.Driver.(driver.Lister); ok {
		t.Run("a list says what looks say", func(t *testing.T) { p.lists(t, l) })
	}
	if w, ok := p.Driver.(driver.Watcher); ok {
		t.Run("a change is told", func(t *testing.T) { p.tells(t, w) })
	}
	if p.Fixed != (driver.Workload{}) {
		t.Run("a workload without a count is refused", p.fixed)
	}
}

func (p Platform) asksAndTells(t *testing.T) {
	for _, n := range []int{3, 1, 2} {
		p.scale(t, n)
		if got := p.status(t); got.Desired != n {
			t.Fatalf("status %+v after asking for %d", got, n)
		}
	}
}

func (p Platform) idempotent(t *testing.T) {
	p.scale(t, 2)
	before := p.await(t, 2)
	if err := p.Driver.Scale(t.Context(), p.Workload, 2, before.Rev, 0); err != nil {
		t.Fatal(err)
	}
	if after := p.status(t); after.Rev != before.Rev {
		t.Errorf("revision went from %q to %q: something was written", before.Rev, after.Rev)
	}
}

func (p Platform) becomeReady(t *testing.T) {
	p.scale(t, 3)
	got := p.await(t, 3)
	if got.Desired != 3 || got.Starting != 0 || got.Pending != 0 {
		t.Errorf("status %+v, want three ready and nothing on its way", got)
	}
}

func (p Platform) keepsIDs(t *testing.T) {
	p.scale(t, 2)
	p.await(t, 2)
	before := p.Replicas(t)

	p.scale(t, 4)
	p.await(t, 4)
	grown := p.Replicas(t)
	for _, id := range before {
		if !slices.Contains(grown, id) {
			t.Errorf("replica %s is gone after a scale-out; before %v, after %v", id, before, grown)
		}
	}

	p.scale(t, 2)
	p.await(t, 2)
	for _, id := range p.Replicas(t) {
		if !slices.Contains(grown, id) {
			t.Errorf("replica %s is new after a scale-in; before %v", id, grown)
		}
	}
}

func (p Platform) conflict(t *testing.T) {
	p.scale(t, 2)
	stale := p.await(t, 2).Rev
	p.scale(t, 3)
	p.await(t, 3)
	err := p.Driver.Scale(t.Context(), p.Workload, 1, stale, 0)
	if !errors.Is(err, driver.ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
	if got := p.status(t); got.Desired != 3 {
		t.Errorf("status %+v after a conflict, want desired 3 as before", got)
	}
}

func (p Platform) unconditional(t *testing.T) {
	for _, n := range []int{1, 2} {
		if err := p.Driver.Scale(t.Context(), p.Workload, n, "", 0); err != nil {
			t.Fatal(err)
		}
		if got := p.status(t); got.Desired != n {
			t.Errorf("status %+v, want desired %d", got, n)
		}
		p.await(t, n)
	}
}

func (p Platform) unknown(t *testing.T) {
	nobody := driver.Workload{Namespace: p.Workload.Namespace, Name: "no-such"}
	if _, err := p.Driver.Status(t.Context(), nobody); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("status: error %v, want ErrNotFound", err)
	}
	if err := p.Driver.Scale(t.Context(), nobody, 1, "", 0); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("scale: error %v, want ErrNotFound", err)
	}
}

func (p Platform) negative(t *testing.T) {
	before := p.status(t)
	if err := p.Driver.Scale(t.Context(), p.Workload, -1, "", 0); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("error %v, want ErrRefused", err)
	}
	if after := p.status(t); after.Desired != before.Desired {
		t.Errorf("desired went from %d to %d", before.Desired, after.Desired)
	}
}

func (p Platform) fenced(t *testing.T) {
	p.scale(t, 1)
	before := p.await(t, 1)
	ids := p.Replicas(t)
	for _, leader := range []struct {
		epoch uint64
		n     int
	}{{7, 2}, {7, 3}, {9, 4}} {
		if err := p.Driver.Scale(t.Context(), p.Workload, leader.n, "", leader.epoch); err != nil {
			t.Fatalf("epoch %d: %v", leader.epoch, err)
		}
	}
	p.await(t, 4)
	if err := p.Driver.Scale(t.Context(), p.Workload, 1, "", 8); !errors.Is(err, driver.ErrFenced) {
		t.Errorf("epoch 8 after 9: error %v, want ErrFenced", err)
	}
	if after := p.status(t); after.Desired != 4 || after.Rev == before.Rev {
		t.Errorf("status %+v, want the four replicas of epoch 9", after)
	}
	if !slices.Contains(p.Replicas(t), ids[0]) {
		t.Errorf("replica %s, which was never to go, was replaced", ids[0])
	}
	// One who is alone is not held up by what a pair has left.
	if err := p.Driver.Scale(t.Context(), p.Workload, 1, "", 0); err != nil {
		t.Error(err)
	}
	p.await(t, 1)
}

func (p Platform) obeysContext(t *testing.T) {
	before := p.status(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Driver.Status(ctx, p.Workload); !errors.Is(err, context.Canceled) {
		t.Errorf("status: error %v, want context.Canceled", err)
	}
	if err := p.Driver.Scale(ctx, p.Workload, before.Desired+1, "", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("scale: error %v, want context.Canceled", err)
	}
	if after := p.status(t); after.Desired != before.Desired {
		t.Errorf("desired went from %d to %d", before.Desired, after.Desired)
	}
}

func (p Platform) lists(t *testing.T, l driver.Lister) {
	nobody := driver.Workload{Namespace: p.Workload.Namespace, Name: "no-such"}
	ws := []driver.Workload{nobody, p.Workload}
	if p.Fixed != (driver.Workload{}) {
		ws = append(ws, p.Fixed)
	}
	for _, n := range []int{1, 2} {
		p.scale(t, n)
		for _, settled := range []bool{false, true} {
			if settled {
				p.await(t, n)
			}
			replies, err := l.StatusAll(t.Context(), ws)
			if err != nil || len(replies) != len(ws) {
				t.Fatalf("%d replies to %d questions, error %v", len(replies), len(ws), err)
			}
			if !errors.Is(replies[0].Err, driver.ErrNotFound) {
				t.Errorf("unknown workload: error %v, want ErrNotFound", replies[0].Err)
			}
			if got := replies[1]; got.Err != nil || got.Status.Desired != n || settled && got.Status != p.status(t) {
				t.Errorf("listed %+v, want what a look says: %+v", got, p.status(t))
			}
			if len(ws) > 2 && !errors.Is(replies[2].Err, driver.ErrRefused) {
				t.Errorf("workload without a count: error %v, want ErrRefused", replies[2].Err)
			}
		}
	}
	p.scale(t, 1)
	replies, err := l.StatusAll(t.Context(), ws)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Driver.Scale(t.Context(), p.Workload, 2, replies[1].Status.Rev, 0); err != nil && !errors.Is(err, driver.ErrConflict) {
		t.Errorf("scale under the revision of a list: %v", err)
	}
	if err := p.Driver.Scale(t.Context(), p.Workload, 3, replies[1].Status.Rev, 0); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("scale under the revision of an old list: error %v, want ErrConflict", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.StatusAll(ctx, ws); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// tells waits for what is told, which may be told more often than asked for.
func (p Platform) tells(t *testing.T, w driver.Watcher) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, ended := make(chan driver.Workload, 1000), make(chan error, 1)
	go func() { ended <- w.Watch(ctx, func(w driver.Workload) { told <- w }) }()
	hear := func(what string, wanted func(driver.Workload) bool) {
		t.Helper()
		deadline := time.After(p.Patience)
		for {
			select {
			case w := <-told:
				if wanted(w) {
					return
				}
			case <-deadline:
				t.Fatalf("%s: nothing was told within %v", what, p.Patience)
			}
		}
	}
	hear("at the beginning", func(w driver.Workload) bool { return w == driver.Workload{} })
	p.scale(t, p.status(t).Desired%3+1)
	hear("after a change", func(w driver.Workload) bool { return w.Name != "" })
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v, want context.Canceled", err)
		}
	case <-time.After(p.Patience):
		t.Error("still listening though its context has ended")
	}
}

func (p Platform) fixed(t *testing.T) {
	if _, err := p.Driver.Status(t.Context(), p.Fixed); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("status: error %v, want ErrRefused", err)
	}
	if err := p.Driver.Scale(t.Context(), p.Fixed, 2, "", 0); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("scale: error %v, want ErrRefused", err)
	}
}

// scale asks for n as the scaler does: look, then write under that revision. A
// platform that is still busy with the last request may answer with a conflict.
func (p Platform) scale(t *testing.T, n int) {
	t.Helper()
	for range 5 {
		err := p.Driver.Scale(t.Context(), p.Workload, n, p.status(t).Rev, 0)
		if err == nil {
			return
		}
		if !errors.Is(err, driver.ErrConflict) {
			t.Fatal(err)
		}
	}
	t.Fatalf("scale to %d: five conflicts in a row", n)
}

func (p Platform) status(t *testing.T) driver.Status {
	t.Helper()
	s, err := p.Driver.Status(t.Context(), p.Workload)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// await waits until exactly n replicas are ready and nobody else is left.
func (p Platform) await(t *testing.T, n int) driver.Status {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(p.Patience)
	for {
		s := p.status(t)
		if s.Ready == n && s.Starting == 0 && s.Pending == 0 && len(p.Replicas(t)) == n {
			return s
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("status %+v, replicas %v: not %d ready within %v", s, p.Replicas(t), n, p.Patience)
		}
	}
}

package ingest

import (
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTheSlowdownFollowsTheLoad(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	o := overload{slowdown: 1}
	pass := func(busy float64, seconds int) (changes int) {
		for range seconds {
			now = now.Add(time.Second)
			if n := o.judge(busy, now, 4); n != o.slowdown {
				o.slowdown, o.since = n, now
				changes++
			}
		}
		return changes
	}
	if pass(0.8, 600) != 0 {
		t.Error("slowed by a load that can be borne")
	}
	if pass(1, 3) != 0 {
		t.Error("slowed by three seconds")
	}
	for range 10 {
		if o.slowdown == 1 {
			pass(1, 1)
		}
	}
	if o.slowdown != 2 {
		t.Errorf("after some seconds at full load the slowdown is %d, want 2", o.slowdown)
	}
	if pass(1, 14) != 0 {
		t.Error("slowed again before what was asked for can have had its effect")
	}
	if pass(1, 300); o.slowdown != 4 {
		t.Errorf("after minutes at full load the slowdown is %d, want 4 and no more", o.slowdown)
	}
	if pass(0.5, 600) != 0 {
		t.Error("changed by a load that would be too much if the agents were faster")
	}
	if pass(0.1, 60) != 0 {
		t.Error("hastened by a quiet minute")
	}
	if pass(0.1, 600); o.slowdown != 1 {
		t.Errorf("after ten quiet minutes the slowdown is %d, want 1", o.slowdown)
	}
}

func TestUnderOverloadAllAgentsAreAskedToTickMoreSeldom(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		a := w.connect(hello())
		w.try(w.server.Slow("n1", 3))
		if s := a.settings(); s.GetSlowdown() != 3 {
			t.Errorf("told %v", s)
		}
		later := time.Now()
		full := func(seconds int) {
			for range seconds {
				later = later.Add(time.Second)
				w.server.relieve(1, later)
			}
		}
		full(40)
		if s := w.server.Settings("n1"); s.Slowdown != 3 || w.server.Settings("n2").Slowdown != 2 {
			t.Errorf("wanted are %+v", s)
		}
		full(20)
		for s := a.settings(); s.GetSlowdown() != 4; s = a.settings() {
			if s.GetSlowdown() != 3 {
				t.Fatalf("told %v", s)
			}
		}
		other := hello()
		other.Node, other.SpoolId = "n2", another(2, 1).GetSpoolId()
		if s := w.connect(other).welcome.GetSettings(); s.GetSlowdown() != 4 {
			t.Errorf("another is welcomed with %v", s)
		}
		if testutil.ToFloat64(w.server.metrics.slowdown) != 4 {
			t.Error("the metric does not say so")
		}
		for range 1000 {
			later = later.Add(time.Second)
			w.server.relieve(0, later)
		}
		for s := a.settings(); s.GetSlowdown() != 3; s = a.settings() {
			if s.GetSlowdown() != 4 {
				t.Fatalf("told %v", s)
			}
		}
	})
}

// Each frame takes 100 ms, and most agents send as fast as they are let.
func TestAnAgentThatSendsWithoutEndTakesNoMoreThanItsTurns(t *testing.T) {
	inBubble(t, Options{Patience: time.Hour}, func(w *world) {
		w.db.mu.Lock()
		w.db.slow = 100 * time.Millisecond
		w.db.mu.Unlock()
		const round = 4 // frames that wait for each turn
		var mu sync.Mutex
		stored := map[string]int{}
		modest := make(chan time.Time, 1)
		w.server.opts.Arrived = func(node string, _ time.Time) {
			mu.Lock()
			defer mu.Unlock()
			stored[node]++
			if node == "n0" {
				modest <- time.Now()
			}
		}
		start := time.Now()
		floods := round * cap(w.server.turns)
		const frames = 100
		for n := 1; n <= floods; n++ {
			h := another(n, 1)
			h.Revision = 0
			a := w.connect(h)
			a.send(definition(1, start, 1, 2))
			for seq := uint64(2); seq <= frames; seq++ {
				a.send(values(seq, start.Add(time.Duration(seq)*time.Millisecond), 1, 2))
			}
		}
		h := another(0, 1)
		h.Revision = 0
		a := w.connect(h)
		a.send(definition(1, time.Now(), 1, 2))
		<-modest
		for seq := uint64(2); seq < 6; seq++ {
			sent := time.Now()
			a.send(values(seq, sent, 1, 2))
			if took := (<-modest).Sub(sent); took > (round+2)*100*time.Millisecond {
				t.Errorf("frame %d of a modest agent was stored after %v", seq, took)
			}
			<-time.After(100 * time.Millisecond)
		}
		mu.Lock()
		least, most := frames, 0
		for node, n := range stored {
			if node != "n0" {
				least, most = min(least, n), max(most, n)
			}
		}
		mu.Unlock()
		if most == frames || most-least > 2 {
			t.Errorf("of equal agents one has stored %d frames, another %d", most, least)
		}
		if testutil.ToFloat64(w.server.metrics.waited) == 0 {
			t.Error("the wait is not counted")
		}
	})
}

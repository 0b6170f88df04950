package decide

import (
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestAThresholdActsAfterItsWindowsInARow(t *testing.T) {
	p := web()
	p.Signals = []policy.Signal{memorySignal()}
	constant := func(v float64) func(time.Time, int) []Reading {
		return func(now time.Time, replicas int) []Reading {
			r := share(v*float64(replicas))(now, replicas)
			r[0].Signal = "memory"
			return r
		}
	}
	t.Run("out after two windows above max", func(t *testing.T) {
		w := walk{policy: p, now: noon, desired: 4}
		for i := range 11 {
			d := w.step(2*time.Second, constant(0.9))
			if grew := d.Action == Grow; grew != (i == 10) {
				t.Fatalf("tick %d: %s", i, d.Why())
			}
		}
		if w.desired != 6 {
			t.Errorf("%d replicas, want a step of two", w.desired)
		}
		if d := w.step(2*time.Second, constant(0.9)); d.Action != Hold {
			t.Errorf("right after the step: %s, want it to count anew", d.Why())
		}
	})
	t.Run("one window below max counts for nothing", func(t *testing.T) {
		w := walk{policy: p, now: noon, desired: 4}
		for i := range 40 {
			v := 0.9
			if i%10 == 9 {
				v = 0
			}
			if d := w.step(2*time.Second, constant(v)); d.Action != Hold {
				t.Fatalf("tick %d: %s", i, d.Why())
			}
		}
	})
	t.Run("without readings for longer than they count it counts anew", func(t *testing.T) {
		w := walk{policy: p, now: noon, desired: 4}
		for i := range 26 {
			reading := constant(0.9)
			if 9 <= i && i < 16 {
				reading = func(time.Time, int) []Reading { return nil }
			}
			if d := w.step(2*time.Second, reading); d.Action != Hold {
				t.Fatalf("tick %d: %s", i, d.Why())
			}
		}
	})
	t.Run("in, step by step", func(t *testing.T) {
		w := walk{policy: p, now: noon, desired: 4}
		for range 300 {
			w.step(2*time.Second, constant(0.1))
		}
		if w.desired != 2 {
			t.Errorf("%d replicas, want 2", w.desired)
		}
	})
	t.Run("no step in that would lead back to max", func(t *testing.T) {
		w := walk{policy: p, now: noon, desired: 4}
		near := memorySignal()
		near.Min.Value = 0.7
		w.policy.Signals = []policy.Signal{near}
		var d Decision
		for range 300 {
			if d = w.step(2*time.Second, constant(0.65)); d.Action != Hold {
				t.Fatal(d.Why())
			}
		}
		if want := "65% to 65% over 2 windows of 10s, below 70%; with 3 replicas it would be 86.67%, too near 80%"; !strings.Contains(d.Why(), want) {
			t.Errorf("why %s, want %s", d.Why(), want)
		}
	})
	t.Run("never the last one", func(t *testing.T) {
		w := walk{policy: p, now: noon, desired: 1}
		w.policy.Min = 1
		for range 300 {
			w.step(2*time.Second, constant(0))
		}
		if w.desired != 1 {
			t.Errorf("%d replicas, want 1", w.desired)
		}
	})
	t.Run("between min and max nothing moves", func(t *testing.T) {
		w := walk{policy: p, now: noon, desired: 4}
		var d Decision
		for range 300 {
			if d = w.step(2*time.Second, constant(0.5)); d.Action != Hold {
				t.Fatal(d.Why())
			}
		}
		if want := "hold 4: memory: 50% to 50% over 2 windows of 10s, between 30% and 80%"; d.Why() != want {
			t.Errorf("why %s, want %s", d.Why(), want)
		}
	})
}

func TestAThresholdOnAQueryTakesOneNumber(t *testing.T) {
	p := web()
	s := memorySignal()
	s.Name, s.Source, s.Of, s.Samples = "queue", policy.Query, "", 1
	p.Signals = []policy.Signal{s}
	w := walk{policy: p, now: noon, desired: 4}
	for range 6 {
		w.step(2*time.Second, func(now time.Time, _ int) []Reading { return []Reading{whole("queue", now, 5)} })
	}
	if w.desired != 6 {
		t.Errorf("%d replicas, want 6", w.desired)
	}
}

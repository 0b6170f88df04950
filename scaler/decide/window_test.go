package decide

import (
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestALullIsObeyedOnceItHasLasted(t *testing.T) {
	w := walk{policy: web(), now: noon, desired: 8}
	for elapsed := time.Duration(0); elapsed <= 30*time.Minute; elapsed += 2 * time.Second {
		before := w.desired
		d := w.step(2*time.Second, share(1))
		if elapsed < time.Minute && d.Action != Hold {
			t.Fatalf("after %v: %s", elapsed, d.Why())
		}
		if fell := before - w.desired; fell > max(1, before/2) {
			t.Fatalf("after %v: %d at once", elapsed, fell)
		}
	}
	if w.desired != 2 {
		t.Errorf("%d replicas in the end, want 2", w.desired)
	}
}

func TestATickThatSeesNothingStartsTheLullAnew(t *testing.T) {
	w := walk{policy: web(), now: noon, desired: 8}
	for range 29 {
		w.step(2*time.Second, share(1))
	}
	w.step(2*time.Second, func(time.Time, int) []Reading { return nil })
	for i := range 29 {
		if d := w.step(2*time.Second, share(1)); d.Action != Hold {
			t.Fatalf("tick %d after the hole: %s", i, d.Why())
		}
	}
}

func TestAGapStartsTheLullAnew(t *testing.T) {
	for name, gap := range map[string]time.Duration{"a pause": 11 * time.Second, "a day": 24 * time.Hour, "a clock that goes back": -time.Second, "an hour back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := walk{policy: web(), now: noon, desired: 8}
			for range 29 {
				w.step(2*time.Second, share(1))
			}
			for i := range 30 {
				if d := w.step(gap, share(1)); d.Action != Hold {
					t.Fatalf("tick %d after the gap: %s", i, d.Why())
				}
				gap = 2 * time.Second
			}
			if d := w.step(gap, share(1)); d.Action != Shrink {
				t.Errorf("after the window: %s", d.Why())
			}
		})
	}
}

func TestOneLookIsNoLullHoweverLongTheInterval(t *testing.T) {
	w := walk{policy: web(), now: noon, desired: 8}
	w.policy.Interval = 10 * time.Minute // ten times the in window
	for i := range 2 {
		if d := w.step(10*time.Minute, share(1)); d.Action != Hold {
			t.Fatalf("look %d: %s", i, d.Why())
		}
	}
	if d := w.step(10*time.Minute, share(1)); d.Action != Shrink {
		t.Errorf("after two intervals: %s", d.Why())
	}
}

func TestAWorkloadThatWasStoppedStartsTheLullAnew(t *testing.T) {
	w := walk{policy: web(), now: noon}
	for range 300 {
		w.step(2*time.Second, share(0))
	}
	w.desired = 8 // by hand
	for i := range 29 {
		if d := w.step(2*time.Second, share(1)); d.Action != Hold {
			t.Fatalf("tick %d after it was started again: %s", i, d.Why())
		}
	}
}

func TestALongerWindowMustBeSeenAnew(t *testing.T) {
	w := walk{policy: web(), now: noon, desired: 8}
	w.policy.In.Rate = []policy.Rate{{Replicas: 1, Per: time.Hour}}
	w.step(2*time.Second, share(4)) // all 8 are asked for, and soon forgotten
	for range 32 {
		w.step(2*time.Second, share(1))
	}
	w.policy.In.Window, w.policy.In.Rate = 2*time.Minute, nil // an edit
	for i := range 29 {
		if d := w.step(2*time.Second, share(1)); d.Action != Hold {
			t.Fatalf("tick %d after the edit: %s", i, d.Why())
		}
	}
	if w.step(2*time.Second, share(1)); w.desired != 2 {
		t.Errorf("%d replicas once the longer window is full, want 2", w.desired)
	}
}

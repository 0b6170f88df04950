package agent

import (
	"testing"
	"time"
)

// hands is a clock's two sources of time, moved by the test.
type hands struct {
	wall    time.Time
	elapsed time.Duration
}

func (h *hands) read() (time.Time, time.Duration) { return h.wall, h.elapsed }

func (h *hands) pass(d time.Duration) {
	h.wall, h.elapsed = h.wall.Add(d), h.elapsed+d
}

func TestClockIsTheWallClockAsLongAsThatGoesForward(t *testing.T) {
	h := &hands{wall: noon}
	c := newClock(h.read)
	for range 1000 {
		h.pass(time.Second)
		h.wall = h.wall.Add(20 * time.Millisecond) // it may be slewed
		if now := c.Now(); !now.Equal(h.wall) {
			t.Fatalf("clock shows %s, the wall %s", now, h.wall)
		}
	}
	if c.Jumps() != 0 {
		t.Errorf("%d jumps", c.Jumps())
	}
}

func TestClockSetBackIsMetAgainWithoutStandingStill(t *testing.T) {
	h := &hands{wall: noon}
	c := newClock(h.read)
	h.wall = h.wall.Add(-20 * time.Second)
	last := c.Now()
	met := 0
	for i := range 500 {
		h.pass(time.Second)
		now := c.Now()
		if pace := now.Sub(last); pace < 950*time.Millisecond || pace > time.Second {
			t.Fatalf("in second %d the clock moved by %s", i, pace)
		}
		if last = now; met == 0 && now.Equal(h.wall) {
			met = i + 1
		}
	}
	if met != 400 { // 20 s at a twentieth
		t.Errorf("met the wall clock after %d s, want 400", met)
	}
	if c.Jumps() != 1 {
		t.Errorf("%d jumps, want 1", c.Jumps())
	}
}

func TestClockSetBackFartherThanACollectorBearsIsFollowedAtOnce(t *testing.T) {
	h := &hands{wall: noon}
	c := newClock(h.read)
	h.pass(time.Second)
	h.wall = h.wall.Add(-time.Hour)
	if now := c.Now(); !now.Equal(h.wall) || c.Jumps() != 1 {
		t.Errorf("clock shows %s after %d jumps, the wall %s", now, c.Jumps(), h.wall)
	}
}

func TestClockReadBetweenTwoLooksIsNoJump(t *testing.T) {
	h := &hands{wall: noon}
	c := newClock(h.read)
	last := c.Now()
	for i := range 100 {
		h.pass(time.Second)
		// The thread was held up between reading the wall and the other.
		h.elapsed += 30 * time.Millisecond
		now := c.Now()
		h.elapsed -= 30 * time.Millisecond
		if now.Before(last) {
			t.Fatalf("look %d went back by %s", i, last.Sub(now))
		}
		last = now
	}
	if off := last.Sub(h.wall); c.Jumps() != 0 || off < 0 || off > 50*time.Millisecond {
		t.Errorf("%d jumps, off by %s", c.Jumps(), off)
	}
}

package agent

import (
	"sync"
	"time"
)

const (
	// step is by how much the wall clock must leave the monotonic one between
	// two looks to count as having been set. Less is the time between reading
	// the one and the other.
	step = 100 * time.Millisecond
	// slew is the part of the time by which a clock that is ahead slows down.
	slew = 20
	// bearable is how far ahead of the wall a stamp may be: half of what
	// collectors take. Samples that are refused are lost.
	bearable = 30 * time.Second
)

// Clock gives the time that samples are stamped with: the wall clock's, as
// long as that only goes forward. When the wall clock is set back a little,
// Clock goes on at the pace of time, less a twentieth, until the wall has caught
// up. So a counter's rate is never negative and at most a twentieth too high,
// and the other way of never going back, to stand still, would make it infinite.
// When it is set back by more than 30 s, Clock goes back with it.
// A Clock may be used by several goroutines.
type Clock struct {
	read func() (wall time.Time, elapsed time.Duration) // elapsed on the monotonic clock

	mu      sync.Mutex
	now     time.Time
	wall    time.Time     // when now was computed
	elapsed time.Duration // when now was computed
	jumps   uint64
}

// NewClock returns a clock that follows the machine's.
func NewClock() *Clock {
	start := time.Now()
	return newClock(func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(start) // Round takes off the monotonic reading
	})
}

func newClock(read func() (time.Time, time.Duration)) *Clock {
	wall, elapsed := read()
	return &Clock{read: read, now: wall, wall: wall, elapsed: elapsed}
}

// Now is the time to stamp a sample with.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.read()
	passed := elapsed - c.elapsed
	if off := wall.Sub(c.wall) - passed; off > step || off < -step {
		c.jumps++
	}
	c.now = c.now.Add(passed)
	if ahead := c.now.Sub(wall); ahead > 0 && ahead <= bearable {
		c.now = c.now.Add(-min(ahead, passed/slew))
	} else {
		c.now = wall
	}
	c.wall, c.elapsed = wall, elapsed
	return c.now
}

// Jumps is how often the wall clock was set, forward or back.
func (c *Clock) Jumps() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jumps
}

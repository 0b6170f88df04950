package burst

import (
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// member is a group that is or was in burst.
type member struct {
	group string

	// Lane.mu guards these.
	standing time.Duration // between readings, for good; 0 if nobody asked
	until    time.Time     // the end of its burst
	since    time.Time     // its beginning
	gone     bool          // to be forgotten
	sum      sum

	// Those of the goroutine in Run.
	open  *cgroup.Group
	every time.Duration // between readings at present
	due   time.Time
	last  point
}

// active tells whether m is to be read.
func (m *member) active(now time.Time) bool {
	return !m.gone && (m.standing > 0 || now.Before(m.until))
}

// period is the time between readings, burst being that of a burst.
func (m *member) period(now time.Time, burst time.Duration) time.Duration {
	switch {
	case !now.Before(m.until):
		return m.standing
	case m.standing > 0:
		return min(m.standing, burst)
	}
	return burst
}

// point is a reading of counters.
type point struct {
	at               time.Time // zero if there is none
	usage, throttled cgroup.Opt[cgroup.Nanoseconds]
}

// Reading is what was read of a group in burst since the last time, window by
// window: a window is the time between two readings. Shares are CPUs: 1 is all
// the time of one.
type Reading struct {
	Group   string
	Windows int // 0 while there is nothing to tell

	CPUMax, CPUMean             cgroup.Opt[float64]
	ThrottledMax, ThrottledMean cgroup.Opt[float64] // CPUs that the quota withheld; absent without a quota
	MemoryMax, MemoryMean       cgroup.Opt[float64] // bytes
}

// sum is what a Reading is made of.
type sum struct {
	windows        int
	cpu, throttled share
	memory         level
}

// share is of a counter of time.
type share struct {
	max          float64
	used, passed time.Duration
}

func (s *share) add(before, after cgroup.Opt[cgroup.Nanoseconds], passed time.Duration) {
	if !before.OK || !after.OK || after.V < before.V {
		return
	}
	used := time.Duration(after.V - before.V)
	s.max = max(s.max, float64(used)/float64(passed))
	s.used += used
	s.passed += passed
}

// of returns both. The mean is over the time that was watched, however late the
// readings were.
func (s *share) of() (highest, mean cgroup.Opt[float64]) {
	if s.passed == 0 {
		return highest, mean
	}
	return opt(s.max), opt(float64(s.used) / float64(s.passed))
}

// level is of a gauge.
type level struct {
	max, total float64
	readings   int
}

func (l *level) add(v cgroup.Opt[uint64]) {
	if !v.OK {
		return
	}
	l.max = max(l.max, float64(v.V))
	l.total += float64(v.V)
	l.readings++
}

// of returns both.
func (l *level) of() (highest, mean cgroup.Opt[float64]) {
	if l.readings == 0 {
		return highest, mean
	}
	return opt(l.max), opt(l.total / float64(l.readings))
}

func opt(v float64) cgroup.Opt[float64] { return cgroup.Opt[float64]{V: v, OK: true} }

// add takes in a window. Its length is the true one.
func (s *sum) add(before, after *point, memoryBytes cgroup.Opt[uint64]) {
	s.windows++
	passed := after.at.Sub(before.at)
	s.cpu.add(before.usage, after.usage, passed)
	s.throttled.add(before.throttled, after.throttled, passed)
	s.memory.add(memoryBytes)
}

func (s *sum) reading(group string) Reading {
	r := Reading{Group: group, Windows: s.windows}
	r.CPUMax, r.CPUMean = s.cpu.of()
	r.ThrottledMax, r.ThrottledMean = s.throttled.of()
	r.MemoryMax, r.MemoryMean = s.memory.of()
	return r
}

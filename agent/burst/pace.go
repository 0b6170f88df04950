package burst

import (
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// What counts as a jump from one reading of a lane to the next: twice the rate
// of before, and by no less than this.
const (
	leapCPU       = 0.25     // CPUs
	leapThrottled = 0.1      // CPUs withheld
	leapMemory    = 32 << 20 // bytes, and an eighth of what was used
	// tooSoon is a distance of readings that says nothing of a rate.
	tooSoon = 50 * time.Millisecond
)

// Pace is how a group fares from one of its usual readings to the next. The
// zero Pace knows nothing.
type Pace struct {
	last   point
	memory cgroup.Opt[uint64]

	cpu, throttled cgroup.Opt[float64] // CPUs, between the last two readings
}

// Saw takes in a usual reading, and tells whether something has jumped.
func (p *Pace) Saw(at time.Time, usage, throttled cgroup.Opt[cgroup.Nanoseconds], memoryBytes cgroup.Opt[uint64]) (why Cause, jumped bool) {
	passed := at.Sub(p.last.at)
	if !p.last.at.IsZero() && passed < tooSoon {
		return 0, false
	}
	now := point{at: at, usage: usage, throttled: throttled}
	cpuRate, throttledRate := rate(p.last.usage, now.usage, passed), rate(p.last.throttled, now.throttled, passed)
	switch {
	case leapt(p.throttled, throttledRate, leapThrottled):
		why, jumped = Throttling, true
	case leapt(p.cpu, cpuRate, leapCPU):
		why, jumped = CPUUsage, true
	case p.memory.OK && memoryBytes.OK && memoryBytes.V > p.memory.V+max(leapMemory, p.memory.V/8):
		why, jumped = MemoryUsage, true
	}
	p.last, p.memory, p.cpu, p.throttled = now, memoryBytes, cpuRate, throttledRate
	return why, jumped
}

// CPUs is how many the group used between the last two readings; 0 if that is
// not known.
func (p *Pace) CPUs() float64 { return p.cpu.V }

// rate is absent at the first reading and where a counter began anew.
func rate(before, after cgroup.Opt[cgroup.Nanoseconds], passed time.Duration) cgroup.Opt[float64] {
	if !before.OK || !after.OK || after.V < before.V {
		return cgroup.Opt[float64]{}
	}
	return opt(float64(after.V-before.V) / float64(passed))
}

func leapt(before, after cgroup.Opt[float64], by float64) bool {
	return before.OK && after.OK && after.V >= 2*before.V && after.V-before.V >= by
}

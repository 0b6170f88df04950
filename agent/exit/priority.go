package exit

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Priority is what the reading thread has over others. The kernel leaves it
// some milliseconds to read a container that has ended; beside busy processes
// a thread without any often comes later.
//
// Either needs CAP_SYS_NICE. Where the kernel has CONFIG_RT_GROUP_SCHED, which
// few distributions set, version 1 refuses real-time threads in groups without a
// share for them, and version 2 does not enable its CPU controller for a group
// that has one: Nice is the one to ask for there.
type Priority uint8

// The priorities, the highest first. It is the zero value that is asked for.
const (
	RoundRobin Priority = iota // SCHED_RR, the lowest of the real-time ones
	Nice                       // nice -5
	NoPriority
)

// String is the priority's name in metrics.
func (p Priority) String() string {
	switch p {
	case RoundRobin:
		return "rr"
	case Nice:
		return "nice"
	}
	return "none"
}

// raise gives the calling thread the highest priority that is allowed, up to
// one, and tells which and why not more. Children do not inherit it.
func raise(highest Priority) (Priority, error) {
	var refused error
	if highest <= RoundRobin {
		err := schedule(unix.SCHED_RR, 1, 0)
		if err == nil {
			return RoundRobin, nil
		}
		refused = fmt.Errorf("SCHED_RR: %w", err)
	}
	if highest <= Nice {
		err := schedule(unix.SCHED_NORMAL, 0, -5)
		if err == nil {
			return Nice, refused
		}
		refused = fmt.Errorf("nice -5: %w", err)
	}
	return NoPriority, refused
}

// lower takes all priority from the calling thread.
func lower() error { return schedule(unix.SCHED_NORMAL, 0, 0) }

func schedule(policy, priority uint32, nice int32) error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority, Nice: nice,
		Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
}

// cpuTime is what the calling thread has used, in nanoseconds.
func cpuTime() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return t.Nano()
}

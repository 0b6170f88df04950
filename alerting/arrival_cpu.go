package alerting

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime runs f, and tells how much of a core that took. Rules are
// evaluated by the goroutine that asks. The time that passes is no measure: on a
// machine with much to do it is mostly spent waiting, for a processor or the disk.
func processorTime(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	f()
	return threadTime() - before
}

// threadTime is what this thread has used, by clock_gettime(2).
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0 // Linux has had it since 2.6.12
	}
	return time.Duration(t.Nano())
}

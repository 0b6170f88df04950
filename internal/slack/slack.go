// Package slack lets a Go program that is mostly asleep wake up less often.
package slack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Monitor lets the thread by which the Go runtime watches itself (sysmon) oversleep
// by so much. While anything runs that thread looks every 20 µs, which in a
// program that works for some milliseconds of each second is as much work as the
// program's own. What it looks for can wait: goroutines that run for 10 ms
// without a pause, and system calls that last longer than 20 µs.
//
// It is the timer slack of prctl(2), PR_SET_TIMERSLACK, set from outside as
// proc_pid_timerslack_ns(5) has it, which takes CAP_SYS_NICE. A thread that this
// one starts inherits the slack, so it should be less than what timers may be
// late by.
func Monitor(by time.Duration) error {
	thread, err := monitor()
	if err != nil {
		return fmt.Errorf("find the thread that watches: %w", err)
	}
	file := fmt.Sprintf("/proc/%d/timerslack_ns", thread)
	return os.WriteFile(file, strconv.AppendInt(nil, by.Nanoseconds(), 10), 0)
}

// monitor finds the thread: the runtime starts it before any other, and no other
// takes naps.
func monitor() (int, error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	var threads []int
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil && id != os.Getpid() {
			threads = append(threads, id)
		}
	}
	if len(threads) == 0 {
		return 0, errors.New("there is but one thread")
	}
	first := slices.Min(threads)
	call := filepath.Join("/proc/self/task", strconv.Itoa(first), "syscall")
	naps := strconv.Itoa(unix.SYS_NANOSLEEP) + " "
	for deadline := time.Now().Add(looking); time.Now().Before(deadline); { // which keeps it awake
		now, err := os.ReadFile(call)
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(string(now), naps) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("thread %d is not it", first)
}

// looking is how long to look for a nap. The first look mostly finds one, but on
// a busy machine the thread may wait for a CPU, and is not asleep, for 0.2 s.
const looking = 2 * time.Second

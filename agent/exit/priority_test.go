package exit

import (
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// onThread runs a test on a thread that ends with it.
func onThread(t *testing.T, test func()) {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root may have priority")
		}
		t.Skip("only root may have priority")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		test()
	}()
	<-done
}

func policy(t *testing.T) (policy uint32, nice int32) {
	a, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	return a.Policy, a.Nice
}

func TestPrioritiesAreAsAskedFor(t *testing.T) {
	tests := []struct {
		highest Priority
		policy  uint32
		nice    int32
	}{{RoundRobin, unix.SCHED_RR, 0}, {Nice, unix.SCHED_NORMAL, -5}, {NoPriority, unix.SCHED_NORMAL, 0}}
	for _, tt := range tests {
		t.Run(tt.highest.String(), func(t *testing.T) {
			onThread(t, func() {
				got, err := raise(tt.highest)
				if p, nice := policy(t); got != tt.highest || err != nil || p != tt.policy || nice != tt.nice {
					t.Errorf("%s (%v), policy %d, nice %d", got, err, p, nice)
				}
			})
		})
	}
}

func TestChildrenDoNotInheritThePriority(t *testing.T) {
	onThread(t, func() {
		if _, err := raise(RoundRobin); err != nil {
			t.Error(err)
		}
		out, err := exec.Command("/bin/cat", "/proc/self/stat").Output()
		if err != nil {
			t.Error(err)
		}
		// The fields after the name; the 41st of all is the policy.
		fields := strings.Fields(string(out[strings.LastIndexByte(string(out), ')')+1:]))
		if got := fields[41-3]; got != "0" {
			t.Errorf("policy %s of a child, want 0", got)
		}
	})
}

func TestPriorityIsGivenUpWhileThereIsTooMuchToDo(t *testing.T) {
	onThread(t, func() {
		w, err := New(Options{Containers: func() (uint64, []discover.Container) { return 0, nil }})
		if err != nil {
			t.Error(err)
		}
		r := &reader{w: w, log: slog.New(slog.DiscardHandler)}
		r.raise()
		r.cpuUsed = cpuTime() - 2*busy // as if it had been used since the last sweep
		r.spare(sweepEvery)
		if p, _ := policy(t); p != unix.SCHED_NORMAL || r.priority != NoPriority {
			t.Errorf("busy: policy %d, %s", p, r.priority)
		}
		r.spare(sweepEvery)
		if p, _ := policy(t); p != unix.SCHED_RR || r.priority != RoundRobin {
			t.Errorf("at ease again: policy %d, %s", p, r.priority)
		}
	})
}

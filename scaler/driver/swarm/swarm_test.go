package swarm

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/swarm"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

func task(slot int, state swarm.TaskState) swarm.Task {
	return swarm.Task{Slot: slot, DesiredState: swarm.TaskStateRunning, Status: swarm.TaskStatus{State: state}}
}

// ended is a task that is over since so long before noon.
func ended(slot int, state swarm.TaskState, ago time.Duration) swarm.Task {
	return swarm.Task{Slot: slot, DesiredState: swarm.TaskStateShutdown, Status: swarm.TaskStatus{State: state, Timestamp: noon.Add(-ago)}}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestTasksAreCountedBySlot(t *testing.T) {
	tests := map[string]struct {
		tasks []swarm.Task
		want  driver.Status
	}{
		"none": {},
		"one of each": {
			[]swarm.Task{task(1, swarm.TaskStateRunning), task(2, swarm.TaskStatePreparing), task(3, swarm.TaskStatePending)},
			driver.Status{Ready: 1, Starting: 1, Pending: 1},
		},
		"a rollout that starts the new first is still one replica": {
			[]swarm.Task{task(1, swarm.TaskStateStarting), task(1, swarm.TaskStateRunning)},
			driver.Status{Ready: 1},
		},
		"one that failed and waits to be replaced serves nobody": {
			[]swarm.Task{task(1, swarm.TaskStateFailed), task(2, swarm.TaskStateRejected)},
			driver.Status{},
		},
		"one that ended is no replica": {
			[]swarm.Task{ended(1, swarm.TaskStateComplete, time.Second), task(1, swarm.TaskStateRunning), ended(2, swarm.TaskStateShutdown, time.Second)},
			driver.Status{Ready: 1},
		},
		"one that failed once may come": {
			[]swarm.Task{ended(1, swarm.TaskStateFailed, time.Second), task(1, swarm.TaskStateStarting)},
			driver.Status{Starting: 1},
		},
		"one that fails again and again is failing": {
			[]swarm.Task{ended(1, swarm.TaskStateFailed, 5*time.Second), ended(1, swarm.TaskStateRejected, time.Second), task(1, swarm.TaskStateReady)},
			driver.Status{Starting: 1, Failing: 1},
		},
		"one that failed and runs at last is not": {
			[]swarm.Task{ended(1, swarm.TaskStateFailed, 5*time.Second), ended(1, swarm.TaskStateFailed, time.Second), task(1, swarm.TaskStateRunning)},
			driver.Status{Ready: 1},
		},
		"failures of long ago are over": {
			[]swarm.Task{ended(1, swarm.TaskStateFailed, time.Hour), ended(1, swarm.TaskStateFailed, 50*time.Minute), task(1, swarm.TaskStatePending)},
			driver.Status{Pending: 1},
		},
		"two replicas that failed once are not failing": {
			[]swarm.Task{ended(1, swarm.TaskStateFailed, time.Second), ended(2, swarm.TaskStateFailed, time.Second), task(1, swarm.TaskStateStarting), task(2, swarm.TaskStateStarting)},
			driver.Status{Starting: 2},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := count(tt.tasks, noon); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAnAbsurdCountIsRefusedBeforeAnyRequest(t *testing.T) {
	s, err := New(Options{Host: "unix:///nonexistent/engine.sock"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{-1, maxReplicas + 1, 1e12, math.MaxInt, math.MinInt} {
		if err := s.Scale(t.Context(), driver.Workload{Name: "web"}, n, "", 0); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("%d: error %v, want ErrRefused", n, err)
		}
	}
}

func TestAnAddressThatIsNoneIsSaid(t *testing.T) {
	for _, host := range []string{"manager", "http://manager:2375", "ssh://manager", "tcp://"} {
		if _, err := New(Options{Host: host}); err == nil || !strings.Contains(err.Error(), "want unix:///path or tcp://host:port") {
			t.Errorf("%s: error %v, want one that says what an address is", host, err)
		}
	}
}

package swarm

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

// A replica fails again and again if two of its tasks or more ended in failure
// within failingRange. A manager keeps five tasks of each replica unless it is
// told otherwise.
const (
	failingTasks = 2
	failingRange = 10 * time.Minute
)

// tasks lists the tasks of some services, by the id of the service, those that
// ended included.
func (s *Swarm) tasks(ctx context.Context, services ...string) (map[string][]swarm.Task, error) {
	of := filters.NewArgs()
	for _, id := range services {
		of.Add("service", id)
	}
	engine, err := s.engine(ctx)
	if err != nil {
		return nil, err
	}
	all, err := engine.TaskList(ctx, swarm.TaskListOptions{Filters: of})
	if err != nil {
		return nil, err
	}
	by := make(map[string][]swarm.Task, len(services))
	for _, task := range all {
		by[task.ServiceID] = append(by[task.ServiceID], task)
	}
	return by, nil
}

// status is what a service and its tasks say.
func status(service swarm.Service, tasks []swarm.Task, now time.Time) driver.Status {
	st := count(tasks, now)
	st.Desired = desired(service)
	st.Updating = updating(service)
	st.Rev = rev(service)
	return st
}

// count sorts the tasks that are meant to run into ready, starting and pending.
// It counts slots, not tasks: a rollout that starts the new before it stops the
// old has two tasks in one slot, and they are one replica.
func count(tasks []swarm.Task, now time.Time) driver.Status {
	const pending, starting, ready = 1, 2, 3
	best, failed := make(map[int]int, len(tasks)), make(map[int]int)
	for _, task := range tasks {
		switch task.Status.State {
		case swarm.TaskStateFailed, swarm.TaskStateRejected:
			if now.Sub(task.Status.Timestamp) <= failingRange {
				failed[task.Slot]++
			}
		}
		if task.DesiredState != swarm.TaskStateRunning && task.DesiredState != swarm.TaskStateReady { // the latter waits for its restart delay
			continue
		}
		var stage int
		switch task.Status.State {
		case swarm.TaskStateNew, swarm.TaskStateAllocated, swarm.TaskStatePending:
			stage = pending
		case swarm.TaskStateAssigned, swarm.TaskStateAccepted, swarm.TaskStatePreparing,
			swarm.TaskStateReady, swarm.TaskStateStarting:
			stage = starting
		case swarm.TaskStateRunning:
			stage = ready
		}
		best[task.Slot] = max(best[task.Slot], stage)
	}
	var st driver.Status
	for slot, stage := range best {
		switch stage {
		case pending:
			st.Pending++
		case starting:
			st.Starting++
		case ready:
			st.Ready++
		}
		if stage != ready && failed[slot] >= failingTasks {
			st.Failing++
		}
	}
	return st
}

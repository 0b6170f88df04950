package swarm

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

// mostTasks is of how many services the tasks are asked for at once: a filter is
// part of the address of a request.
const mostTasks = 100

// StatusAll implements driver.Lister: one list of the services, and the tasks of
// those that are not as they are meant to be. Where a service's running tasks are
// as many as it is to have, they are taken for its replicas; while a node is
// drained, one of them may be on its way out.
func (s *Swarm) StatusAll(ctx context.Context, ws []driver.Workload) ([]driver.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	all, err := s.services(ctx)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	named := make(map[string]swarm.Service, len(all))
	for _, service := range all {
		named[service.Spec.Name] = service
	}
	replies := make([]driver.Reply, len(ws))
	var unsure []int // of ws
	for i, w := range ws {
		service, ok := named[serviceName(w)]
		switch {
		case !ok:
			replies[i].Err = fmt.Errorf("look at service %s: %w", serviceName(w), driver.ErrNotFound)
		case service.Spec.Mode.Replicated == nil:
			replies[i].Err = fmt.Errorf("look at service %s: %w", serviceName(w), errNoCount)
		case !calm(service):
			unsure = append(unsure, i)
		default:
			n := desired(service)
			replies[i].Status = driver.Status{Desired: n, Ready: n, Rev: rev(service)}
		}
	}
	for len(unsure) > 0 {
		part := unsure[:min(mostTasks, len(unsure))]
		unsure = unsure[len(part):]
		ids := make([]string, len(part))
		for k, i := range part {
			ids[k] = named[serviceName(ws[i])].ID
		}
		tasks, err := s.tasks(ctx, ids...)
		for k, i := range part {
			if err != nil {
				replies[i].Err = fmt.Errorf("list tasks of service %s: %w", serviceName(ws[i]), err)
				continue
			}
			replies[i].Status = status(named[serviceName(ws[i])], tasks[ids[k]], time.Now())
		}
	}
	return replies, nil
}

// calm tells whether a service has all that it is meant to have. An engine before
// 20.10 does not say.
func calm(service swarm.Service) bool {
	st := service.ServiceStatus
	return st != nil && !updating(service) && st.RunningTasks == uint64(desired(service)) && st.DesiredTasks == st.RunningTasks
}

// Watch implements driver.Watcher: it tells of services that were written, and of
// any change of a node. That tasks start or end, a manager does not tell.
func (s *Swarm) Watch(ctx context.Context, changed func(driver.Workload)) error {
	ctx, cancel := context.WithCancel(ctx) // or the client goes on listening
	defer cancel()
	engine, err := s.engine(ctx)
	if err != nil {
		return fmt.Errorf("listen to the engine: %w", err)
	}
	messages, errs := engine.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ServiceEventType)),
		filters.Arg("type", string(events.NodeEventType)),
	)})
	changed(driver.Workload{})
	for {
		select {
		case m := <-messages:
			if m.Type == events.NodeEventType {
				changed(driver.Workload{})
			} else if name := m.Actor.Attributes["name"]; name != "" {
				changed(driver.Workload{Name: name})
			}
		case err := <-errs:
			if told := ctx.Err(); told != nil {
				return told
			}
			return fmt.Errorf("listen to the engine: %w", err)
		}
	}
}

package swarm

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/client"
)

// ErrNoManager is that nobody answers at the engine's address, or one that manages
// no Swarm, now at least.
var ErrNoManager = errors.New("no manager of a Swarm")

// Service is what a Swarm was asked to run.
type Service struct {
	Name    string // as the Swarm has it, with its stack in front
	Desired int
	Ready   *int // tasks that run; nil where the engine is older than 20.10
	// Labels are those of a service whose replicas are a number; of others none.
	Labels map[string]string
}

// Services lists the services that are meant to go on running, in no order. Of
// one with a replica on each node, the Swarm alone knows how many that makes: it
// is left out if an old engine does not say.
func (s *Swarm) Services(ctx context.Context) ([]Service, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	all, err := s.services(ctx)
	switch {
	case errdefs.IsUnavailable(err), client.IsErrConnectionFailed(err):
		return nil, fmt.Errorf("list services: %w: %w", ErrNoManager, err)
	case err != nil:
		return nil, fmt.Errorf("list services: %w", err)
	}
	var list []Service
	for _, service := range all {
		one := Service{Name: service.Spec.Name}
		status := service.ServiceStatus
		if status != nil {
			ready := int(min(status.RunningTasks, maxReplicas))
			one.Ready = &ready
		}
		switch mode := service.Spec.Mode; {
		case mode.Replicated != nil:
			one.Desired, one.Labels = desired(service), service.Spec.Labels
		case mode.Global != nil && status != nil:
			one.Desired = int(min(status.DesiredTasks, maxReplicas))
		default:
			continue // a job, which ends
		}
		list = append(list, one)
	}
	return list, nil
}

// services is every service there is, with how many of its tasks run.
func (s *Swarm) services(ctx context.Context) ([]swarm.Service, error) {
	engine, err := s.engine(ctx)
	if err != nil {
		return nil, err
	}
	return engine.ServiceList(ctx, swarm.ServiceListOptions{Status: true})
}

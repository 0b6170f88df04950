package scaler

import (
	"context"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// relistenFirst and relistenMost bound the wait before a platform that could no
// longer be listened to is tried again.
const (
	relistenFirst = time.Second
	relistenMost  = 30 * time.Second
)

// listen begins to listen to the platforms of the policies that there are, as far
// as they tell anything. Those that were listened to before go on.
func (s *Scaler) listen(ctx context.Context, wait *sync.WaitGroup, listening map[string]bool) {
	s.mu.Lock()
	apps := s.apps
	s.mu.Unlock()
	for _, app := range apps {
		name := app.Target.Driver
		w := s.guard.watcher(name)
		if w == nil || listening[name] {
			continue
		}
		listening[name] = true
		wait.Go(func() { s.hear(ctx, name, w) })
	}
}

// hear listens to one platform until ctx ends.
func (s *Scaler) hear(ctx context.Context, name string, w driver.Watcher) {
	s.metrics.unheard.WithLabelValues(name)
	wait, silent := relistenFirst, false
	for {
		began := time.Now()
		err := w.Watch(ctx, func(changed driver.Workload) {
			s.pulse.changed(func(app policy.App) bool {
				return app.Target.Driver == name && (changed == driver.Workload{} || workload(app.Target) == changed)
			})
		})
		if ctx.Err() != nil {
			return
		}
		s.metrics.unheard.WithLabelValues(name).Inc()
		if time.Since(began) > relistenMost {
			wait, silent = relistenFirst, false
		}
		if !silent {
			s.log.Warn("platform cannot be listened to, its changes are seen at the interval", "driver", name, "err", err)
			silent = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, relistenMost)
	}
}

// wake has a policy evaluated at once.
func (s *Scaler) wake(name string) { s.pulse.nudge(name) }

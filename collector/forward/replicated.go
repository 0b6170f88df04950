package forward

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// replicatedPoll is how often the endpoints' progress is looked at: a commit waits
// for it, and a round of sending takes longer.
const replicatedPoll = 20 * time.Millisecond

// Replicated returns once each endpoint has all that was stored before the call,
// but for what it has refused for good and what the spool had no room for, or no
// disk; without Options.Keep, also for what was too old. It fails with ctx, and
// names an endpoint that has not.
func (f *Forwarder) Replicated(ctx context.Context) error {
	end := f.spool.End()
	tick := time.NewTicker(replicatedPoll)
	defer tick.Stop()
	for {
		behind := ""
		f.mu.Lock()
		if len(f.config.Endpoints) == 0 {
			f.mu.Unlock()
			return errors.New("the configuration of forward names no endpoint that could have a copy")
		}
		for _, c := range f.config.Endpoints {
			if r := f.spool.Reader(endpointName(c)); r != nil && !r.Done(end) {
				behind = endpointName(c)
			}
		}
		f.mu.Unlock()
		if behind == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("endpoint %s has not confirmed what was stored: %w", behind, ctx.Err())
		case <-tick.C:
		}
	}
}

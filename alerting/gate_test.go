package alerting

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

// sends is a pipeline that takes a while.
func sends(takes time.Duration) notify.Stage {
	return notify.StageFunc(func(ctx context.Context, _ *slog.Logger, _ ...*alert.Alert) (context.Context, []*alert.Alert, error) {
		select {
		case <-time.After(takes):
			return ctx, nil, nil
		case <-ctx.Done():
			return ctx, nil, ctx.Err()
		}
	})
}

func TestAGateThatCloses(t *testing.T) {
	tests := map[string]struct {
		takes, timeout time.Duration
		want           error
		closes         time.Duration // how long close takes
	}{
		"waits for what is under way":          {time.Second, time.Minute, nil, time.Second},
		"breaks off what takes too long":       {time.Hour, time.Minute, context.Canceled, 2 * time.Second},
		"does not outwait a message's own end": {time.Hour, time.Second, context.DeadlineExceeded, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(t.Context(), sends(tt.takes))
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				sent := make(chan error, 1)
				go func() {
					_, _, err := g.Exec(ctx, nil)
					sent <- err
				}()
				synctest.Wait()
				if tt.timeout > tt.closes {
					cancel() // as the dispatcher does before
				}
				begin := time.Now()
				g.close(2 * time.Second)
				if took := time.Since(begin); took != tt.closes {
					t.Errorf("close took %v, want %v", took, tt.closes)
				}
				if err := <-sent; !errors.Is(err, tt.want) {
					t.Errorf("sent with error %v, want %v", err, tt.want)
				}
				if _, _, err := g.Exec(t.Context(), nil); !errors.Is(err, context.Canceled) {
					t.Errorf("afterwards error %v, want that nothing gets through", err)
				}
			})
		})
	}
}

package alerting

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

// gate is a pipeline that ends gently. The dispatcher in front of it cancels
// what is being sent and leaves at once; then a message that has arrived would
// not be logged as sent, and would be sent again.
type gate struct {
	notify.Stage
	life context.Context
	cut  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	sending sync.WaitGroup
}

func newGate(life context.Context, stage notify.Stage) *gate {
	g := &gate{Stage: stage}
	g.life, g.cut = context.WithCancel(life)
	return g
}

// Exec implements notify.Stage. A notification that has begun ends by its own
// deadline or when the gate has waited long enough.
func (g *gate) Exec(ctx context.Context, log *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	if ctx.Err() != nil || !g.enter() {
		return ctx, nil, context.Canceled
	}
	defer g.sending.Done()

	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if at, ok := ctx.Deadline(); ok {
		var done context.CancelFunc
		own, done = context.WithDeadline(own, at)
		defer done()
	}
	defer context.AfterFunc(g.life, cancel)()
	return g.Stage.Exec(own, log, alerts...)
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.sending.Add(1)
	}
	return !g.closed
}

// close lets nothing more through and waits for what is under way; what takes
// longer than limit is broken off.
func (g *gate) close(limit time.Duration) {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()

	defer g.cut()
	defer time.AfterFunc(limit, g.cut).Stop()
	g.sending.Wait()
}

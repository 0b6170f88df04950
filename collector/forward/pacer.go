package forward

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// pacer keeps all requests to a target back after one has failed: for longer
// each time, or for as long as the target asks.
type pacer struct {
	least, most time.Duration

	mu    sync.Mutex
	pause time.Duration // the latest; 0 after a success
	until time.Time
}

// wait returns once a request may be sent, or false when ctx ends before that.
func (p *pacer) wait(ctx context.Context) bool {
	for {
		p.mu.Lock()
		left := time.Until(p.until)
		p.mu.Unlock()
		if left <= 0 {
			return true
		}
		t := time.NewTimer(left)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
	}
}

func (p *pacer) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = 0
}

// failed begins the next pause, unless one has begun since: requests that were
// on their way together fail together. It lasts as long as was asked at least.
func (p *pacer) failed(asked time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, pause := time.Now(), asked
	if !now.Before(p.until) {
		p.pause = min(max(2*p.pause, p.least), p.most)
		pause = max(pause, p.pause+rand.N(p.pause/4+1)) // not all senders of a fleet at once
	}
	if until := now.Add(pause); until.After(p.until) {
		p.until = until
	}
}

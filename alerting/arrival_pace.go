package alerting

import (
	"context"
	"sync"
	"time"
)

const (
	// gap is how long samples that cross together are waited for: those of one
	// agent come in one transaction, those of several within moments.
	gap = 5 * time.Millisecond
	// longestGap is how long that may go on.
	longestGap = 50 * time.Millisecond
	// longestAhead is how far the time of a sample may be from now and still be
	// waited for: the engine sees it from then on. A collector marks ends up to a
	// second ahead.
	longestAhead = 2 * time.Second

	// share is how much of a core early evaluations of one group may take for
	// long, and allowance what they may take at once beyond that.
	share     = 0.05
	allowance = 500 * time.Millisecond
)

// why says what an early evaluation is for.
type why string

const (
	crossing why = "crossing"
	waiting  why = "for"
)

// pace says when a group is to be evaluated early. A group that costs more than
// its share waits for its tick, or until it has saved enough.
type pace struct {
	wake chan struct{}

	mu      sync.Mutex
	crossed time.Time // the first crossing since the last evaluation; zero if none
	due     time.Time // when to evaluate for that
	seen    time.Time // as of when the engine sees what crossed last
	ripe    time.Time // when an alert has waited long enough; zero if none waits
	account time.Duration
	counted time.Time // when account was right
}

func newPace() *pace {
	return &pace{wake: make(chan struct{}, 1), account: allowance}
}

// cross notes that a sample of that time has crossed. It does not block.
func (p *pace) cross(at time.Time) {
	now := time.Now()
	p.mu.Lock()
	if p.crossed.IsZero() {
		p.crossed = now
	}
	p.due = now.Add(gap)
	if last := p.crossed.Add(longestGap); p.due.After(last) {
		p.due = last
	}
	if at.After(p.seen) && at.Sub(now) < longestAhead {
		p.seen = at
	}
	if p.seen.After(p.due) {
		p.due = p.seen
	}
	p.mu.Unlock()
	p.tell()
}

// await notes when the first alert has waited long enough.
func (p *pace) await(ripe time.Time) {
	p.mu.Lock()
	p.ripe = ripe
	p.mu.Unlock()
	p.tell()
}

func (p *pace) tell() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// begin notes that the group is evaluated as of that time. What crosses from now
// on may be too late for it.
func (p *pace) begin(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.Before(p.seen) && p.seen.Sub(at) < longestAhead {
		return // it does not see what crossed
	}
	p.crossed, p.due, p.seen = time.Time{}, time.Time{}, time.Time{}
}

// spend counts what an early evaluation took.
func (p *pace) spend(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.save(time.Now())
	p.account -= took
}

// save adds to the account what time has brought. p.mu is held.
func (p *pace) save(now time.Time) {
	if !p.counted.IsZero() {
		p.account = min(allowance, p.account+time.Duration(share*float64(now.Sub(p.counted))))
	}
	p.counted = now
}

// next waits until the group is to be evaluated, and says what for; false once
// ctx has ended. deferred is called when it would be time, and the group has
// used its share.
func (p *pace) next(ctx context.Context, deferred func()) (why, bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	counted := false
	for {
		at, reason, broke := p.turn(time.Now())
		if broke && !counted {
			counted = true
			deferred()
		}
		var ring <-chan time.Time
		if !at.IsZero() {
			wait := time.Until(at)
			if wait <= 0 {
				return reason, ctx.Err() == nil
			}
			timer.Reset(wait)
			ring = timer.C
		}
		select {
		case <-ctx.Done():
			return "", false
		case <-p.wake:
		case <-ring:
		}
	}
}

// turn is when the group is to be evaluated, as things are; zero if nothing waits.
// broke tells that it has to save first.
func (p *pace) turn(now time.Time) (at time.Time, reason why, broke bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.due.IsZero() && (p.ripe.IsZero() || p.due.Before(p.ripe)):
		at, reason = p.due, crossing
	case !p.ripe.IsZero():
		at, reason = p.ripe, waiting
	default:
		return time.Time{}, "", false
	}
	p.save(now)
	if p.account < 0 {
		if solvent := now.Add(time.Duration(float64(-p.account) / share)); solvent.After(at) {
			return solvent, reason, true
		}
	}
	return at, reason, false
}

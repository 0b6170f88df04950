package chatbot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/notify"
	"golang.org/x/time/rate"
)

const (
	// maxWaiting and maxWaitingBytes bound what waits for one bot.
	maxWaiting      = 2_000
	maxWaitingBytes = 4 << 20
	// maxPause is the longest time for which a bot that is busy is left alone:
	// that for which DingTalk takes nothing after 20 messages in a minute.
	maxPause = 10 * time.Minute
	// memory is how long the progress of a text is kept whose teller gave up.
	memory = 15 * time.Minute
	// maxMemory bounds the number of those.
	maxMemory = 1_000
)

// entry is a notification on its way to a bot.
type entry struct {
	key      string // of who tells what: receiver, integration and group
	sum      [32]byte
	parts    []Message // the text, divided
	size     int       // of all parts
	headline string
	words    words
	via      *channel
	done     chan result // gets one

	// Guarded by the bot.
	next    int  // how many parts the bot has taken
	posting bool // a message with it is being posted
	alone   bool // it shares no message, since one that it shared was refused
	gone    bool // nobody waits any more
}

// finish gives the one who waits the result.
func (e *entry) finish(r result) { e.done <- r }

// bot is one URL: its queue, and what it is still allowed.
type bot struct {
	metrics *metrics
	limits  Limits // of how often; what a message may be depends on its format
	bucket  *rate.Limiter

	mu       sync.Mutex
	queue    []*entry
	bytes    int
	running  bool
	failures int       // in a row for being busy
	until    time.Time // it is left alone
	begun    map[string]progress
}

// progress is how much of a text is out whose teller gave up.
type progress struct {
	sum  [32]byte
	next int
	at   time.Time
}

func newBot(m *metrics, l Limits) *bot {
	return &bot{metrics: m, limits: l, bucket: rate.NewLimiter(rate.Every(l.Every), l.Burst), begun: map[string]progress{}}
}

// caution leaves two messages in the bucket: a process before this one may have
// used up what it had, and both together must keep the limit.
func (b *bot) caution() { b.bucket.AllowN(time.Now(), max(0, b.limits.Burst-2)) }

// idle tells whether forgetting the bot would change nothing.
func (b *bot) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
	return !b.running && len(b.queue) == 0 && len(b.begun) == 0 && !time.Now().Before(b.until) &&
		b.bucket.Tokens() >= float64(b.limits.Burst)
}

// forget drops old progress.
func (b *bot) forget() {
	for key, p := range b.begun {
		if time.Since(p.at) > memory {
			delete(b.begun, key)
		}
	}
}

// add queues an entry and tells whether run must be started. An entry that
// cannot wait, or is out already, is finished at once.
func (b *bot) add(e *entry) (start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.begun[e.key]; ok && p.sum == e.sum {
		e.next = p.next
	}
	if e.next >= len(e.parts) {
		delete(b.begun, e.key)
		e.finish(result{})
		return false
	}
	if len(b.queue) >= maxWaiting || b.bytes+e.size > maxWaitingBytes && len(b.queue) > 0 {
		b.metrics.overflow.WithLabelValues(e.via.integration).Inc()
		err := fmt.Errorf("%d notifications wait for this bot already; group more alerts together or use more bots", len(b.queue))
		e.finish(result{err: notify.NewErrorWithReason(notify.RateLimitedReason, err)})
		return false
	}
	delete(b.begun, e.key)
	b.queue = append(b.queue, e)
	b.bytes += e.size
	b.metrics.waiting.WithLabelValues(e.via.integration).Inc()
	start = !b.running
	b.running = true
	return start
}

// remove takes an entry out of the queue.
func (b *bot) remove(e *entry) {
	i := slices.Index(b.queue, e)
	if i < 0 {
		return
	}
	b.queue = slices.Delete(b.queue, i, i+1)
	b.bytes -= e.size
	b.metrics.waiting.WithLabelValues(e.via.integration).Dec()
}

// wait returns what became of an entry. If ctx ends first, an entry of which
// nothing is out is withdrawn; of one that is being posted, what the bot says
// is remembered for the next try.
func (b *bot) wait(ctx context.Context, e *entry) (retry bool, err error) {
	select {
	case r := <-e.done:
		return r.retry, r.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case r := <-e.done:
		return r.retry, r.err
	default:
	}
	e.gone = true
	if e.posting {
		return true, notify.NewErrorWithReason(reasonOf(ctx), fmt.Errorf("no answer from the bot yet: %w", ctx.Err()))
	}
	b.remove(e)
	b.remember(e)
	reason := reasonOf(ctx)
	if e.next == 0 {
		reason = notify.RateLimitedReason // nothing of it is out
	}
	return true, notify.NewErrorWithReason(reason, fmt.Errorf("the bot may take no message yet: %w", ctx.Err()))
}

func reasonOf(ctx context.Context) notify.Reason {
	if errors.Is(ctx.Err(), context.Canceled) {
		return notify.ContextCanceledReason
	}
	return notify.ContextDeadlineExceededReason
}

// remember keeps how much of an entry is out that nobody waits for.
func (b *bot) remember(e *entry) {
	if e.next == 0 || e.key == "" {
		return
	}
	b.forget()
	if len(b.begun) < maxMemory {
		b.begun[e.key] = progress{e.sum, e.next, time.Now()}
	}
}

// handOver lets a next try that waits already go on where e ended, and tells
// whether there is one: after a reload, it may have come while e was posted.
func (b *bot) handOver(e *entry) (found bool) {
	for _, next := range slices.Clone(b.queue) {
		if e.key == "" || next.key != e.key || next.sum != e.sum || next.posting {
			continue
		}
		found = true
		if next.next = max(next.next, e.next); next.next >= len(next.parts) {
			b.remove(next)
			next.finish(result{})
		}
	}
	return found
}

// run posts until nothing waits or ctx ends.
func (b *bot) run(ctx context.Context) {
	for {
		delay, ok := b.reserve(ctx)
		if !ok {
			return
		}
		if !sleep(ctx, delay) {
			continue
		}
		m, from := b.take()
		if len(from) == 0 {
			continue
		}
		b.settle(from, from[0].via.post(ctx, m))
	}
}

// reserve tells how long to wait before the next message. It ends what waits
// when ctx has ended.
func (b *bot) reserve(ctx context.Context) (delay time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil {
		for _, e := range slices.Clone(b.queue) {
			b.remove(e)
			e.finish(result{err: notify.NewErrorWithReason(notify.ContextCanceledReason, context.Canceled)})
		}
	}
	if len(b.queue) == 0 {
		b.running = false
		return 0, false
	}
	return max(b.bucket.Reserve().Delay(), time.Until(b.until)), true
}

// settle tells everybody in a message what became of it.
func (b *bot) settle(from []*entry, r result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.metrics.posts.WithLabelValues(from[0].via.integration, r.verdict).Inc()
	switch {
	case r.busy:
		b.failures++
		b.until = time.Now().Add(max(r.wait, min(time.Second<<min(b.failures-1, 6), time.Minute)))
	case r.err == nil:
		b.failures, b.until = 0, time.Time{}
	}
	for _, e := range from {
		e.posting = false
		switch {
		case r.err == nil && len(from) > 1:
			e.next = len(e.parts)
		case r.err == nil:
			e.next++
		case r.verdict == Refused.String() && len(from) > 1:
			e.alone = true // which of them it was will show
		}
		goesOn := r.err == nil && e.next < len(e.parts) || e.alone && len(from) > 1
		if goesOn && !e.gone {
			continue // where it is in the queue
		}
		b.remove(e)
		if (e.gone || r.err != nil) && !b.handOver(e) {
			b.remember(e) // the next try goes on where this one ended
		}
		if !e.gone {
			e.finish(r)
		}
	}
}

// sleep waits for a while and tells whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

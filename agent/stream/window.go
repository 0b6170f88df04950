package stream

import (
	"context"
	"sync"
)

// window holds what has been sent and not been acknowledged, within bounds, so
// that a collector that stops listening costs an agent no memory.
type window struct {
	maxFrames, maxBytes int

	mu     sync.Mutex
	frames []sent // in order
	bytes  int
	last   uint64        // that was sent, here or on an earlier stream
	freed  chan struct{} // for the one that waits
}

type sent struct {
	seq   uint64
	bytes int
}

func newWindow(maxFrames, maxBytes int) *window {
	return &window{maxFrames: maxFrames, maxBytes: maxBytes, freed: make(chan struct{}, 1)}
}

// room waits until another frame may be sent. Its size is not known yet, so it
// may go over the bound by itself.
func (w *window) room(ctx context.Context) error {
	return w.wait(ctx, func() bool { return len(w.frames) < w.maxFrames && w.bytes < w.maxBytes })
}

// add takes in a frame that is being sent.
func (w *window) add(seq uint64, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, sent{seq, bytes})
	w.bytes += bytes
	w.last = seq
}

// empty waits until all has been acknowledged.
func (w *window) empty(ctx context.Context) error {
	return w.wait(ctx, func() bool { return len(w.frames) == 0 })
}

func (w *window) wait(ctx context.Context, done func() bool) error {
	for {
		w.mu.Lock()
		ok := done()
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-w.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// acknowledge lets go of the frames up to seq, and returns seq or, if that has
// never been sent, the last that has.
func (w *window) acknowledge(seq uint64) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.frames) && w.frames[n].seq <= seq {
		w.bytes -= w.frames[n].bytes
		n++
	}
	w.frames = append(w.frames[:0], w.frames[n:]...)
	select {
	case w.freed <- struct{}{}:
	default:
	}
	return min(seq, w.last)
}

package agent

import (
	"fmt"
	"time"
)

// errand is a reading that may take long or never come back, such as of a
// directory on a file server that is away. A goroutine of its own does it: one
// tick sends it off, and a later one takes what it brought. As long as it is
// out it is not sent again, so it never has more than one goroutine. The
// methods are for the goroutine that samples.
type errand[T any] struct {
	do   func() (T, error)
	back chan brought[T] // holds one, so that who comes back need not wait
	out  bool
	sent time.Time
	took time.Duration // of the one that was fetched last
}

type brought[T any] struct {
	value T
	err   error
	took  time.Duration
}

func newErrand[T any](do func() (T, error)) *errand[T] {
	return &errand[T]{do: do, back: make(chan brought[T], 1)}
}

// send sends the errand off. The error says that it is out still.
func (e *errand[T]) send() error {
	if e.out {
		return fmt.Errorf("not back since %s: %w", e.sent.Format(time.RFC3339), errOut)
	}
	e.out, e.sent = true, time.Now()
	began := e.sent
	go func() {
		var b brought[T]
		defer func() {
			if p := recover(); p != nil {
				b.err = fmt.Errorf("panicked: %v", p)
			}
			b.took = time.Since(began)
			e.back <- b
		}()
		b.value, b.err = e.do()
	}()
	return nil
}

// fetch returns what was brought since it was last called, if anything.
func (e *errand[T]) fetch() (value T, ok bool, err error) {
	select {
	case b := <-e.back:
		e.out, e.took = false, b.took
		return b.value, true, b.err
	default:
		return value, false, nil
	}
}

// wait returns when the errand is back, or over is closed.
func (e *errand[T]) wait(over <-chan struct{}) {
	if !e.out {
		return
	}
	select {
	case <-e.back:
		e.out = false
	case <-over:
	}
}

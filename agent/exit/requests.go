package exit

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// request is a container that the reader is to look at, and why.
type request struct {
	container discover.Container
	why       why
}

type why uint8

const (
	appeared why = iota // it was made this moment
	listed              // it is among those there are
	left                // it is not among them any more
	stirred             // something happened to it
)

// requests wake the reader by a descriptor.
type requests struct {
	mu      sync.Mutex
	waiting []request
	fd      int // eventfd, -1 while nobody reads
	over    bool
}

// put returns false if there is no room.
func (q *requests) put(r request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxRequests {
		return false
	}
	q.waiting = append(q.waiting, r)
	q.wake()
	return true
}

// take returns some requests in place of dst, and whether it is time to stop.
// If it leaves any, it wakes the reader again.
func (q *requests) take(dst []request) (taken []request, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(requestsAtOnce, len(q.waiting))
	dst = append(dst[:0], q.waiting[:n]...)
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	} else {
		q.wake()
	}
	return dst, q.over
}

func (q *requests) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	q.wake()
}

func (q *requests) open() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fd, q.over = fd, false
	q.wake() // for what was put before
	return nil
}

func (q *requests) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd >= 0 {
		unix.Close(q.fd)
		q.fd = -1
	}
}

// wake fails only if the reader has been woken before and has not looked.
func (q *requests) wake() {
	if q.fd >= 0 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(q.fd, one[:])
	}
}

// seen takes back that the reader was woken.
func (q *requests) seen() {
	var count [8]byte
	_, _ = unix.Read(q.fd, count[:])
}

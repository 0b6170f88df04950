package exit

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProcessesThatAreWatchedTakeNoMoreThanTheirShareOfDescriptors(t *testing.T) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	r := &reader{epoll: epoll, most: 1}
	first, second := &life{number: firstLife, pidfd: -1}, &life{number: firstLife + 1, pidfd: -1}
	if err := r.watch(first, os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if err := r.watch(second, os.Getpid()); err == nil || second.pidfd >= 0 {
		t.Errorf("one more than allowed: error %v, descriptor %d", err, second.pidfd)
	}
	r.unpick(first)
	if err := r.watch(second, os.Getpid()); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	r.unpick(second)
	r.unpick(second) // once more costs nothing
	if r.watched != 0 {
		t.Errorf("%d are watched, want none", r.watched)
	}
}

package exit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// A life has so many picks at first and wins one back in so much time. A
// container whose processes live shorter than that is waited for by its group's
// events alone, or not at all for a moment.
const (
	maxPicks  = 8
	pickEvery = 50 * time.Millisecond
)

// outcome is what came of picking a process.
type outcome uint8

const (
	nobody   outcome = iota // the group is empty
	somebody                // one is watched
	unknown                 // there are some, or may be, and none is watched
)

// pick has the kernel tell when a process of a group ends: the first in its list
// and so the oldest, which in a container is the one that all others end with. At
// the very start that is the runtime's own, so that it takes three picks to get
// to it.
func (r *reader) pick(l *life, now time.Time) outcome {
	if !l.peopled {
		l.picks = maxPicks
	}
	l.picks = min(maxPicks, l.picks+float64(now.Sub(l.picked))/float64(pickEvery))
	l.picked = now
	for l.picks >= 1 {
		pid, err := r.member(l)
		switch {
		case errors.Is(err, errUnseen):
			l.peopled, l.unseen = true, true
			r.cannotWatch(err)
			return unknown
		case err != nil:
			r.log.Debug("processes of a container not read", "container", l.is.Cgroup, "err", err)
			r.again(l, now)
			return unknown
		case pid == 0:
			return nobody
		}
		l.peopled = true
		l.picks--
		err = r.watch(l, pid)
		if err == nil {
			return somebody
		}
		if !errors.Is(err, unix.ESRCH) { // which is one that has just ended
			r.cannotWatch(err)
			return unknown // the sweep tries again
		}
	}
	r.again(l, now)
	return unknown
}

// errUnseen says that a group has processes and they have no numbers here.
var errUnseen = errors.New("its processes are not visible; run the agent in the node's pid namespace")

// member is a process of a group, 0 if there is none. The one that was watched
// last does not count: it is listed until its parent has heard that it ended.
func (r *reader) member(l *life) (pid int, err error) {
	for _, limit := range []int{1, 8} { // one is mostly enough, and then no groups below are looked for
		r.pids, err = r.fs.Processes(r.pids[:0], l.is.Cgroup, limit)
		if errors.Is(err, cgroup.ErrGone) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		for _, pid := range r.pids {
			if pid != l.pid {
				return pid, nil
			}
		}
		if len(r.pids) == 0 {
			break
		}
	}
	if (l.unseen || !l.peopled) && r.tree.hides(l.is.Cgroup) {
		return 0, errUnseen
	}
	return 0, nil
}

// watch watches one process.
func (r *reader) watch(l *life, pid int) error {
	if r.watched >= r.most {
		return fmt.Errorf("%d are watched, an eighth of the files that may be open; raise that limit (ulimit -n)", r.watched)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	if err := r.wait(fd, l.number); err != nil {
		unix.Close(fd)
		return err
	}
	l.pid, l.pidfd = pid, fd
	r.watched++
	return nil
}

// eighthOfLimit is as many descriptors as this may take of the process'.
func eighthOfLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 128
	}
	return int(min(limit.Cur, 1<<20) / 8)
}

// cannotWatch says once why.
func (r *reader) cannotWatch(err error) {
	if !r.mute {
		r.mute = true
		r.log.Warn("cannot watch the processes of a container and looks at it each second; its end may be read too late", "err", err)
	}
}

// unpick stops watching a process.
func (r *reader) unpick(l *life) {
	if l.pidfd >= 0 {
		// To close it is not enough: a child that has been forked and not yet
		// called exec may have it too.
		_ = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, l.pidfd, nil)
		unix.Close(l.pidfd)
		l.pidfd = -1
		r.watched--
	}
}

// listen watches the files of a group that tell of processes, as far as they are
// there. Where there are several hierarchies their groups are not made at once.
func (r *reader) listen(l *life) {
	if l.members < 0 {
		l.members = r.notify(l, r.tree.members, membersFile)
	}
	if l.changes < 0 && r.tree.events != "" {
		l.changes = r.notify(l, r.tree.events, eventsFile)
	}
}

func (r *reader) notify(l *life, hierarchy, file string) int32 {
	watch, err := unix.InotifyAddWatch(r.inotify, filepath.Join(hierarchy, l.is.Cgroup, file), unix.IN_MODIFY)
	if err != nil {
		return -1 // without, the sweep looks
	}
	r.watches[int32(watch)] = l
	return int32(watch)
}

func (r *reader) unlisten(l *life) {
	for _, watch := range []int32{l.members, l.changes} {
		if watch >= 0 {
			_, _ = unix.InotifyRmWatch(r.inotify, uint32(watch))
			delete(r.watches, watch)
		}
	}
	l.members, l.changes = -1, -1
}

// hear takes in what inotify says, records of
//
//	int32 watch, uint32 mask, uint32 cookie, uint32 len, char name[len]
//
// in the byte order of the machine.
func (r *reader) hear(now time.Time) {
	n, err := unix.Read(r.inotify, r.notes)
	if err != nil {
		return // nothing there after all
	}
	for notes := r.notes[:n]; len(notes) >= unix.SizeofInotifyEvent; {
		watch, mask := int32(binary.NativeEndian.Uint32(notes)), binary.NativeEndian.Uint32(notes[4:])
		size := binary.NativeEndian.Uint32(notes[12:])
		notes = notes[min(len(notes), unix.SizeofInotifyEvent+int(size)):]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			r.sweepAt = now // which looks at all that could have gone unnoticed
		}
		if l := r.watches[watch]; l != nil {
			r.stirred(l, watch, now)
		}
	}
}

// stirred is told that a process came or the last one went.
func (r *reader) stirred(l *life, watch int32, now time.Time) {
	switch {
	case l.ended:
	case l.pidfd < 0:
		r.settle(l, now)
	case watch == l.changes:
		if pids, err := r.fs.Processes(r.pids[:0], l.is.Cgroup, 1); err == nil && len(pids) == 0 {
			r.unpick(l)
			r.settle(l, now)
		}
	}
}

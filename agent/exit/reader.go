package exit

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// How often things are looked at that nobody has told of.
const (
	sweepEvery = time.Second      // while there is somebody whose end could go unnoticed
	calmEvery  = 5 * time.Second  // otherwise
	young      = 15 * time.Second // a container that is younger is read in each sweep
	readEvery  = time.Minute      // any other
	retryEvery = 20 * time.Millisecond
)

// Bounds of what is done before the next end is looked for. The thread comes
// before others, so that it must never be busy for long.
const (
	eventsAtOnce   = 64
	requestsAtOnce = 32
	// busy is the part of a second in which the thread may be at work. When it
	// takes more, it does without priority until it takes less again.
	busy = int64(300 * time.Millisecond)
)

// What epoll calls the descriptors that are not of a life. Lives have numbers
// from firstLife on.
const (
	tokenRequests = iota
	tokenInotify
	firstLife
)

// reader waits for the last process of each container and reads what it has
// used. All of it belongs to the one goroutine of run.
type reader struct {
	w       *Watcher
	log     *slog.Logger
	fs      *cgroup.FS
	tree    tree
	epoll   int
	inotify int

	next    uint64           // number of the next life
	lives   map[uint64]*life // by number
	watched int              // of them, by a pidfd
	most    int              // that may be
	byPath  map[string]*life
	watches map[int32]*life
	uneasy  map[*life]bool // to be looked at again before the sweep

	sweepAt  time.Time // the next
	sweptAt  time.Time
	cpuUsed  int64 // by the thread, at the last sweep
	priority Priority
	stepped  bool // down, for having been busy
	mute     bool // there are no pidfds here, which was said

	pending []request
	events  [eventsAtOnce]unix.EpollEvent
	notes   []byte // of inotify
	pids    []int
	io      []cgroup.DeviceIO
}

// life is a container from its start to its end.
type life struct {
	number   uint64
	is       discover.Container
	identity uint64 // of its group
	seen     time.Time
	peopled  bool // it has had a process
	unseen   bool // its processes have no numbers here
	ended    bool // and is only kept until its group is gone

	killedBefore uint64 // processes, before it was seen
	usedBefore   cgroup.Nanoseconds

	last   reading
	readAt time.Time
	empty  bool // last was read when no process was left

	pid, pidfd       int   // of the process that is watched; -1 if none
	members, changes int32 // inotify watches of cgroup.procs and cgroup.events; -1 if none
	picks            float64
	picked           time.Time
	retry            time.Time
}

// openReader takes what the reader needs of the kernel.
func openReader(w *Watcher) (*reader, error) {
	r := &reader{
		w: w, log: w.log, epoll: -1, inotify: -1, next: firstLife,
		lives: make(map[uint64]*life), byPath: make(map[string]*life),
		watches: make(map[int32]*life), uneasy: make(map[*life]bool),
		most:  eighthOfLimit(),
		notes: make([]byte, 16<<10),
	}
	if err := r.open(); err != nil {
		r.close()
		return nil, fmt.Errorf("prepare to follow containers to their end: %w", err)
	}
	return r, nil
}

func (r *reader) open() (err error) {
	if r.fs, err = cgroup.New(cgroup.Options{Root: r.w.opts.CgroupRoot, Sysfs: r.w.opts.Sysfs}); err != nil {
		return err
	}
	if r.tree, err = newTree(r.w.opts.CgroupRoot, r.fs.Mode()); err != nil {
		return err
	}
	if err = r.w.requests.open(); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if r.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return fmt.Errorf("inotify: %w; raise fs.inotify.max_user_instances", err)
	}
	if err = r.wait(r.w.requests.fd, tokenRequests); err != nil {
		return err
	}
	return r.wait(r.inotify, tokenInotify)
}

// wait has epoll tell of a descriptor.
func (r *reader) wait(fd int, token uint64) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(uint32(token)), Pad: int32(token >> 32)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func tokenOf(e *unix.EpollEvent) uint64 { return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 }

func (r *reader) close() {
	for _, l := range r.lives {
		r.unpick(l)
	}
	for _, fd := range []int{r.inotify, r.epoll} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	r.w.requests.close()
	if r.fs != nil {
		r.fs.Close()
	}
}

// run waits and reads until it is told to stop.
func (r *reader) run() error {
	runtime.LockOSThread() // never unlocked: the thread ends with its priority
	defer r.close()
	r.raise()
	r.sweptAt = time.Now()
	r.sweepAt = r.sweptAt.Add(sweepEvery)
	for {
		n, err := unix.EpollWait(r.epoll, r.events[:], r.pause())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the end of containers: %w", err)
		}
		if over := r.serve(r.events[:max(n, 0)], time.Now()); over {
			return nil
		}
	}
}

// pause is how long to wait for events, in milliseconds.
func (r *reader) pause() int {
	next := r.sweepAt
	for l := range r.uneasy {
		if l.retry.Before(next) {
			next = l.retry
		}
	}
	return int(max(0, time.Until(next).Milliseconds()+1))
}

// serve does what is due, ends first: they do not wait.
func (r *reader) serve(events []unix.EpollEvent, now time.Time) (over bool) {
	var asked, noted bool
	for i := range events {
		switch token := tokenOf(&events[i]); token {
		case tokenRequests:
			asked = true
		case tokenInotify:
			noted = true
		default:
			if l := r.lives[token]; l != nil && l.pidfd >= 0 {
				r.unpick(l)
				r.settle(l, now)
			}
		}
	}
	if noted {
		r.hear(now)
	}
	if asked {
		over = r.answer(now)
	}
	for l := range r.uneasy {
		if !now.Before(l.retry) {
			r.settle(l, now)
		}
	}
	if len(events) > 0 { // the calm is over
		r.sweepBy(now.Add(sweepEvery))
	}
	if !now.Before(r.sweepAt) {
		r.sweep(now)
	}
	return over
}

// answer looks at the containers it was asked to look at.
func (r *reader) answer(now time.Time) (over bool) {
	r.w.requests.seen()
	r.pending, over = r.w.requests.take(r.pending)
	for i := range r.pending {
		c, why := &r.pending[i].container, r.pending[i].why
		l := r.byPath[c.Cgroup]
		switch {
		case l == nil && why <= listed:
			r.follow(c, why, now)
		case l == nil:
		case why == stirred || r.state(l) != there:
			r.refresh(l, now)
		}
	}
	clear(r.pending)
	return over
}

// follow begins a life.
func (r *reader) follow(c *discover.Container, why why, now time.Time) {
	if c.Kind == discover.Pod {
		return
	}
	identity, err := r.tree.identity(c.Cgroup)
	switch {
	case err != nil:
		r.log.Debug("container not followed", "container", c.Cgroup, "err", err)
		return
	case identity == 0:
		if why == appeared {
			r.w.count(func(s *Stats) { s.Missed++ })
		}
		return
	case len(r.lives) >= maxFollowed:
		r.w.count(func(s *Stats) { s.Unfollowed++ })
		return
	}
	l := &life{number: r.next, is: *c, identity: identity, seen: now, pid: -1, pidfd: -1, members: -1, changes: -1}
	l.readAt = now.Add(-time.Duration(l.number) * time.Second % readEvery) // not all at a time
	r.next++
	r.lives[l.number], r.byPath[c.Cgroup] = l, l
	r.settle(l, now)
	if l.peopled && !l.ended { // it is not new
		r.refresh(l, now)
		l.killedBefore, l.usedBefore = l.last.kills.V, l.last.cpu.Usage.V
	}
}

// settle finds somebody to wait for in a life. If there is nobody left it has
// ended.
func (r *reader) settle(l *life, now time.Time) {
	delete(r.uneasy, l)
	r.listen(l)
	if r.state(l) == there && (l.pidfd >= 0 || r.pick(l, now) != nobody) {
		l.empty = false
		return
	}
	got, s := r.read(l, true)
	l.last.update(got)
	switch {
	case s == there && !l.peopled:
		// The first process is just being put into one hierarchy after the
		// other. Or all have ended before they were looked for; then what was
		// read is told once the group is gone.
		l.empty = true
		if l.last.cpu.Usage.V > 0 || l.members < 0 {
			r.again(l, now)
		}
	case s == there:
		r.end(l, now, got.cpu.Usage.OK)
	default:
		// A group is removed when it is empty, so what there was to read is all
		// there ever was.
		r.end(l, now, got.cpu.Usage.OK || l.empty)
		r.drop(l, s, now)
	}
}

// refresh reads a life that goes on, and finds out if it does not.
func (r *reader) refresh(l *life, now time.Time) {
	if l.ended {
		if s := r.state(l); s != there {
			r.drop(l, s, now)
		}
		return
	}
	got, s := r.read(l, false)
	l.last.update(got)
	l.readAt = now
	if s != there {
		r.end(l, now, l.empty)
		r.drop(l, s, now)
	}
}

// again has a life looked at before the sweep.
func (r *reader) again(l *life, now time.Time) {
	l.retry = now.Add(retryEvery)
	if now.Sub(l.seen) < sweepEvery || l.peopled {
		r.uneasy[l] = true
	}
}

// end tells of the end of a life. It is kept until its group is gone, lest it
// be taken for a new one.
func (r *reader) end(l *life, now time.Time, complete bool) {
	r.unpick(l)
	l.ended = true
	if !l.peopled && l.last.cpu.Usage.V == 0 { // a group that never had a process, or for too short
		r.w.count(func(s *Stats) { s.Missed++ })
		return
	}
	r.w.ended(Record{
		Life: l.number, Container: l.is, Seen: l.seen, Ended: now,
		CPU: l.last.cpu, PeakBytes: l.last.peak, OOMKills: l.last.kills, IO: l.last.io,
		KilledBefore: l.killedBefore, UsedBefore: l.usedBefore,
		Complete: complete,
	})
}

// drop forgets a life whose group is gone, and follows the one that has taken
// its place.
func (r *reader) drop(l *life, s state, now time.Time) {
	r.unlisten(l)
	delete(r.uneasy, l)
	delete(r.lives, l.number)
	delete(r.byPath, l.is.Cgroup)
	if s == replaced {
		r.follow(&l.is, listed, now)
	}
}

// sweep looks at those who can go unnoticed, and at all once in a while: should
// an end be missed, what was read last is told.
func (r *reader) sweep(now time.Time) {
	next := now.Add(calmEvery)
	for _, l := range r.lives {
		uncertain := now.Sub(l.seen) < young || l.ended || l.pidfd < 0
		if uncertain {
			next = now.Add(sweepEvery)
		}
		if uncertain || now.Sub(l.readAt) >= readEvery {
			r.refresh(l, now)
		}
		if !l.ended && l.pidfd < 0 && (l.peopled || l.members < 0) {
			r.settle(l, now)
		}
	}
	r.spare(now.Sub(r.sweptAt))
	r.sweptAt, r.sweepAt = now, next
	r.report()
}

// sweepBy has the next sweep be no later.
func (r *reader) sweepBy(at time.Time) {
	if at.Before(r.sweepAt) {
		r.sweepAt = at
	}
}

// report makes public how things are.
func (r *reader) report() {
	var kills []Kills
	followed, unheard := 0, 0
	for _, l := range r.lives {
		if l.ended {
			continue
		}
		followed++
		if l.pidfd < 0 && l.peopled {
			unheard++
		}
		if n := l.last.kills.V; l.last.kills.OK && n > l.killedBefore {
			kills = append(kills, Kills{l.number, l.is.Cgroup, n - l.killedBefore})
		}
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.kills = kills
	r.w.stats.Followed, r.w.stats.Unheard, r.w.stats.Priority = followed, unheard, r.priority
	r.w.stats.CPU = time.Duration(r.cpuUsed)
}

// raise takes the priority that is allowed.
func (r *reader) raise() {
	priority, err := raise(r.w.opts.Priority)
	r.priority = priority
	args := []any{"priority", priority.String()}
	if err != nil {
		args = append(args, "refused", err)
	}
	r.log.Info("follows containers to their end", args...)
	r.report()
}

// spare gives priority up while there is too much to do for it, and takes it
// again afterwards. It tells by what was done in the given time.
func (r *reader) spare(in time.Duration) {
	used := cpuTime()
	lately := int64(float64(used-r.cpuUsed) / max(in.Seconds(), 1))
	r.cpuUsed = used
	switch {
	case !r.stepped && lately > busy && r.priority != NoPriority:
		if err := lower(); err != nil {
			r.log.Warn("priority cannot be given up", "err", err)
			return
		}
		r.stepped, r.priority = true, NoPriority
		r.log.Warn("too much to do for a thread with priority, goes on without; ends of containers may be missed", "used", time.Duration(lately))
	case r.stepped && lately < busy/3:
		r.stepped = false
		r.raise()
	}
}

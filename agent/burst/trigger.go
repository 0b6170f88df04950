package burst

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// What the kernel is asked to tell (Documentation/accounting/psi.rst): that some
// task has waited for so long within such a window, both in µs, at most once in
// a window. Without CAP_SYS_RESOURCE windows are multiples of 2 s, since Linux
// 6.5; with it a thread of the kernel for each group watches more closely.
const (
	closely = "some 50000 500000\x00"
	loosely = "some 100000 2000000\x00"
)

// retryEvery is how long a trigger that could not be had is let be.
const retryEvery = 30 * time.Second

// usualTriggers leaves most of the process' descriptors to others.
func usualTriggers() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 128
	}
	return int(min(limit.Cur/8, 1000))
}

// pressures are the files that have triggers, by what they cause.
var pressures = [...]string{CPUPressure: "cpu", MemoryPressure: "memory"}

// triggers has the kernel watch the pressure of groups and of the node. All
// descriptors belong to the goroutine in run. They are waited for with epoll
// itself, not through Go's poller: that asks each for its state once more, and
// asking takes an event away.
type triggers struct {
	dir, proc string // of the groups, empty where they have no pressure; and of the node
	budget    int
	files     [2 * len(pressures)]string
	epoll     int
	poke      int // an eventfd: look at what has changed
	stopped   atomic.Bool

	closely bool // until the kernel says no
	serial  int32
	held    map[int32]trigger
	nodes   [len(pressures)]int32 // serials; 0 for none
	groups  map[string]*groupTriggers
	barred  [2 * len(pressures)]time.Time // until when a kind is not tried

	mu        sync.Mutex
	wanted    []string // groups
	changed   bool     // wanted is new
	watched   map[string]bool
	available [2 * len(pressures)]cgroup.Opt[bool]
	holding   int
	leftOut   int
}

// groupTriggers are those of a group that is followed.
type groupTriggers struct {
	serials [len(pressures)]int32 // 0 for none
	tried   time.Time
}

// trigger is a descriptor whose POLLPRI means that there is pressure.
type trigger struct {
	fd    int
	group string // empty for the node
	why   Cause
}

func newTriggers(opts Options, mode cgroup.Mode) (*triggers, error) {
	t := &triggers{
		proc: filepath.Join(opts.Proc, "pressure"), budget: opts.Triggers, closely: true,
		held: map[int32]trigger{}, groups: map[string]*groupTriggers{}, watched: map[string]bool{},
	}
	name := "cgroup/"
	switch mode {
	case cgroup.V2:
		t.dir = opts.Root
	case cgroup.Hybrid:
		t.dir, name = filepath.Join(opts.Root, "unified"), "cgroup/unified/"
	}
	for why, resource := range pressures {
		t.files[why] = name + resource + ".pressure (trigger)"
		t.files[len(pressures)+why] = "proc/pressure/" + resource + " (trigger)"
		if t.dir == "" {
			t.available[why] = cgroup.Opt[bool]{OK: true}
		}
	}
	var err error
	if t.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if t.poke, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		unix.Close(t.epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if err := unix.EpollCtl(t.epoll, unix.EPOLL_CTL_ADD, t.poke, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		t.close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return t, nil
}

func (t *triggers) close() {
	unix.Close(t.poke)
	unix.Close(t.epoll)
}

// follow says which groups are to be watched.
func (t *triggers) follow(groups []string) {
	t.mu.Lock()
	t.wanted, t.changed = groups, true
	t.mu.Unlock()
	t.nudge()
}

// stop has run return.
func (t *triggers) stop() {
	t.stopped.Store(true)
	t.nudge()
}

func (t *triggers) nudge() {
	_, _ = unix.Write(t.poke, binary.NativeEndian.AppendUint64(nil, 1)) // it cannot be full
}

func (t *triggers) armed(group string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.watched[group]
}

func (t *triggers) count() (held, leftOut int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holding, t.leftOut
}

// run calls fire for each trigger that goes off, until stop.
func (t *triggers) run(fire func(group string, why Cause)) {
	defer t.dropAll()
	var events [64]unix.EpollEvent
	t.arm(time.Now())
	tried := time.Now()
	for {
		n, err := unix.EpollWait(t.epoll, events[:], int(retryEvery.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return // it cannot: the descriptors are ours
		}
		look := time.Since(tried) >= retryEvery
		for _, e := range events[:max(n, 0)] {
			if e.Fd == 0 {
				var count [8]byte
				_, _ = unix.Read(t.poke, count[:])
				look = true
				continue
			}
			held, ok := t.held[e.Fd]
			switch {
			case !ok: // dropped just now
			case e.Events&unix.EPOLLERR != 0: // the group is gone, another may have its name
				t.drop(e.Fd)
				if g := t.groups[held.group]; g != nil {
					g.serials[held.why] = 0
				}
			default:
				fire(held.group, held.why)
			}
		}
		if t.stopped.Load() {
			return
		}
		if look {
			tried = time.Now()
			t.arm(tried)
		}
	}
}

// arm takes up the groups that are wanted and tries for the triggers that are
// missing.
func (t *triggers) arm(now time.Time) {
	t.mu.Lock()
	wanted, changed := t.wanted, t.changed
	t.changed = false
	t.mu.Unlock()

	for why := range pressures {
		if t.nodes[why] == 0 {
			t.nodes[why] = t.try(filepath.Join(t.proc, pressures[why]), "", Cause(why), len(pressures)+why, now)
		}
	}
	if changed {
		t.let(wanted)
	}
	leftOut, watched := 0, make(map[string]bool, len(wanted))
	for _, group := range wanted {
		g := t.groups[group]
		if g == nil {
			g = new(groupTriggers)
			t.groups[group] = g
		}
		try := t.dir != "" && now.Sub(g.tried) >= retryEvery
		for why := range g.serials {
			if try && g.serials[why] == 0 {
				g.tried = now
				g.serials[why] = t.try(filepath.Join(t.dir, group, pressures[why]+".pressure"), group, Cause(why), why, now)
			}
			if g.serials[why] == 0 {
				leftOut++
			}
		}
		watched[group] = g.serials[CPUPressure] != 0
	}
	t.mu.Lock()
	t.leftOut, t.watched, t.holding = leftOut, watched, len(t.held)
	t.mu.Unlock()
}

// let lets go of groups that are not wanted any more.
func (t *triggers) let(wanted []string) {
	stays := make(map[string]bool, len(wanted))
	for _, g := range wanted {
		stays[g] = true
	}
	for group, g := range t.groups {
		if stays[group] {
			continue
		}
		for _, serial := range g.serials {
			t.drop(serial)
		}
		delete(t.groups, group)
	}
}

// try makes a trigger and returns its serial, 0 if it cannot be had. Where the
// kernel or the mount does not let anybody have one of that kind, no other is
// tried for a while.
func (t *triggers) try(file, group string, why Cause, kind int, now time.Time) int32 {
	if len(t.held) >= t.budget || now.Before(t.barred[kind]) {
		return 0
	}
	t.serial++
	fd, err := t.open(file, t.serial)
	switch {
	case err == nil:
		t.held[t.serial] = trigger{fd, group, why}
		t.tell(kind, true)
		return t.serial
	case errors.Is(err, unix.ENOENT) && group != "" && unix.Access(filepath.Dir(file), unix.F_OK) != nil:
		return 0 // the group is gone
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		t.barred[kind] = now.Add(retryEvery)
		return 0
	default: // EROFS, EACCES, EPERM, EOPNOTSUPP, EINVAL before Linux 6.5
		t.barred[kind] = now.Add(retryEvery)
		t.tell(kind, false)
		return 0
	}
}

func (t *triggers) tell(kind int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.available[kind] = cgroup.Opt[bool]{V: ok, OK: true}
}

// open opens a pressure file for its trigger, and has it waited for.
func (t *triggers) open(file string, serial int32) (int, error) {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = t.set(fd); err == nil {
		err = unix.EpollCtl(t.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLPRI, Fd: serial})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// set asks for events on fd, as closely as is allowed.
func (t *triggers) set(fd int) error {
	if t.closely {
		_, err := unix.Write(fd, []byte(closely))
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
		t.closely = false
	}
	_, err := unix.Write(fd, []byte(loosely))
	return err
}

func (t *triggers) drop(serial int32) {
	if held, ok := t.held[serial]; ok {
		unix.Close(held.fd) // and epoll forgets it
		delete(t.held, serial)
	}
}

func (t *triggers) dropAll() {
	for serial := range t.held {
		t.drop(serial)
	}
}

// Files names the files whose triggers a lane wants, always in the same order.
func (l *Lane) Files() []string {
	if l.triggers == nil {
		return nil
	}
	return l.triggers.files[:]
}

// Availability tells of each of Files whether the kernel let it be watched,
// appended to dst. It is absent for what was never tried.
func (l *Lane) Availability(dst []cgroup.Opt[bool]) []cgroup.Opt[bool] {
	if l.triggers == nil {
		return dst
	}
	l.triggers.mu.Lock()
	defer l.triggers.mu.Unlock()
	return append(dst, l.triggers.available[:]...)
}

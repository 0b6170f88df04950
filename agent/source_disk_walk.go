package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/disk"
	"github.com/plimsoll-io/plimsoll/agent/node"
)

// diskResult is how a walk ended.
type diskResult int

// The ways in which walks end.
const (
	diskDone        diskResult = iota
	diskPartial                // a limit ended it
	diskFailed                 // an error ended it
	diskGone                   // the container ended
	diskSkipped                // others need the disk
	diskUnsupported            // the container has no layer that is known
	diskResults
)

// String is the value of the label result.
func (r diskResult) String() string {
	return [...]string{"done", "partial", "failed", "gone", "skipped", "unsupported"}[r]
}

// diskReading is what a walk has found.
type diskReading struct {
	result diskResult
	usage  disk.Usage // of what was walked
	device string     // that the layer is on
	began  time.Time
	took   time.Duration
	err    error // what a person might want to know
}

// diskMeasure measures the container in a control group. It is called by several
// goroutines, each with a walker of its own.
type diskMeasure func(ctx context.Context, w *disk.Walker, group string) diskReading

// diskMeter measures containers of this node.
type diskMeter struct {
	roots       node.Roots
	maxPressure float64 // percent
	layers      *disk.Layers

	mu     sync.Mutex
	groups *cgroup.FS
}

func (m *diskMeter) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups.Close()
}

func (m *diskMeter) measure(ctx context.Context, w *disk.Walker, group string) diskReading {
	// Where the kernel does not count pressure nobody can be asked.
	if pressure, err := disk.IOPressure(m.roots.Proc); err == nil && pressure > m.maxPressure {
		return diskReading{result: diskSkipped}
	}
	dir, err := m.layer(group)
	switch {
	case errors.Is(err, disk.ErrNoLayer):
		return diskReading{result: diskUnsupported}
	case errors.Is(err, cgroup.ErrGone), errors.Is(err, fs.ErrNotExist):
		return diskReading{result: diskGone}
	case err != nil:
		return diskReading{result: diskFailed, err: err}
	}
	usage, err := w.Walk(ctx, cmp.Or(m.roots.Root, "/"), dir)
	r := diskReading{usage: usage, device: m.device(usage.Backing, dir)}
	switch {
	case errors.Is(err, disk.ErrLimit):
		r.result, r.err = diskPartial, err
	case errors.Is(err, fs.ErrNotExist):
		r.result, r.err = diskFailed, fmt.Errorf("%w; see whether --path.rootfs is where the node's file systems are", err)
	case err != nil:
		r.result, r.err = diskFailed, err
	}
	return r
}

// maxDiskProcesses is how many processes of a container are asked for its root. One
// of them may have another.
const maxDiskProcesses = 16

// layer is the directory of a container's writable layer, a path in the node's tree.
func (m *diskMeter) layer(group string) (string, error) {
	m.mu.Lock()
	pids, err := m.groups.Processes(nil, group, maxDiskProcesses)
	m.mu.Unlock()
	if err != nil {
		return "", err
	}
	err = disk.ErrNoLayer // of a container whose processes are not to be seen
	for _, pid := range pids {
		dir, of := m.layers.Of(pid)
		if of == nil {
			return dir, nil
		}
		err = of
	}
	return "", err
}

// device is the name of what a layer is on, as cAdvisor and node_exporter have it.
func (m *diskMeter) device(b disk.Backing, dir string) string {
	if name := m.layers.Device(b, dir); name != "" && name != "/dev/root" {
		return name
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups.DeviceName(cgroup.Device{Major: b.Major, Minor: b.Minor})
}

const (
	diskWorkerCount = 2
	// maxDiskQueue bounds the walks that wait for a worker. A container that is due
	// when it is full stays due.
	maxDiskQueue = 1024
	// diskRate is the pace of all workers together, in entries a second. It takes
	// about 4 % of a core while the kernel has all in memory.
	diskRate = 50_000
)

// diskWalk is on its way to the workers or back.
type diskWalk struct {
	of      *diskContainer // which the workers do not look at
	cgroup  string
	sent    uint64 // tick
	reading diskReading
}

// diskWorkers walk directories. A walk that hangs keeps its worker; when all have
// one nothing is measured any more, and nothing else suffers.
type diskWorkers struct {
	limits  disk.Limits
	measure diskMeasure
	release func() // called at the end, if no worker hangs

	todo, done chan diskWalk
	ctx        context.Context
	cancel     context.CancelFunc
	running    sync.WaitGroup
	started    bool
	busy       [diskWorkerCount]atomic.Int64 // since when, in ns; 0 while idle
}

func newDiskWorkers(limits disk.Limits, measure diskMeasure, release func()) *diskWorkers {
	limits.Rate = max(cmp.Or(limits.Rate, diskRate)/diskWorkerCount, 1)
	limits.Time = cmp.Or(limits.Time, 5*time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	return &diskWorkers{
		limits: limits, measure: measure, release: release, ctx: ctx, cancel: cancel,
		todo: make(chan diskWalk, maxDiskQueue), done: make(chan diskWalk, maxDiskQueue),
	}
}

// send queues a walk; it is false if there is no room.
func (w *diskWorkers) send(walk diskWalk) bool {
	if !w.started { // a node without containers needs none
		w.started = true
		for i := range w.busy {
			w.running.Go(func() { w.work(&w.busy[i]) })
		}
	}
	select {
	case w.todo <- walk:
		return true
	default:
		return false
	}
}

// fetch returns a walk that has ended, if there is one.
func (w *diskWorkers) fetch() (walk diskWalk, ok bool) {
	select {
	case walk = <-w.done:
		return walk, true
	default:
		return walk, false
	}
}

// work walks until the end, in a thread of its own: it stays in the background.
func (w *diskWorkers) work(busy *atomic.Int64) {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	_ = disk.Background()  // as far as it may be
	walker := disk.NewWalker(w.limits)
	for {
		select {
		case <-w.ctx.Done():
			return
		case walk := <-w.todo:
			began := time.Now()
			busy.Store(began.UnixNano())
			walk.reading = w.safely(walker, walk.cgroup)
			walk.reading.began, walk.reading.took = began, time.Since(began)
			busy.Store(0)
			select {
			case w.done <- walk:
			case <-w.ctx.Done():
				return
			}
		}
	}
}

func (w *diskWorkers) safely(walker *disk.Walker, cgroup string) (r diskReading) {
	defer func() {
		if p := recover(); p != nil {
			r = diskReading{result: diskFailed, err: fmt.Errorf("panicked: %v", p)}
		}
	}()
	return w.measure(w.ctx, walker, cgroup)
}

// stuck is how many walks ought to have ended long ago.
func (w *diskWorkers) stuck(now time.Time) int {
	n := 0
	for i := range w.busy {
		since := w.busy[i].Load()
		if since != 0 && now.UnixNano()-since > int64(w.limits.Time+time.Minute) {
			n++
		}
	}
	return n
}

// close ends the workers, but waits no longer than a moment for any that hangs.
func (w *diskWorkers) close() {
	w.cancel()
	ended := make(chan struct{})
	go func() {
		w.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(leave)
	defer timer.Stop()
	select {
	case <-ended:
		w.release()
	case <-timer.C: // who hangs may need it yet
	}
}

package discover

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Options say where to look.
type Options struct {
	CgroupRoot string       // where cgroups are mounted; default /sys/fs/cgroup
	DockerHost string       // such as unix:///var/run/docker.sock; none if empty
	Log        *slog.Logger // default: none
}

// Watcher keeps up with the containers of this node while it runs. Its methods
// may be called at any time, from any goroutine, and wait for neither the
// kernel nor the engine.
type Watcher struct {
	registry *registry
	kernel   *kernel
	docker   *docker // nil for none
}

// Stats are counts since the start, unless they say now.
type Stats struct {
	Containers       int    // now
	LeftOut          int    // now: directories beyond the limits on number and depth
	InotifyFallbacks uint64 // times that inotify missed changes, and scans stood in for it
	Unreadable       uint64 // directories that exist and could not be listed
	EngineConnected  bool   // now
	EngineReconnects uint64 // connections to the engine after the first
	Dropped          uint64 // events, OOMs and names for which there was no room
}

// New complains of a root without cgroups and of a host that can be none. It
// starts nothing.
func New(opts Options) (*Watcher, error) {
	if opts.CgroupRoot == "" {
		opts.CgroupRoot = "/sys/fs/cgroup"
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	root, err := hierarchy(opts.CgroupRoot)
	if err != nil {
		return nil, err
	}
	w := &Watcher{registry: newRegistry()}
	w.kernel = newKernel(root, w.registry, opts.Log)
	if opts.DockerHost != "" {
		if w.docker, err = newDocker(opts.DockerHost, w.registry, opts.Log); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Run keeps up until ctx ends. An engine that is not there is no error.
func (w *Watcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.kernel.run(ctx) })
	if w.docker != nil {
		g.Go(func() error { return w.docker.run(ctx) })
	}
	return g.Wait()
}

// Containers are those that exist now, in the order of their cgroups. The
// version grows with every change; as long as it stays, so does the slice,
// which belongs to all callers and must not be changed. A container that was
// restarted in between has the cgroup it had, but a new version.
func (w *Watcher) Containers() (version uint64, list []Container) {
	return w.registry.containers()
}

// TakeEvents returns what the engine told since it was last called. At most
// 1024 events wait to be taken.
func (w *Watcher) TakeEvents() []sample.Event { return w.registry.takeEvents() }

// TakeOOMs returns the ids of containers in which, as the engine told since it
// was last called, the kernel killed for want of memory; an id may come more
// than once.
func (w *Watcher) TakeOOMs() []string { return w.registry.takeOOMs() }

// Stats tells how discovery fares.
func (w *Watcher) Stats() Stats {
	_, list := w.registry.containers()
	s := Stats{
		Containers:       len(list),
		LeftOut:          int(w.kernel.leftOut.Load()),
		InotifyFallbacks: w.kernel.fallbacks.Load(),
		Unreadable:       w.kernel.failures.Load(),
		Dropped:          w.registry.droppedSoFar(),
	}
	if w.docker != nil {
		s.EngineConnected = w.docker.connected.Load()
		s.EngineReconnects = w.docker.reconnects.Load()
	}
	return s
}

package discover

import (
	"cmp"
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Options say where to look. What is not there costs names and nothing else.
type Options struct {
	CgroupRoot string // where cgroups are mounted; default /sys/fs/cgroup
	RootFS     string // where the node's file system is mounted, to read the files of runtimes; default /
	DockerRoot string // Docker's data root, below RootFS; default /var/lib/docker
	DockerHost string // of Docker, or Podman, such as unix:///var/run/docker.sock; none if empty

	// KubeletURL is where kubelet listens, such as https://node-1:10250; it is
	// not asked if empty. Files name pods where containerd or CRI-O runs them;
	// kubelet also knows their labels. KubeletTokenFile has the token of a service
	// account, and KubeletCAFile the authority that signed kubelet's certificate,
	// by default one that the system trusts: if kubelet made its certificate
	// itself, that is in /var/lib/kubelet/pki/kubelet.crt.
	KubeletURL, KubeletTokenFile, KubeletCAFile string

	// Appeared is called as soon as the kernel shows a container or a pod, by one
	// goroutine; it must not wait. Nil for nobody.
	Appeared func(Container)

	Log *slog.Logger // default: none
}

// Watcher keeps up with the containers of this node while it runs. Its methods
// may be called at any time, from any goroutine, and wait for neither the
// kernel nor the engine.
type Watcher struct {
	registry *registry
	kernel   *kernel
	files    *files
	docker   *docker  // nil for none
	kubelet  *kubelet // nil for none
}

// Stats are counts since the start, unless they say now.
type Stats struct {
	Containers       int    // now
	LeftOut          int    // now: directories beyond the limits on number and depth
	InotifyFallbacks uint64 // times that inotify missed changes, and scans stood in for it
	Unreadable       uint64 // directories that exist and could not be listed
	EngineConnected  bool   // now
	EngineReconnects uint64 // connections to the engine after the first
	EngineFailures   uint64 // times that the engine could not be listened to, or not any more
	KubeletConnected bool   // now
	KubeletFailures  uint64 // times that kubelet did not answer as it should
	FilesRefused     uint64 // files of runtimes that are there and were too large, unreadable or no JSON
	LabelsCut        uint64 // texts and labels of containers that were too long or too many
	Dropped          uint64 // events, OOMs, exits and names for which there was no room
}

// New complains of a root without cgroups and of addresses that can be none. It
// starts nothing.
func New(opts Options) (*Watcher, error) {
	opts.CgroupRoot = cmp.Or(opts.CgroupRoot, "/sys/fs/cgroup")
	opts.RootFS = cmp.Or(opts.RootFS, "/")
	opts.DockerRoot = cmp.Or(opts.DockerRoot, "/var/lib/docker")
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	root, err := hierarchy(opts.CgroupRoot)
	if err != nil {
		return nil, err
	}
	w := &Watcher{registry: newRegistry()}
	w.registry.told = opts.Appeared
	w.kernel = newKernel(root, w.registry, opts.Log)
	w.files = newFiles(opts.RootFS, opts.DockerRoot, w.registry, opts.Log)
	if opts.DockerHost != "" {
		if w.docker, err = newDocker(opts.DockerHost, w.registry, opts.Log); err != nil {
			return nil, err
		}
	}
	if opts.KubeletURL != "" {
		if w.kubelet, err = newKubelet(opts, w.registry); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Run keeps up until ctx ends. An engine that is not there is no error.
func (w *Watcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.kernel.run(ctx) })
	g.Go(func() error { return w.files.run(ctx) })
	if w.docker != nil {
		g.Go(func() error { return w.docker.run(ctx) })
	}
	if w.kubelet != nil {
		g.Go(func() error { return w.kubelet.run(ctx) })
	}
	return g.Wait()
}

// Containers are those that exist now, and the pods around them, in the order of
// their cgroups, so that a pod comes before what is in it. The version grows with
// every change; as long as it stays, so does the slice, which belongs to all
// callers and must not be changed. A container that was restarted in between has
// the cgroup it had, but a new version.
func (w *Watcher) Containers() (version uint64, list []Container) {
	return w.registry.containers()
}

// TakeEvents returns what the engine told since it was last called. At most
// 1024 events wait to be taken.
func (w *Watcher) TakeEvents() []sample.Event { return w.registry.takeEvents() }

// OOMs returns a way to take the ids of containers in which, as the engine told
// since it was last called, the kernel killed for want of memory; an id may come
// more than once. Each who wants to know asks for a way of his own, and at most
// 1024 wait to be taken in it.
func (w *Watcher) OOMs() (take func() []string) { return w.registry.oomFeed() }

// TakeExits returns how containers ended, as the engine told since it was last
// called. At most 1024 wait to be taken. One whose labels pose as its exit code
// is not told.
func (w *Watcher) TakeExits() []Exit { return w.registry.takeExits() }

// Stats tells how discovery fares.
func (w *Watcher) Stats() Stats {
	_, list := w.registry.containers()
	dropped, cut := w.registry.stats()
	s := Stats{
		Containers:       len(list),
		LeftOut:          int(w.kernel.leftOut.Load()),
		InotifyFallbacks: w.kernel.fallbacks.Load(),
		Unreadable:       w.kernel.failures.Load(),
		FilesRefused:     w.files.refused.Load(),
		LabelsCut:        cut,
		Dropped:          dropped,
	}
	if w.docker != nil {
		s.EngineConnected = w.docker.connected.Load()
		s.EngineReconnects = w.docker.reconnects.Load()
		s.EngineFailures = w.docker.failures.Load()
	}
	if w.kubelet != nil {
		s.KubeletConnected = w.kubelet.connected.Load()
		s.KubeletFailures = w.kubelet.failures.Load()
	}
	return s
}

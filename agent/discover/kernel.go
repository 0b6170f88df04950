package discover

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// How often everything is looked at again whatever inotify says, and how often
// while inotify cannot say everything.
const (
	scanEvery      = 30 * time.Second
	scanEveryBlind = time.Second
)

// limits bound what one node can make the agent look at. A busy node has some
// hundred containers and as many parents.
type limits struct {
	containers int // and pods
	parents    int // directories that may have containers in them
	depth      int // of parents below the root
	entries    int // of one directory, files included
}

var defaultLimits = limits{containers: 10_000, parents: 4096, depth: 12, entries: 20_000}

// kernel follows the containers in one cgroup hierarchy. It watches parents
// only, one inotify watch each, and nothing of or below a container.
type kernel struct {
	root   string // of the hierarchy
	limits limits
	out    *registry
	log    *slog.Logger

	// What follows belongs to the goroutine of run.
	notify     *notifier // nil while none can be had
	unwatched  error     // why changes are missed; nil while none are
	parents    map[string]bool
	containers map[string]bool // and pods, which are parents too
	unread     []string        // directories that exist and could not be read in this scan

	fallbacks atomic.Uint64 // times that changes were or would have been missed
	failures  atomic.Uint64 // directories that exist and could not be read
	leftOut   atomic.Int64  // directories beyond the limits, since the last scan began
}

func newKernel(root string, out *registry, log *slog.Logger) *kernel {
	return &kernel{
		root: root, limits: defaultLimits, out: out, log: log,
		parents: map[string]bool{}, containers: map[string]bool{},
	}
}

// run follows the hierarchy until ctx ends.
func (k *kernel) run(ctx context.Context) error {
	defer k.close()
	k.scan()
	again := time.NewTimer(k.pause())
	defer again.Stop()
	for {
		was := k.unwatched
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			k.scan()
			again.Reset(k.pause())
		case changes, ok := <-k.changes():
			k.apply(changes)
			if !ok {
				k.close() // the next scan makes another
				k.unwatched = errors.New("inotify can no longer be read")
				k.tell(was)
			}
			if was == nil && k.unwatched != nil {
				again.Reset(k.pause())
			}
		}
	}
}

func (k *kernel) close() {
	if k.notify != nil {
		k.notify.Close()
		k.notify = nil
	}
}

// changes never has any where there is no notifier.
func (k *kernel) changes() <-chan []change {
	if k.notify == nil {
		return nil
	}
	return k.notify.changes
}

func (k *kernel) pause() time.Duration {
	if k.unwatched != nil {
		return scanEveryBlind
	}
	return scanEvery
}

// tell says when watching became impossible, or possible again.
func (k *kernel) tell(was error) {
	switch {
	case was == nil && k.unwatched != nil:
		k.fallbacks.Add(1)
		k.log.Warn("cannot watch all cgroups and looks at them each second; raise fs.inotify.max_user_watches and max_user_instances", "err", k.unwatched)
	case was != nil && k.unwatched == nil:
		k.log.Info("watches all cgroups again")
	}
}

// apply takes in what inotify says, in its order.
func (k *kernel) apply(changes []change) {
	if slices.ContainsFunc(changes, func(c change) bool { return c.mask&unix.IN_Q_OVERFLOW != 0 }) {
		k.fallbacks.Add(1)
		k.scan()
		return
	}
	defer k.tell(k.unwatched)
	for _, c := range changes {
		dir, ok := k.notify.paths[c.watch]
		if !ok || c.name == "" || c.mask&unix.IN_ISDIR == 0 {
			continue
		}
		if c.mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
			k.enter(k.found(dir, c.name))
		} else {
			k.gone(path.Join(dir, c.name))
		}
	}
}

// scan looks at the whole hierarchy and corrects what was missed.
func (k *kernel) scan() {
	defer k.tell(k.unwatched)
	k.unwatched = nil
	if k.notify == nil {
		n, err := newNotifier(k.root)
		if err != nil {
			k.unwatched = err
		} else {
			k.notify = n
		}
	}

	parents, containers := k.parents, k.containers
	k.parents, k.containers = make(map[string]bool, len(parents)), make(map[string]bool, len(containers))
	k.unread = k.unread[:0]
	k.leftOut.Store(0)
	k.enter([]string{"/"})

	for at := range containers {
		switch {
		case k.containers[at]:
		case k.hidden(at):
			k.containers[at] = true
		default:
			k.out.vanished(at)
		}
	}
	for dir := range parents {
		if !k.parents[dir] && k.notify != nil {
			k.notify.forget(dir)
		}
	}
}

// hidden tells whether a path is below a directory that could not be read: not
// to see it says nothing then.
func (k *kernel) hidden(at string) bool {
	return slices.ContainsFunc(k.unread, func(dir string) bool { return within(at, dir) })
}

// found takes in a directory and returns it if it is to be entered.
func (k *kernel) found(dir, name string) (enter []string) {
	kind, c := classify(dir, name)
	if kind == isContainer || kind == isPod {
		k.row(c)
	}
	if kind == isParent || kind == isPod {
		return []string{c.Cgroup}
	}
	return nil
}

// row takes in a container or a pod.
func (k *kernel) row(c Container) {
	if !k.containers[c.Cgroup] && len(k.containers) >= k.limits.containers {
		k.leftOut.Add(1)
		return
	}
	k.containers[c.Cgroup] = true
	k.out.appeared(c)
}

// gone forgets a directory and what is below it.
func (k *kernel) gone(at string) {
	if k.containers[at] {
		delete(k.containers, at)
		k.out.vanished(at)
	}
	if !k.parents[at] {
		return
	}
	for below := range k.containers {
		if within(below, at) {
			delete(k.containers, below)
			k.out.vanished(below)
		}
	}
	for below := range k.parents {
		if within(below, at) {
			delete(k.parents, below)
			k.notify.forget(below)
		}
	}
}

// enter takes in parents and all that is below them, the shallow first, so that
// a deep tree that exceeds the limits hides no sibling.
func (k *kernel) enter(queue []string) {
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if depth := strings.Count(dir, "/"); depth > k.limits.depth || len(k.parents) >= k.limits.parents && !k.parents[dir] {
			k.leftOut.Add(1)
			continue
		}
		k.parents[dir] = true
		for _, name := range k.read(dir) {
			below := k.found(dir, name)
			if len(queue)+len(below) > k.limits.parents {
				k.leftOut.Add(1)
				continue
			}
			queue = append(queue, below...)
		}
	}
}

// read watches a directory, then lists the directories in it, so that one made
// meanwhile is seen at least once.
func (k *kernel) read(dir string) (names []string) {
	if k.notify != nil {
		if err := k.notify.watch(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.unwatched = err
		}
	}
	entries, err := list(filepath.Join(k.root, dir), k.limits.entries)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && dir != "/":
		return nil // gone meanwhile
	default:
		k.failures.Add(1)
		k.unread = append(k.unread, dir)
		k.log.Debug("cannot list cgroups", "err", err)
	}
	if len(entries) == k.limits.entries {
		k.leftOut.Add(1)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// list is what a directory has, up to limit entries, in no order.
func list(dir string, limit int) ([]fs.DirEntry, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(limit)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

// within tells whether a path is dir or below it.
func within(at, dir string) bool {
	return at == dir || dir == "/" || strings.HasPrefix(at, dir+"/")
}

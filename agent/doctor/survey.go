package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// exam is what the checks share. They do not change it.
type exam struct {
	opts Options
	proc string // of the node, as the flags say
	root string // of the control groups

	err        error                // why there are no containers to look at
	containers []discover.Container // without the groups around pods
	stats      discover.Stats       // of the discovery that found them
	said       string               // by it
	byFiles    int                  // containers that are named without engine and kubelet
	own        string               // cgroup of the container that this is in; empty if in none
	members    []member             // of other containers, one each
	hidden     int                  // containers of which no process can be seen
}

// member is a process of a container.
type member struct {
	of  discover.Container
	pid int
}

// mostSampled bounds the containers into which checks look.
const mostSampled = 16

// sample are some of the containers.
func (e *exam) sample() []discover.Container {
	return e.containers[:min(len(e.containers), mostSampled)]
}

// survey finds the containers of the node as an agent does, in half of the time
// that a check may take.
func survey(ctx context.Context, opts Options) *exam {
	limit := opts.Limit / 2
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found := make(chan *exam, 1)
	go func() {
		e := newExam(opts)
		e.survey(ctx)
		found <- e
	}()
	select {
	case e := <-found:
		return e
	case <-time.After(limit + 2*time.Second): // discovery leaves a file that hangs after a second
		e := newExam(opts)
		e.err = fmt.Errorf("the look for containers does not end; see what hangs at %s or %s", e.root, cmp.Or(opts.Roots.Root, "/"))
		return e
	}
}

func newExam(opts Options) *exam {
	return &exam{
		opts: opts,
		proc: cmp.Or(opts.Roots.Proc, "/proc"),
		root: cmp.Or(opts.Discover.CgroupRoot, "/sys/fs/cgroup"),
	}
}

func (e *exam) survey(ctx context.Context) {
	var words testimony
	asking := e.opts.Discover
	asking.Log = words.logger()
	reading := e.opts.Discover
	reading.DockerHost, reading.KubeletURL, reading.Log = "", "", nil

	var running sync.WaitGroup
	var fromFiles []discover.Container
	running.Go(func() { _, fromFiles, _ = look(ctx, reading, settled(reading)) })
	var all []discover.Container
	e.stats, all, e.err = look(ctx, asking, settled(asking))
	running.Wait()
	e.said = words.all()
	for _, c := range fromFiles {
		if c.Kind != discover.Pod && c.Known {
			e.byFiles++
		}
	}
	e.containers = slices.DeleteFunc(slices.Clone(all), func(c discover.Container) bool { return c.Kind == discover.Pod })
	if e.err == nil {
		e.err = e.meet()
	}
}

// look runs discovery until that is enough, or ctx ends.
func look(ctx context.Context, opts discover.Options, enough func(*discover.Watcher) bool) (stats discover.Stats, list []discover.Container, err error) {
	w, err := discover.New(opts)
	if err != nil {
		return discover.Stats{}, nil, err
	}
	// It does not end with ctx, or it would have left the engine by the time that
	// it is asked whether it has one.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(running) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()

	began := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-again.C:
			if time.Since(began) < 300*time.Millisecond || !enough(w) {
				continue
			}
		}
		_, list = w.Containers()
		return w.Stats(), list, nil
	}
}

// settled tells whether nothing more is to be expected.
func settled(opts discover.Options) func(*discover.Watcher) bool {
	return func(w *discover.Watcher) bool {
		_, list := w.Containers()
		stats := w.Stats()
		return len(list) > 0 && !slices.ContainsFunc(list, func(c discover.Container) bool { return !c.Known }) &&
			(opts.DockerHost == "" || stats.EngineConnected) && (opts.KubeletURL == "" || stats.KubeletConnected)
	}
}

// meet finds a process of each container, and out in which this one is.
func (e *exam) meet() error {
	groups, err := cgroup.New(cgroup.Options{Root: e.root, Sysfs: e.opts.Roots.Sys})
	if err != nil {
		return err
	}
	defer groups.Close()
	if why := notRoot(e.root, groups.Mode()); why != "" {
		return fmt.Errorf("%s is not the root of the node's control groups but a container's own: %s", e.root, why)
	}
	for _, c := range e.containers {
		if len(e.members)+e.hidden >= mostSampled {
			break
		}
		const most = 64
		pids, err := groups.Processes(nil, c.Cgroup, most)
		switch {
		case errors.Is(err, cgroup.ErrGone):
		case slices.Contains(pids, os.Getpid()):
			e.own = c.Cgroup
		case err != nil || len(pids) == 0 && e.peopled(c.Cgroup):
			e.hidden++
		case len(pids) == 0: // it has none yet, or no more
		default:
			e.members = append(e.members, member{c, slices.Min(pids)})
		}
	}
	return nil
}

// peopled tells whether a group has processes: those of another pid namespace are
// listed as 0.
func (e *exam) peopled(group string) bool {
	for _, hierarchy := range []string{"", "pids", "cpuacct", "cpu,cpuacct", "memory"} {
		if contentOf(filepath.Join(e.root, hierarchy, group, "cgroup.procs")) != "" {
			return true
		}
	}
	return false
}

// nodesProc tells whether proc shows the processes of the node: only there are
// the kernel's own threads, of which the second process is the parent.
func (e *exam) nodesProc() bool {
	name, err := os.ReadFile(filepath.Join(e.proc, "2/comm"))
	if err == nil && strings.TrimSpace(string(name)) == "kthreadd" {
		return true
	}
	// The node may itself be a container, such as kind makes.
	return len(e.members) > 0 && e.hidden == 0 && e.sameProcesses()
}

// sameProcesses tells whether proc numbers processes as this process sees them.
// Seen from outside of its pid namespace it has several numbers.
func (e *exam) sameProcesses() bool {
	return len(strings.Fields(statusOf(filepath.Join(e.proc, "self"), "NSpid"))) == 1
}

// blind is what checks of containers find where exam.err is set. The first check
// tells why.
func blind() Finding { return missing("no container can be seen, see cgroup root", mountCgroup()) }

// unseen is why nothing can be said of what is inside of containers, and false
// if something can.
func (e *exam) unseen() (Finding, bool) {
	switch {
	case e.err != nil:
		return blind(), true
	case len(e.members) > 0:
		return Finding{}, false
	case e.hidden > 0:
		return missing(fmt.Sprintf("none of the processes of %d containers can be seen", e.hidden), hostPID()), true
	case !e.nodesProc() || !e.sameProcesses():
		return missing(e.proc+" does not show the node's processes", hostPID()), true
	}
	return off("there is no container to try it on"), true
}

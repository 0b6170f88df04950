package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent"
	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
)

func cgroupChecks() []check {
	return []check{
		{"cgroup", "root", "CPU, memory, I/O of all containers: container_*", cgroupRoot},
		{"cgroup", "controllers", "what the missing ones account for", cgroupControllers},
		{"cgroup", "files", "the series made of the files that are named", cgroupFiles},
	}
}

// cgroupRoot finds out whether the tree is there, and all of it.
func cgroupRoot(_ context.Context, e *exam) Finding {
	fs, err := cgroup.New(cgroup.Options{Root: e.root, Sysfs: e.opts.Roots.Sys})
	if err != nil {
		r := mountCgroup()
		r.node = "mount -t cgroup2 none /sys/fs/cgroup, where no control groups are mounted at all"
		return missing(err.Error(), r)
	}
	defer fs.Close()
	if e.err != nil {
		return missing(e.err.Error(), mountCgroup())
	}
	return ok(fs.Mode().String())
}

// notRoot tells by what a directory shows that it is not the root. The kernel has
// release_agent at the root of a hierarchy of version 1 only, and cgroup.events
// everywhere but at the root of version 2, whatever is mounted where.
func notRoot(root string, mode cgroup.Mode) string {
	if mode == cgroup.V2 {
		if there(root, "cgroup.events") {
			return "it has a cgroup.events"
		}
		return ""
	}
	for _, name := range v1Hierarchies(root) {
		if !there(root, name, "release_agent") {
			return name + " has no release_agent"
		}
	}
	if mode == cgroup.Hybrid && there(root, "unified/cgroup.events") {
		return "unified has a cgroup.events"
	}
	return ""
}

// v1Hierarchies are the directories of hierarchies that the agent reads.
func v1Hierarchies(root string) (names []string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		mine := slices.ContainsFunc(strings.Split(entry.Name(), ","), func(c string) bool { return slices.Contains(accounts, c) })
		if mine && there(root, entry.Name(), "cgroup.procs") {
			names = append(names, entry.Name())
		}
	}
	return names
}

func there(elements ...string) bool {
	_, err := os.Stat(filepath.Join(elements...))
	return err == nil
}

// accounts are the controllers that the agent reads, as version 1 calls them.
var accounts = []string{"cpu", "cpuacct", "memory", "pids", "blkio"}

// lossWithout is what each is for; those of version 2 too.
var lossWithout = map[string]string{
	"cpu":     "container_cpu_cfs_*, container_spec_cpu_*",
	"cpuacct": "container_cpu_usage_seconds_total",
	"memory":  "container_memory_*, OOM kills",
	"pids":    "container_threads, container_threads_max",
	"blkio":   "container_fs_reads_*, container_fs_writes_*",
	"io":      "container_fs_reads_*, container_fs_writes_*",
}

// cgroupControllers finds out which are on, and whether pressure is accounted to
// groups.
func cgroupControllers(_ context.Context, e *exam) Finding {
	fs, err := cgroup.New(cgroup.Options{Root: e.root, Sysfs: e.opts.Roots.Sys})
	if err != nil {
		return missing(err.Error(), mountCgroup())
	}
	defer fs.Close()
	have, want := controllersIn(e.root, fs.Mode())
	var lacking, losses []string
	for _, c := range want {
		if !slices.Contains(have, c) {
			lacking = append(lacking, c)
			losses = append(losses, lossWithout[c])
		}
	}
	if len(lacking) > 0 {
		r := mountCgroup()
		r.node = "or they are off in the kernel: boot with cgroup_enable=memory, without cgroup_disable=…; see /proc/cgroups"
		return limited("not at "+e.root+": "+list(lacking), r).costing(strings.Join(losses, "; "))
	}
	if fs.Mode() == cgroup.V1 {
		const loss = "container_pressure_*, bursts on pressure, CPU time of less than 10 ms"
		if strings.Contains("\n"+contentOf("/proc/self/cgroup"), "\n0::") {
			return limited("the kernel has groups of version 2 beside those of version 1, and "+e.root+" does not show them", mountCgroup()).costing(loss)
		}
		return limited("control groups of version 1 alone", remedy{
			node: "boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none /sys/fs/cgroup/unified",
		}).costing(loss)
	}
	return ok(list(want))
}

// controllersIn are those that are in a tree, and those that are to be, by the
// names that its version has for them.
func controllersIn(root string, mode cgroup.Mode) (have, want []string) {
	if mode == cgroup.V2 {
		return strings.Fields(contentOf(filepath.Join(root, "cgroup.controllers"))), []string{"cpu", "memory", "pids", "io"}
	}
	for _, name := range v1Hierarchies(root) {
		have = append(have, strings.Split(name, ",")...)
	}
	// Some may have been given to version 2.
	for _, c := range strings.Fields(contentOf(filepath.Join(root, "unified/cgroup.controllers"))) {
		have = append(have, map[string]string{"io": "blkio"}[c], c)
	}
	return have, accounts
}

func contentOf(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(data)
}

// since is which kernel brought files that are missing in older ones.
var since = map[string]string{
	"memory.peak": "5.19",
	"pids.peak":   "6.1",
}

// cgroupFiles has the agent's own source read containers.
func cgroupFiles(ctx context.Context, e *exam) Finding {
	switch {
	case e.err != nil:
		return blind()
	case len(e.containers) == 0:
		return off("there is no container to try it on")
	}
	some := e.sample()
	source, err := agent.CgroupSource(agent.CgroupOptions{
		Root: e.root, Roots: e.opts.Roots,
		Containers: func() (uint64, []discover.Container) { return 1, some },
	})
	if err != nil {
		return missing(err.Error(), mountCgroup())
	}
	r := rehearse(ctx, source, 3) // of which the second has them without their names, too
	if r.err != nil {
		rem := mountCgroup()
		if errors.Is(r.err, os.ErrPermission) {
			rem = asRoot()
		}
		return limited(r.err.Error(), rem)
	}
	var off, none []string // controllers; files
	for _, file := range r.absent {
		name := path.Base(file)
		controller, _, _ := strings.Cut(name, ".")
		switch {
		case strings.HasSuffix(name, ".pressure"): // which the check of bursts is about
		case e.disabled(some[0], controller):
			off = append(off, controller)
		case since[name] != "":
			none = append(none, fmt.Sprintf("%s (since Linux %s)", name, since[name]))
		default:
			none = append(none, name)
		}
	}
	if off = slices.Compact(off); len(off) > 0 {
		var losses []string
		for _, c := range off {
			losses = append(losses, lossWithout[c])
		}
		return limited("not accounted to containers: "+list(off), remedy{
			node: "turn the controllers on for the groups around containers: systemd does with Delegate=yes or DefaultMemoryAccounting=yes, by hand echo '+" +
				strings.Join(off, " +") + "' > …/cgroup.subtree_control from the root down",
		}).costing(strings.Join(losses, "; "))
	}
	detail := fmt.Sprintf("%d files read of %d containers", len(r.there), len(some))
	if len(none) > 0 {
		detail += ", this kernel has no " + list(none)
	}
	return ok(detail)
}

// disabled tells whether a controller of version 2 exists and does not account to
// a container.
func (e *exam) disabled(c discover.Container, controller string) bool {
	all := strings.Fields(contentOf(filepath.Join(e.root, "cgroup.controllers")))
	own := strings.Fields(contentOf(filepath.Join(e.root, c.Cgroup, "cgroup.controllers")))
	return slices.Contains(all, controller) && !slices.Contains(own, controller)
}

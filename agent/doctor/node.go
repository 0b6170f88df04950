package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/textfile"
)

func nodeChecks() []check {
	return []check{
		{"node", "proc", "CPU, memory, network and disks of the node: node_*", proc},
		{"node", "files", "the series of node_* made of the files that are named", nodeFiles},
		{"node", "pressure", "node_pressure_*, plimsoll's reaction to it", nodePressure},
		{"host", "sys", "node_network_up, _speed_bytes and the like, node_disk_info, node_hwmon_*, cpufreq", sysfs},
		{"host", "rootfs", "node_filesystem_*, node_os_info, machine_id; container_fs_usage_bytes", rootfs},
		{"host", "files", "the series of node_* made of the files that are named", hostFiles},
		{"host", "clock", "samples are stamped by a clock that may be wrong", clock},
		{"host", "textfile", "metrics of *.prom files", textfiles},
	}
}

// proc finds out whether proc is the node's own.
func proc(_ context.Context, e *exam) Finding {
	var at unix.Statfs_t
	if err := unix.Statfs(e.proc, &at); err != nil {
		return missing(fmt.Sprintf("%s: %v", e.proc, err), remedy{agent: "--path.procfs=/proc"})
	}
	if at.Type != unix.PROC_SUPER_MAGIC {
		return missing(e.proc+" is no proc file system", remedy{agent: "--path.procfs=/proc"})
	}
	if hidden := statusOf(filepath.Join(e.proc, "1"), "Name") == ""; hidden {
		return limited(e.proc+" does not show other users' processes", remedy{
			docker: "--user 0",
			kube:   "runAsUser: 0",
			unit:   "SupplementaryGroups= the group in the option gid= of the mount of /proc, or User=root",
			node:   "mount /proc without hidepid",
		})
	}
	if !e.nodesProc() {
		r := hostPID()
		r.node = "or, for node_* alone: docker run -v /proc:/host/proc:ro, plimsoll agent --path.procfs=/host/proc"
		return limited(e.proc+" is a container's own: its network and mounts are not the node's", r).
			costing("node_network_*, node_netstat_*, node_filesystem_* tell of the agent's container instead of the node")
	}
	// lxcfs mounts files of its own over some of the kernel's.
	for _, name := range []string{"meminfo", "stat", "loadavg"} {
		var of unix.Statfs_t
		if err := unix.Statfs(filepath.Join(e.proc, name), &of); err == nil && of.Type != unix.PROC_SUPER_MAGIC {
			return limited(filepath.Join(e.proc, name)+" is not the kernel's, as with lxcfs", remedy{
				docker: "-v /proc:/host/proc:ro",
				agent:  "--path.procfs=/host/proc",
				node:   "run the agent on the machine itself and not in one of its system containers",
			}).costing("node_memory_*, node_cpu_*, node_load* tell of a part of the machine")
		}
	}
	return ok(e.proc + ", Linux " + release())
}

func release() string {
	var name node.Uname
	if node.ReadUname(&name) != nil {
		return "of unknown version"
	}
	return name.Release
}

// always are files that every kernel has. Others come and go with its
// configuration, with hardware and with modules.
var always = []string{
	"proc/stat", "proc/loadavg", "proc/meminfo", "proc/vmstat", "proc/net/dev", "proc/1/mountinfo", "proc/sys/fs/file-nr", "adjtimex",
}

func nodeFiles(ctx context.Context, e *exam) Finding {
	return sourceFiles(rehearse(ctx, agent.NodeSource(agent.NodeOptions{Roots: e.opts.Roots}), 2))
}

func hostFiles(ctx context.Context, e *exam) Finding {
	return sourceFiles(rehearse(ctx, agent.HostSource(agent.HostOptions{Roots: e.opts.Roots}), 7)) // what may block has three seconds
}

func sourceFiles(r rehearsal) Finding {
	var none, broken []string
	for _, file := range r.absent {
		switch {
		case slices.Contains(always, file):
			broken = append(broken, file)
		case strings.HasPrefix(file, "proc/pressure/"): // which has a check of its own
		default:
			none = append(none, file)
		}
	}
	switch {
	case errors.Is(r.err, fs.ErrPermission):
		return limited(r.err.Error(), asRoot())
	case r.err != nil:
		return limited(r.err.Error(), remedy{node: "see what is the matter with what is named; the rest is read"})
	case len(r.waiting) > 0:
		return limited("no answer within seconds: "+list(r.waiting), remedy{node: "find out what hangs: a mount whose server is away (see the check of rootfs), or hardware; dmesg may tell"})
	case len(broken) > 0:
		return missing("not there: "+list(broken), remedy{docker: "-v /proc:/host/proc:ro", agent: "--path.procfs=/host/proc"})
	}
	detail := fmt.Sprintf("%d read", len(r.there))
	if len(none) > 0 {
		detail += ", this machine has no " + list(none)
	}
	return ok(detail)
}

// nodePressure reads what the kernel accounts to the whole machine.
func nodePressure(_ context.Context, e *exam) Finding {
	r := node.New(e.opts.Roots)
	defer r.Close()
	for _, resource := range []node.Resource{node.CPUPressure, node.MemoryPressure, node.IOPressure} {
		_, err := r.Pressure(resource)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return missing("the kernel was told not to account pressure", withPressure())
		case errors.Is(err, fs.ErrNotExist):
			return missing("the kernel cannot account pressure", remedy{node: "Linux 4.20 or later with CONFIG_PSI=y"})
		case err != nil:
			return missing(err.Error(), asRoot())
		}
	}
	return ok("cpu, memory, io")
}

func withPressure() remedy {
	return remedy{node: "boot with psi=1: in /etc/default/grub GRUB_CMDLINE_LINUX, then update-grub"}
}

// sysfs finds out whether sys is the node's own. A mount of it shows the network
// in which it was made.
func sysfs(_ context.Context, e *exam) Finding {
	sys := cmp.Or(e.opts.Roots.Sys, "/sys")
	var at unix.Statfs_t
	if err := unix.Statfs(sys, &at); err != nil {
		return missing(fmt.Sprintf("%s: %v", sys, err), mountSys())
	}
	if at.Type != unix.SYSFS_MAGIC {
		return missing(sys+" is no sys file system", mountSys())
	}
	names := map[string]bool{}
	for line := range strings.Lines(contentOf(filepath.Join(e.proc, "1/net/dev"))) {
		if name, _, found := strings.Cut(line, ":"); found {
			names[strings.TrimSpace(name)] = true
		}
	}
	var differ []string
	shown, err := os.ReadDir(filepath.Join(sys, "class/net"))
	for _, entry := range shown {
		if !names[entry.Name()] && entry.Name() != "bonding_masters" {
			differ = append(differ, entry.Name())
		}
		delete(names, entry.Name())
	}
	for name := range names {
		differ = append(differ, name)
	}
	slices.Sort(differ)
	switch {
	case err != nil:
		return limited(err.Error(), mountSys())
	case len(differ) > 0 && e.nodesProc():
		return limited(fmt.Sprintf("%s shows another network than that of the node's first process, by %s", sys, list(differ)), mountSys()).
			costing("node_network_up, _speed_bytes and the like tell of the agent's container instead of the node")
	case len(differ) > 0: // then it is proc that is wrong
		return ok(sys + ", whose network cannot be compared")
	}
	return ok(sys)
}

// rootfs finds out whether root is the root of the node, and all of it answers.
func rootfs(ctx context.Context, e *exam) Finding {
	if err := e.notNodesRoot(); err != nil {
		return missing(err.Error(), e.mountRoot())
	}
	mounts, err := e.opts.Roots.Mounts()
	if err != nil {
		return missing(err.Error(), e.mountRoot())
	}
	if stuck := unanswered(ctx, mounts); len(stuck) > 0 {
		return limited("does not answer: "+list(stuck), remedy{node: "bring the server of that mount back, or umount --force --lazy it"}).
			costing("node_filesystem_* of these")
	}
	return ok(fmt.Sprintf("%s, %d mounts", e.rootfs(), len(mounts)))
}

// notNodesRoot says why root is not that of the node, nil if it is.
func (e *exam) notNodesRoot() error {
	root := e.rootfs()
	if _, err := node.Statfs(root); err != nil {
		return err
	}
	// Of one who is in a pid namespace of his own only a mount can be the node's.
	if !e.nodesProc() {
		if root == "/" {
			return errors.New("/ is the root of the agent's container")
		}
		return nil
	}
	own, theirs := mountAt("/proc/self/mountinfo", root), mountAt(filepath.Join(e.proc, "1/mountinfo"), "/")
	if own.device == "" || own.device != theirs.device {
		return fmt.Errorf("%s is not the root of the node, which is on device %s", root, theirs.device)
	}
	return nil
}

func (e *exam) rootfs() string { return filepath.Clean(cmp.Or(e.opts.Roots.Root, "/")) }

// unanswered are mounts that do not say how full they are within two seconds.
func unanswered(ctx context.Context, mounts []node.Mount) (points []string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	const most = 512
	asked := make([]chan struct{}, min(len(mounts), most))
	for i := range asked {
		asked[i] = make(chan struct{})
		go func() {
			defer close(asked[i])
			if mounts[i].FSType != "autofs" { // which would mount something
				_, _ = node.Statfs(mounts[i].Path)
			}
		}()
	}
	for i := range asked {
		select {
		case <-asked[i]:
			continue
		case <-ctx.Done():
		}
		select {
		case <-asked[i]:
		default:
			points = append(points, mounts[i].MountPoint)
		}
	}
	return points
}

// mounted is what is mounted somewhere.
type mounted struct {
	device string // major:minor; empty if nothing is
	shared bool   // it tells its copies of what is mounted below
}

// mountAt is what is mounted last at a place, by lines such as
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 - ext3 /dev/root rw,errors=continue
func mountAt(mountinfo, place string) (m mounted) {
	for line := range strings.Lines(contentOf(mountinfo)) {
		if f := strings.Fields(line); len(f) > 6 && f[4] == place {
			m = mounted{f[2], strings.HasPrefix(f[6], "shared:")}
		}
	}
	return m
}

// clock asks the kernel whether anybody keeps the clock right.
func clock(context.Context, *exam) Finding {
	t, err := node.ReadTimex()
	switch {
	case errors.Is(err, syscall.EPERM):
		return limited(err.Error(), remedy{docker: "--security-opt seccomp=unconfined", kube: "seccompProfile: {type: Unconfined}"}).costing("node_timex_*")
	case err != nil:
		return limited(err.Error(), remedy{node: "see why adjtimex(2) is refused"}).costing("node_timex_*")
	case !t.Synchronized:
		return limited(fmt.Sprintf("the clock is not synchronized, it may be off by %.3g s", t.MaxError), remedy{
			node: "run chrony, systemd-timesyncd or ntpd; a virtual machine may have its clock kept by the host unknown to the kernel",
		})
	}
	return ok(fmt.Sprintf("synchronized, off by at most %.3g s", t.MaxError))
}

// textfiles reads the directory as the agent does.
func textfiles(_ context.Context, e *exam) Finding {
	dir := e.opts.TextfileDir
	if dir == "" {
		return off("--textfile.directory is empty")
	}
	read, err := textfile.Read(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(err.Error(), remedy{
			docker: fmt.Sprintf("-v %s:%s:ro", dir, dir),
			kube:   fmt.Sprintf("hostPath %s at the same place, readOnly: true", dir),
			node:   "or make the directory",
		})
	case errors.Is(err, fs.ErrPermission):
		return limited(err.Error(), asRoot())
	case err != nil:
		return limited(err.Error(), remedy{node: "correct the files that are named; a job writes to a temporary file and renames it"})
	case read.LeftOut > 0:
		return limited(fmt.Sprintf("%d series are beyond the limits", read.LeftOut), remedy{node: fmt.Sprintf("at most %d series, in at most %d files", textfile.MaxSeries, textfile.MaxFiles)})
	}
	return ok(fmt.Sprintf("%s, %d files", dir, len(read.Files)))
}

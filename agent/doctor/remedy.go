package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// remedy says what to do, for each way to deploy an agent.
type remedy struct {
	docker string // flags of docker run
	agent  string // flags of plimsoll agent
	kube   string // fields of a pod
	unit   string // directives of a systemd unit
	node   string // what to do on the node
}

// String is a line for each.
func (r remedy) String() string {
	var lines []string
	for _, line := range []struct{ lead, text string }{
		{"docker run ", r.docker}, {"plimsoll agent ", r.agent}, {"Kubernetes: ", r.kube}, {"systemd: ", r.unit}, {"node: ", r.node},
	} {
		if line.text != "" {
			lines = append(lines, line.lead+line.text)
		}
	}
	return strings.Join(lines, "\n")
}

// The mounts share one layout, so that they can be given together, and that one
// mount of the node's root at /host is as good as all of them.

func hostPID() remedy {
	return remedy{docker: "--pid=host", kube: "hostPID: true"}
}

// mountCgroup is writable, for whoever wants to be told of pressure writes what
// to be told of.
func mountCgroup() remedy {
	return remedy{
		docker: "-v /sys/fs/cgroup:/host/sys/fs/cgroup",
		agent:  "--path.cgroup=/host/sys/fs/cgroup",
		kube:   "hostPath /sys/fs/cgroup at /host/sys/fs/cgroup, not readOnly as pressure triggers are written to it",
	}
}

func mountSys() remedy {
	return remedy{
		docker: "-v /sys:/host/sys:ro",
		agent:  "--path.sysfs=/host/sys",
		kube:   "hostPath /sys at /host/sys, readOnly: true",
	}
}

// mountRoot also shows what is mounted later, where the node's root can tell of
// that: systemd makes it shared, other inits do not.
func (e *exam) mountRoot() remedy {
	r := remedy{
		docker: "-v /:/host:ro,rslave",
		agent:  "--path.rootfs=/host",
		kube:   "hostPath / at /host, readOnly: true, mountPropagation: HostToContainer",
	}
	if root := mountAt(filepath.Join(e.proc, "1/mountinfo"), "/"); e.nodesProc() && !root.shared {
		r.docker = "-v /:/host:ro"
	}
	return r
}

func mountData() remedy {
	return remedy{
		docker: "-v plimsoll:/data",
		agent:  "--data.path=/data",
		kube:   "hostPath /var/lib/plimsoll, type: DirectoryOrCreate, at /data",
		unit:   "StateDirectory=plimsoll, with --data.path=/var/lib/plimsoll",
	}
}

// capability brings a capability to this process, or says what withholds its
// effect.
func capability(name string) remedy {
	switch {
	case !initialNamespace("user"):
		return remedy{
			docker: "--userns=host --user 0 --cap-add " + name,
			kube:   fmt.Sprintf("hostUsers: true, runAsUser: 0, capabilities: {add: [%s]}", name),
			node:   "a user namespace gives capabilities over itself only: run the agent outside of it",
		}
	case effective(name):
		return remedy{
			docker: "--security-opt apparmor=unconfined --security-opt seccomp=unconfined",
			kube:   "appArmorProfile: {type: Unconfined}, seccompProfile: {type: Unconfined}",
			node:   fmt.Sprintf("CAP_%s is there, so it is AppArmor, SELinux, seccomp or the kernel's configuration that refuses; dmesg tells of denials", name),
		}
	case os.Geteuid() != 0:
		return remedy{
			docker: "--user 0 --cap-add " + name,
			kube:   fmt.Sprintf("runAsUser: 0, capabilities: {add: [%s]}", name),
			unit:   "AmbientCapabilities=CAP_" + name,
		}
	}
	return remedy{
		docker: "--cap-add " + name,
		kube:   fmt.Sprintf("capabilities: {add: [%s]}", name),
		unit:   fmt.Sprintf("AmbientCapabilities=CAP_%s, and in CapabilityBoundingSet= if that is set", name),
	}
}

// asRoot is for files that only their owner may open.
func asRoot() remedy {
	if os.Geteuid() != 0 {
		return remedy{docker: "--user 0", kube: "runAsUser: 0", unit: "User=root, or AmbientCapabilities=CAP_DAC_READ_SEARCH"}
	}
	return capability("DAC_READ_SEARCH")
}

// numbers of capabilities, see capabilities(7).
var numbers = map[string]uint{"DAC_READ_SEARCH": 2, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_NICE": 23, "SYS_RESOURCE": 24}

// effective tells whether this process has a capability.
func effective(name string) bool {
	mask, err := strconv.ParseUint(statusOf("/proc/self", "CapEff"), 16, 64)
	return err == nil && mask&(1<<numbers[name]) != 0
}

// statusOf is a field of a process' status file:
//
//	CapEff:	000001ffffffffff
func statusOf(process, field string) string {
	data, err := os.ReadFile(process + "/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// initial are the namespaces that the machine starts with; their numbers are part
// of the kernel's interface (include/linux/proc_ns.h).
var initial = []string{"cgroup:[4026531835]", "pid:[4026531836]", "user:[4026531837]"}

func initialNamespace(kind string) bool {
	link, err := os.Readlink("/proc/self/ns/" + kind)
	return err != nil || slices.Contains(initial, link) // an old kernel has no such namespaces
}

package discover

import (
	"cmp"
	"path"
	"strings"
	"unicode/utf8"
)

// kind is what a cgroup is to discovery.
type kind uint8

const (
	isParent    kind = iota // no container, but may have some below
	isPod                   // a parent that has a row of its own
	isContainer             // nothing below it is looked at
	isLeaf                  // neither
)

// prefixes name the runtime of a container whose cgroup is <prefix>-<id>, or
// <prefix>-<id>.scope under systemd. What only watches over a container, such
// as crio-conmon-<id>, is deliberately not among them.
var prefixes = map[string]string{
	"docker":         "docker",
	"cri-containerd": "containerd",
	"nerdctl":        "containerd",
	"crio":           "crio",
	"libpod":         "podman",
	"libpod-payload": "podman", // in the group of a service, --cgroups=split
}

// units are the suffixes of systemd units that have no cgroups below.
var units = []string{".scope", ".mount", ".automount", ".swap", ".socket", ".device"}

// Owner is the container that a cgroup belongs to, itself or by one of its
// parents, with Cgroup, Runtime and ID as far as the path tells. Of nested
// containers the outermost owns all, as only its path was made by the runtime
// of the node.
func Owner(cgroup string) (Container, bool) {
	below, ok := strings.CutPrefix(cgroup, "/")
	if !ok {
		return Container{}, false
	}
	dir := "/"
	for name := range strings.SplitSeq(below, "/") {
		k, c := classify(dir, name)
		if k != isParent && k != isPod {
			return c, k == isContainer
		}
		dir = c.Cgroup
	}
	return Container{}, false
}

// classify tells what the cgroup name in dir is, given that nothing on the way
// to dir is a container. The layouts it knows, where <id> is 64 hexadecimal
// digits and the test names who makes them:
//
//	/docker/<id>, /ecs/<task>/<id>, /ecs/<task>/<task>-<n>  Docker, cgroupfs
//	/system.slice/docker-<id>.scope                         Docker, systemd
//	/docker/buildkit/<word>, …/docker-<word>.scope          a build step
//	…/kubepods/burstable/pod<uid>                           a pod, cgroupfs
//	…/kubepods-burstable-pod<u_i_d>.slice                   a pod, systemd
//	<pod>/<id>, <pod>/crio-<id>                             Kubernetes, cgroupfs
//	<pod>/cri-containerd-<id>.scope                         Kubernetes, systemd
//	…/<pod>.slice:cri-containerd:<id>                       systemd's names, made by cgroupfs
//	/machine.slice/libpod-<id>.scope                        Podman
//	…/web.service/libpod-payload-<id>                       Podman, split
//	/<namespace>/<id>, or any --cgroup-parent               nerdctl, containerd, Docker
//	/lxc.payload.<name>, /lxc/<name>                        LXC
//	/machine.slice/systemd-nspawn@<name>.service            systemd-nspawn
//	/mesos/<uuid>                                           Mesos
//	…/garden/<handle>, …/garden/good/<handle>               Garden
func classify(dir, name string) (kind, Container) {
	if !plain(name) {
		return isLeaf, Container{}
	}
	c := Container{Cgroup: path.Join(dir, name)}
	if c.Runtime, c.ID = byName(name); c.ID == "" {
		c.Runtime, c.ID = byPlace(dir, name)
	}
	if c.ID != "" {
		c.PodUID = podAround(c.Cgroup)
		return isContainer, c
	}
	if uid := pod(dir, name); uid != "" {
		c.Kind, c.PodUID = Pod, uid
		return isPod, c
	}
	if childless(name) {
		return isLeaf, Container{}
	}
	return isParent, c
}

// byName tells a container by a name that says all.
func byName(name string) (runtime, id string) {
	if _, rest, ok := strings.Cut(name, ".slice:"); ok {
		prefix, id, _ := strings.Cut(rest, ":")
		return prefixed(prefix, id)
	}
	stem := strings.TrimSuffix(name, ".scope")
	i := strings.LastIndexByte(stem, '-')
	if i < 0 || stem == name && !isHash(stem[i+1:]) {
		return "", "" // a build step is told by the scope only
	}
	return prefixed(stem[:i], stem[i+1:])
}

func prefixed(prefix, id string) (string, string) {
	runtime, ok := prefixes[prefix]
	switch {
	case ok && isHash(id):
		return runtime, id
	case prefix == "docker" && isBuildStep(id):
		return "buildkit", id
	}
	return "", ""
}

// podAround is the pod that a container's path names.
func podAround(cgroup string) (uid string) {
	dir := "/"
	for name := range strings.SplitSeq(cgroup[1:], "/") {
		slice, _, odd := strings.Cut(name, ".slice:")
		if odd {
			name = slice + ".slice"
		}
		uid = cmp.Or(pod(dir, name), uid)
		dir = path.Join(dir, name)
	}
	return uid
}

// pod is the uid of the pod whose group name in dir is, empty if it is of none:
// "pod<uid>" somewhere below kubepods, or "kubepods-burstable-pod<u_i_d>.slice",
// to which a kubelet with a cgroup root of its own adds that in front.
func pod(dir, name string) (uid string) {
	if stem, ok := strings.CutSuffix(name, ".slice"); ok {
		i := strings.LastIndex(stem, "-pod")
		if i < 0 {
			return ""
		}
		qos := strings.TrimSuffix(strings.TrimSuffix(stem[:i], "-besteffort"), "-burstable")
		if uid = strings.ReplaceAll(stem[i+len("-pod"):], "_", "-"); isPodUID(uid) && (qos == "kubepods" || strings.HasSuffix(qos, "-kubepods")) {
			return uid
		}
		return ""
	}
	if uid, ok := strings.CutPrefix(name, "pod"); ok && isPodUID(uid) && strings.Contains(dir+"/", "/kubepods/") {
		return uid
	}
	return ""
}

// byPlace tells a container by where it is.
func byPlace(dir, name string) (runtime, id string) {
	if dir == "/" {
		if id, ok := strings.CutPrefix(name, "lxc.payload."); ok {
			return "lxc", id
		}
	}
	base := path.Base(dir)
	switch {
	case dir == "/lxc", dir == "/lxc.payload":
		return "lxc", name
	case dir == "/machine.slice":
		if id, ok := strings.CutPrefix(name, "systemd-nspawn@"); ok {
			return "nspawn", strings.TrimSuffix(id, ".service")
		}
	case base == "mesos" && isUUID(name):
		return "mesos", name
	case base == "buildkit":
		return "buildkit", name
	case isHandle(name) && (base == "garden" || path.Base(path.Dir(dir)) == "garden"):
		return "garden", name
	case base == "libpod_parent":
		return "", "" // <id> is a pod here, and has libpod-<id> below
	case strings.HasPrefix(dir, "/ecs/") && (isHash(name) || isTaskContainer(name)), base == "docker" && isHash(name):
		return "docker", name
	}
	if isHash(name) {
		return "", name
	}
	return "", ""
}

// childless tells names that have no containers below: units of systemd
// that end there, and what watches over a container.
func childless(name string) bool {
	for _, suffix := range units {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	i := strings.LastIndexByte(name, '-')
	return i > 0 && isHash(name[i+1:]) || strings.HasPrefix(name, "lxc.monitor")
}

// plain tells names fit to be shown. The kernel takes all but a newline, and
// the path of a cgroup becomes a label.
func plain(name string) bool {
	if name == "" || name == "." || name == ".." || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func isHash(s string) bool { return len(s) == 64 && isHex(s) }

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		isHex(strings.ReplaceAll(s, "-", ""))
}

// isPodUID tells the uid of a pod; that of a static pod is a hash of its manifest.
func isPodUID(s string) bool { return isUUID(s) || len(s) == 32 && isHex(s) }

// isHandle tells Garden's names of containers: a UUID, the last group of which
// is cut to four digits in an application's.
func isHandle(s string) bool {
	return isUUID(s) || len(s) == 28 && isUUID(s+"00000000")
}

// isTaskContainer tells <task>-<n>, 32 hexadecimal digits and a number.
func isTaskContainer(s string) bool {
	task, n, ok := strings.Cut(s, "-")
	return ok && len(task) == 32 && isHex(task) && n != "" && strings.Trim(n, "0123456789") == ""
}

// isBuildStep tells the names that BuildKit gives, 25 digits of base 36.
func isBuildStep(s string) bool {
	return len(s) == 25 && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

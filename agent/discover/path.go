package discover

import (
	"path"
	"strings"
	"unicode/utf8"
)

// kind is what a cgroup is to discovery.
type kind uint8

const (
	isParent    kind = iota // no container, but may have some below
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
		if k != isParent {
			return c, k == isContainer
		}
		dir = c.Cgroup
	}
	return Container{}, false
}

// classify tells what the cgroup name in dir is, given that nothing on the way
// to dir is a container. The layouts it knows, where <id> is 64 hexadecimal
// digits:
//
//	/docker/<id>, /ecs/<task>/<id>                        Docker, cgroupfs
//	/system.slice/docker-<id>.scope                       Docker, systemd
//	/docker/buildkit/<word>                               a build step
//	/kubepods/burstable/pod<uid>/<id>, …/crio-<id>        Kubernetes, cgroupfs
//	/kubepods.slice/…/cri-containerd-<id>.scope           Kubernetes, systemd
//	…/kubepods-pod<uid>.slice:cri-containerd:<id>         systemd's names, made by cgroupfs
//	/machine.slice/libpod-<id>.scope                      Podman
//	/<namespace>/<id>, or any --cgroup-parent             nerdctl, Docker
//	/lxc.payload.<name>, /lxc/<name>                      LXC
//	/mesos/<uuid>                                         Mesos
func classify(dir, name string) (kind, Container) {
	if !plain(name) {
		return isLeaf, Container{}
	}
	c := Container{Cgroup: path.Join(dir, name)}
	if c.Runtime, c.ID = byName(name); c.ID == "" {
		c.Runtime, c.ID = byPlace(dir, name)
	}
	switch {
	case c.ID != "":
		return isContainer, c
	case childless(name):
		return isLeaf, Container{}
	}
	return isParent, c
}

// byName tells a container by a name that says all.
func byName(name string) (runtime, id string) {
	if _, rest, ok := strings.Cut(name, ".slice:"); ok {
		prefix, id, _ := strings.Cut(rest, ":")
		if runtime, ok := prefixes[prefix]; ok && isHash(id) {
			return runtime, id
		}
		return "", ""
	}
	stem := strings.TrimSuffix(name, ".scope")
	if i := strings.LastIndexByte(stem, '-'); i > 0 && isHash(stem[i+1:]) {
		if runtime, ok := prefixes[stem[:i]]; ok {
			return runtime, stem[i+1:]
		}
	}
	return "", ""
}

// byPlace tells a container by where it is.
func byPlace(dir, name string) (runtime, id string) {
	if dir == "/" {
		if id, ok := strings.CutPrefix(name, "lxc.payload."); ok {
			return "lxc", id
		}
	}
	switch base := path.Base(dir); {
	case dir == "/lxc", dir == "/lxc.payload":
		return "lxc", name
	case base == "mesos" && isUUID(name):
		return "mesos", name
	case base == "buildkit":
		return "buildkit", name
	case base == "libpod_parent":
		return "", "" // <id> is a pod here, and has libpod-<id> below
	case !isHash(name):
		return "", ""
	case base == "docker", strings.HasPrefix(dir, "/ecs/"):
		return "docker", name
	}
	return "", name
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

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

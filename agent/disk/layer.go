package disk

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// ErrNoLayer says that a process has no upper directory that can be known for
// sure: its root is no overlay, as with the drivers vfs, btrfs, zfs and
// devicemapper; or one that is only read; or one that the node does not have
// mounted, as that of an engine in a container or of a user without privileges,
// whose names mean something else to the node.
var ErrNoLayer = errors.New("no writable layer that the node knows")

// Layers finds the writable layers of containers. Several goroutines may use it.
//
// The options of a container's root mount name its upper directory, in words of
// who mounted it. They are only believed if the node's first process sees a mount
// of the same file system: whoever may mount an overlay in a namespace of his own
// may call its upper directory by the name of any other.
type Layers struct {
	proc string

	mu       sync.Mutex
	overlays map[overlay]string // of the node: their upper directories
	devices  map[string]string  // of the node: what is mounted, by major:minor
	points   map[string]string  // of the node: what is mounted, by mount point, where that is no block device
}

// overlay tells an overlay from others. The number of its device is soon used
// again for another.
type overlay struct{ device, upper string }

// NewLayers takes the proc directory of the node, "/proc" if empty.
func NewLayers(proc string) *Layers { return &Layers{proc: cmp.Or(proc, "/proc")} }

// Of is the upper directory of a process' root, a path in the node's tree. The
// error wraps ErrNoLayer, or fs.ErrNotExist if the process is gone.
func (l *Layers) Of(pid int) (string, error) {
	var root overlay
	var kind string
	err := mounts(l.mountinfo(pid), func(m *mount) {
		if string(m.point) == "/" { // a later one hides it
			root, kind = overlay{string(m.device), m.upper()}, string(m.fsType)
		}
	})
	if err != nil {
		return "", err
	}
	if kind != "overlay" || root.upper == "" {
		return "", fmt.Errorf("the root of process %d is of type %q, its upper directory %q: %w", pid, kind, root.upper, ErrNoLayer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if dir, known := l.overlays[root]; known {
		return dir, nil
	}
	if err := l.read(); err != nil {
		return "", err
	}
	dir, known := l.overlays[root]
	if !known {
		return "", fmt.Errorf("the root of process %d is overlay %s, which process 1 does not see: %w", pid, root.device, ErrNoLayer)
	}
	return dir, nil
}

func (l *Layers) mountinfo(pid int) string {
	return filepath.Join(l.proc, strconv.Itoa(pid), "mountinfo")
}

// read takes in the mounts of the node.
func (l *Layers) read() error {
	overlays, devices, points := make(map[overlay]string), make(map[string]string), make(map[string]string)
	err := mounts(l.mountinfo(1), func(m *mount) {
		number, point := string(m.device), unescape(m.point)
		switch {
		case string(m.fsType) == "overlay":
			upper := m.upper()
			if dir := absolute(upper, point); dir != "" {
				overlays[overlay{number, upper}] = dir
			}
		case !strings.HasPrefix(number, "0:"):
			devices[number] = unescape(m.source)
		default:
			points[point] = unescape(m.source)
		}
	})
	if err != nil {
		return err
	}
	l.overlays, l.devices, l.points = overlays, devices, points
	return nil
}

// absolute is the path of an upper directory in the node's tree, empty if it
// cannot be told. Engines with many layers go to their own directory first, and
// mount by names relative to that:
//
//	upperdir=7f3a/diff on /var/lib/docker/overlay2/7f3a/merged
//
// The node's own root, where that is an overlay, is no container's.
func absolute(upper, point string) string {
	if upper == "" || point == "/" {
		return ""
	}
	if path.IsAbs(upper) {
		return path.Clean(upper)
	}
	first, _, _ := strings.Cut(upper, "/")
	home, _, found := strings.Cut(point, "/"+first+"/")
	if !found || first == "." || first == ".." {
		return ""
	}
	return path.Join("/", home, upper)
}

// Device is what is mounted where a directory of the node's tree is, by the number
// of its device: "/dev/sda1" or, where the file system has no device, a word such
// as "tmpfs". It is empty if that cannot be told. It knows the mounts as of the
// last time that Of met a new one.
func (l *Layers) Device(of Backing, dir string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of.Major != 0 {
		return l.devices[fmt.Sprintf("%d:%d", of.Major, of.Minor)]
	}
	// A directory of btrfs has another number than its mount has.
	for ; ; dir = path.Dir(dir) {
		if source, found := l.points[dir]; found || dir == "/" {
			return source
		}
	}
}

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Mode is which versions of control groups a tree has.
type Mode uint8

// The modes of a tree.
const (
	V1     Mode = iota + 1 // a hierarchy for each controller or few
	V2                     // one hierarchy for all
	Hybrid                 // as V1, and a version 2 hierarchy below unified/
)

// String is the mode's name in logs.
func (m Mode) String() string {
	switch m {
	case V1:
		return "v1"
	case V2:
		return "v2"
	case Hybrid:
		return "hybrid"
	}
	return "unknown"
}

// hierarchy is one tree of groups.
type hierarchy struct {
	name string // its folder, "memory" or "unified"; empty where it is the root
	fd   int    // of that folder, by which files below it are opened
}

// detect looks at the tree and not at the mounts, so that a copy of a tree
// serves as well as a mounted one.
func (f *FS) detect(root string) error {
	if has(root, "cgroup.controllers") {
		f.mode = V2
		h, err := f.addHierarchy(root, "")
		f.locate(nil, h)
		return err
	}
	v1, err := f.addControllers(root)
	if err != nil {
		return err
	}
	f.mode = V1
	var unified *hierarchy
	if has(root, "unified/cgroup.controllers") {
		f.mode = Hybrid
		if unified, err = f.addHierarchy(root, "unified"); err != nil {
			return err
		}
	}
	if len(v1) == 0 && unified == nil {
		return fmt.Errorf("no controllers in %s: mount the cgroup file system there, or say with --path.cgroup where it is", root)
	}
	f.locate(v1, unified)
	return nil
}

// addControllers finds the hierarchies of version 1 by their folders. Several
// controllers may share one, "cpu,cpuacct", and then links of their own names
// usually stand beside it.
func (f *FS) addControllers(root string) (map[string]*hierarchy, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("%w: say with --path.cgroup where the cgroup file system is", err)
	}
	v1 := make(map[string]*hierarchy)
	for _, e := range entries {
		for controller := range strings.SplitSeq(e.Name(), ",") {
			if !slices.Contains(controllers, controller) || v1[controller] != nil {
				continue
			}
			h, err := f.addHierarchy(root, e.Name())
			if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENOENT) {
				continue // a stray file, a link to nowhere
			}
			if err != nil {
				return nil, err
			}
			v1[controller] = h
		}
	}
	return v1, nil
}

func (f *FS) addHierarchy(root, name string) (*hierarchy, error) {
	dir := filepath.Join(root, name)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	h := &hierarchy{name, fd}
	f.hierarchies = append(f.hierarchies, h)
	return h, nil
}

// locate decides file by file where it is read. A controller is either in
// version 1 or in version 2, but the second also counts CPU time and pressure
// without any controller.
func (f *FS) locate(v1 map[string]*hierarchy, v2 *hierarchy) {
	for i, k := range kernelFiles {
		switch h := v1[k.controller]; {
		case k.version == 1 || k.version == either && h != nil:
			f.at[i] = h
		case h == nil:
			f.at[i] = v2
		}
	}
}

func has(root, name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

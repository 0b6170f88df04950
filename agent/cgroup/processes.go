package cgroup

import (
	"bytes"
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// membersName is the same in both versions: the processes of a group without
// those of the groups below it.
const membersName = "cgroup.procs"

// Bounds of what is looked at below one group. A container may make as many
// groups in its own as it likes.
const (
	maxBelow      = 256
	maxBelowDepth = 4
)

// Processes appends the processes of a group and of those below it to dst, at
// most limit, in no order: numbers as the process that reads sees them, 0 for
// those of another pid namespace left out. The error wraps ErrGone if there is
// no such group. It opens files and reads folders, so that it is not for every
// tick.
func (f *FS) Processes(dst []int, group string, limit int) ([]int, error) {
	h := f.at[pidsCurrent]
	if h == nil {
		h = f.hierarchies[0]
	}
	return f.processes(dst, h, strings.TrimPrefix(path.Clean(group), "/"), limit)
}

// FirstProcess is a process of the group, or of those below if it has none of its
// own: the one that the kernel names first, which in version 1 is the oldest. It is
// 0 if there is none, or none that the process that reads can see. It opens a file;
// where the group has none of its own and groups below, it also reads folders and
// allocates.
func (g *Group) FirstProcess() (pid int, err error) {
	f, h := g.fs, g.fs.at[pidsCurrent]
	if h == nil {
		h = g.home
	}
	pid, err = f.firstMember(h, g.path)
	if err == nil && pid == 0 && !f.leaf(h, g.path) {
		var room [1]int
		var below []int
		if below, err = f.processes(room[:0], h, g.path, len(room)); len(below) > 0 {
			return below[0], nil
		}
	}
	if errors.Is(err, ErrGone) && f.exists(g.home.fd, g.path) {
		return 0, nil // it has no group in this hierarchy
	}
	return pid, err
}

// firstMember is the first process of one group, 0 if it has none.
func (f *FS) firstMember(h *hierarchy, group string) (pid int, err error) {
	fd, err := f.openAt(h.fd, group, membersName)
	var data []byte
	if err == nil {
		data, err = f.pread(fd)
		unix.Close(fd)
		f.keepSpare()
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return 0, ErrGone
	case errors.Is(err, unix.EOPNOTSUPP):
		return 0, nil // a threaded group
	case err != nil:
		return 0, &os.PathError{Op: "read", Path: path.Join("/", group, membersName), Err: err}
	}
	first, _, _ := bytes.Cut(data, []byte{'\n'})
	n, _ := parseUint(first)
	return int(n), nil
}

func (f *FS) processes(dst []int, h *hierarchy, group string, limit int) ([]int, error) {
	queue, start := []string{group}, len(dst)
	for seen := 0; seen < len(queue) && seen < maxBelow && len(dst)-start < limit; seen++ {
		at := queue[seen]
		var err error
		if dst, err = f.members(dst, h, at, limit-(len(dst)-start)); err != nil {
			if seen > 0 {
				continue // it went meanwhile, or has threads only
			}
			return dst, err
		}
		if strings.Count(at, "/")-strings.Count(group, "/") < maxBelowDepth {
			queue = append(queue, f.below(h, at, maxBelow-len(queue))...)
		}
	}
	return dst, nil
}

// members appends the processes of one group.
func (f *FS) members(dst []int, h *hierarchy, group string, limit int) ([]int, error) {
	fd, err := f.openAt(h.fd, group, membersName)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return dst, ErrGone
	}
	if err != nil {
		return dst, &os.PathError{Op: "open", Path: path.Join("/", group, membersName), Err: err}
	}
	data, err := f.readAll(fd)
	unix.Close(fd)
	f.keepSpare()
	if errors.Is(err, unix.ENODEV) {
		return dst, ErrGone
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return dst, nil // a threaded group
	}
	if err != nil {
		return dst, &os.PathError{Op: "read", Path: path.Join("/", group, membersName), Err: err}
	}
	for line := range bytes.Lines(data) {
		if limit == 0 {
			break
		}
		pid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		if err == nil && pid > 0 {
			dst = append(dst, pid)
			limit--
		}
	}
	return dst, nil
}

// readAll reads a file that the kernel writes a page at a time, as it does lists
// of processes. It goes to the heap, for such a list has no bound but maxContent.
func (f *FS) readAll(fd int) (data []byte, err error) {
	for len(data) < maxContent {
		n, err := unix.Pread(fd, f.content, int64(len(data)))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case n <= 0:
			return data, nil
		}
		data = append(data, f.content[:n]...)
	}
	return data, nil
}

// below are the groups in a group, at most limit.
func (f *FS) below(h *hierarchy, group string, limit int) []string {
	if limit <= 0 {
		return nil
	}
	fd, err := f.openAt(h.fd, group, ".")
	if err != nil {
		return nil
	}
	dir := os.NewFile(uintptr(fd), group)
	defer dir.Close()
	var found []string
	for len(found) < limit {
		entries, err := dir.ReadDir(128)
		for _, e := range entries {
			if e.IsDir() && len(found) < limit {
				found = append(found, path.Join(group, e.Name()))
			}
		}
		if err != nil { // io.EOF at the end
			break
		}
	}
	slices.Sort(found)
	return found
}

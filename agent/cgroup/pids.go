package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// PIDs is how many tasks a group and those below it have; the kernel counts
// threads.
type PIDs struct {
	Current Opt[uint64]
	Peak    Opt[uint64] // the most there ever were; since 6.6
	Limit   Opt[Limit]
}

// PIDs reads the number of tasks.
func (g *Group) PIDs() (PIDs, error) {
	var p PIDs
	var currentErr, peakErr, limitErr error
	p.Current, currentErr = g.number(pidsCurrent)
	p.Peak, peakErr = g.number(pidsPeak)
	p.Limit, limitErr = g.limit(pidsMax)
	return p, errors.Join(currentErr, peakErr, limitErr)
}

// ProcessCount counts the processes of the group and of those below it,
// whichever pid namespace they are in. It is absent where there are more of
// either than are looked at. It opens files; where there are groups below, it
// also reads folders and allocates.
func (g *Group) ProcessCount() (Opt[uint64], error) {
	f, h := g.fs, g.fs.at[pidsCurrent]
	if h == nil {
		h = g.home
	}
	count, leaf, err := f.countMembers(h, g.path)
	if err == nil && !leaf {
		err = f.countBelow(h, g.path, &count)
	}
	switch {
	case err == nil:
		return some(count), nil
	case errors.Is(err, errTooMany):
		return Opt[uint64]{}, nil
	case !errors.Is(err, ErrGone):
		return Opt[uint64]{}, fmt.Errorf("count processes of cgroup /%s: %w", g.path, err)
	case f.exists(g.home.fd, g.path): // it has no group in this hierarchy
		return Opt[uint64]{}, nil
	}
	return Opt[uint64]{}, ErrGone
}

var errTooMany = errors.New("more than are looked at")

// countBelow adds the processes of the groups below one to count.
func (f *FS) countBelow(h *hierarchy, group string, count *uint64) error {
	queue := f.below(h, group, maxBelow+1)
	for i := 0; i < len(queue); i++ {
		if len(queue) > maxBelow || strings.Count(queue[i], "/")-strings.Count(group, "/") > maxBelowDepth {
			return errTooMany
		}
		n, leaf, err := f.countMembers(h, queue[i])
		if err != nil && !errors.Is(err, ErrGone) { // or it went meanwhile
			return err
		}
		*count += n
		if err == nil && !leaf {
			queue = append(queue, f.below(h, queue[i], maxBelow+1-len(queue))...)
		}
	}
	return nil
}

// countMembers counts the processes of one group. It is a leaf if there are
// surely no groups below, which the kernel counts as links.
func (f *FS) countMembers(h *hierarchy, group string) (count uint64, leaf bool, err error) {
	leaf = f.leaf(h, group)
	count, err = f.countLines(h, group, membersName)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV):
		return 0, leaf, ErrGone
	case errors.Is(err, unix.EOPNOTSUPP):
		return 0, leaf, nil // a threaded group: its processes count where it began
	}
	return count, leaf, err
}

// leaf tells whether a group has surely no groups below.
func (f *FS) leaf(h *hierarchy, group string) bool {
	dir, err := f.openAt(h.fd, group, ".")
	if err != nil {
		return false
	}
	var st unix.Stat_t
	leaf := unix.Fstat(dir, &st) == nil && st.Nlink == 2
	unix.Close(dir)
	f.keepSpare()
	return leaf
}

// countLines counts the lines of a file of a group, of which the kernel gives a
// page at a time.
func (f *FS) countLines(h *hierarchy, group, name string) (uint64, error) {
	fd, err := f.openAt(h.fd, group, name)
	if err != nil {
		return 0, err
	}
	defer f.keepSpare()
	defer unix.Close(fd)
	lines := 0
	for at := 0; at < maxContent; {
		n, err := unix.Pread(fd, f.content, int64(at))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return uint64(lines), nil
		}
		lines += bytes.Count(f.content[:n], []byte{'\n'})
		at += n
	}
	return 0, errTooMany
}

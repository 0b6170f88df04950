package cgroup

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Group is one control group, open for reading. Its readings are complete as
// far as the kernel gives them: an error leaves out what it is about, and only
// with ErrGone is there nothing to be had any more.
type Group struct {
	fs   *FS
	path string     // below the root of each hierarchy, without a leading slash
	home *hierarchy // where its folder was when it was opened
	fd   [kept]int  // -1 where none is held

	usageFrom file // cpuStat2 or cpuacctUsage
}

// Open opens the group at a path that is the same in every hierarchy, such as
// "/docker/<id>" or "/". The error wraps ErrGone if there is none.
func (f *FS) Open(group string) (*Group, error) {
	if path.Clean("/"+group) != group {
		return nil, fmt.Errorf("open cgroup %q: not a clean path from the root", group)
	}
	g := &Group{fs: f, path: strings.TrimPrefix(group, "/"), usageFrom: cpuStat2}
	if f.at[cpuStat2] == nil {
		g.usageFrom = cpuacctUsage
	}
	for i := range g.fd {
		g.fd[i] = -1
	}
	for _, h := range f.hierarchies {
		if f.exists(h.fd, g.path) {
			g.home = h
			return g, nil
		}
	}
	return nil, fmt.Errorf("open cgroup %s: %w", group, ErrGone)
}

// Close gives back the descriptors of g.
func (g *Group) Close() {
	for i, fd := range g.fd {
		if fd >= 0 {
			unix.Close(fd)
			g.fd[i] = -1
			g.fs.opened--
		}
	}
}

// read returns what is in a file, valid until the next read, and nil if this
// kernel or this group has no such file.
func (g *Group) read(k file) ([]byte, error) {
	f := g.fs
	f.tried[k] = true
	h := f.at[k]
	if h == nil {
		return nil, nil
	}
	data, err := g.readAt(h, k)
	switch {
	case err == nil:
		f.found[k] = true
		return data, nil
	case errors.Is(err, unix.ENODEV): // was open, or was opened, when the group was removed
		return nil, ErrGone
	case errors.Is(err, unix.ENOENT):
		if !f.exists(g.home.fd, g.path) {
			return nil, ErrGone
		}
		return nil, nil
	case errors.Is(err, unix.EOPNOTSUPP): // pressure, where the kernel was told not to account it
		return nil, nil
	}
	return nil, fmt.Errorf("read %s of cgroup /%s: %w", kernelFiles[k].name, g.path, err)
}

func (g *Group) readAt(h *hierarchy, k file) ([]byte, error) {
	f := g.fs
	if k < kept && g.fd[k] >= 0 {
		return f.pread(g.fd[k])
	}
	fd, err := f.openAt(h.fd, g.path, kernelFiles[k].name)
	if err != nil {
		return nil, err
	}
	if k < kept && f.opened < f.budget && f.spare >= 0 {
		g.fd[k] = fd
		f.opened++
		return f.pread(fd)
	}
	data, err := f.pread(fd)
	unix.Close(fd)
	f.keepSpare()
	return data, err
}

// number reads a file that holds one number.
func (g *Group) number(k file) (Opt[uint64], error) {
	data, err := g.read(k)
	if data == nil {
		return Opt[uint64]{}, err
	}
	n, ok := parseUint(trim(data))
	if !ok {
		return Opt[uint64]{}, g.malformed(k, data)
	}
	return some(n), nil
}

// limit reads a file that holds one limit.
func (g *Group) limit(k file) (Opt[Limit], error) {
	data, err := g.read(k)
	if data == nil {
		return Opt[Limit]{}, err
	}
	l, ok := parseLimit(trim(data))
	if !ok {
		return Opt[Limit]{}, g.malformed(k, data)
	}
	return some(l), nil
}

// errFormat is for the tests: a caller can do nothing about it.
var errFormat = errors.New("not in the format it is known to have")

func (g *Group) malformed(k file, data []byte) error {
	return fmt.Errorf("read %s of cgroup /%s: %q: %w", kernelFiles[k].name, g.path, data[:min(len(data), 80)], errFormat)
}

// Package cgroup reads what the kernel accounts to control groups: version 1,
// version 2 and the hybrid of both, under cgroupfs and systemd names alike.
//
// It promises three things. What the kernel does not say is absent, never 0. A
// collection allocates nothing and costs one pread per file that is read often,
// because those stay open. A group that was removed says so with [ErrGone].
package cgroup

import (
	"cmp"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrGone says that a group was removed, which is how every container ends. A
// group that has come back under the same path is another one: open it again.
var ErrGone = errors.New("cgroup is gone")

// Options are what New needs to know; the zero value is the machine's own tree.
type Options struct {
	Root  string // of the control groups; "/sys/fs/cgroup" if empty
	Sysfs string // for the names of devices; "/sys" if empty

	// MaxOpen bounds the descriptors that groups keep open, about seven each.
	// Past it a group is read by opening its files every time, which costs a
	// few microseconds more. 0 stands for three eighths of what the process
	// may open, less 32.
	MaxOpen int
}

// FS is a mounted tree of control groups, or a copy of one. It shares buffers
// with its groups: one goroutine at a time may use all of them.
type FS struct {
	mode           Mode
	hierarchies    []*hierarchy
	at             [files]*hierarchy // nil where this tree has no such file
	tried          [files]bool
	found          [files]bool
	sysfs          string
	content, path  []byte
	opened, budget int // descriptors that groups hold, and may hold
	spare          int // a descriptor to let go of when no other is left
}

// New finds out which versions of control groups opts.Root has. The caller
// closes what it returns.
func New(opts Options) (*FS, error) {
	f := &FS{
		sysfs:   cmp.Or(opts.Sysfs, "/sys"),
		content: make([]byte, 16<<10), // several times the largest memory.stat
		path:    make([]byte, 0, unix.PathMax),
		budget:  cmp.Or(max(opts.MaxOpen, 0), shareOfLimit()),
		spare:   -1,
	}
	if err := f.detect(cmp.Or(opts.Root, "/sys/fs/cgroup")); err != nil {
		f.Close()
		return nil, fmt.Errorf("detect cgroup version: %w", err)
	}
	f.keepSpare()
	return f, nil
}

// shareOfLimit leaves the other descriptors of the process to its connections and
// its spool, some seventy whatever the limit, and an eighth each to the networks,
// the ends and the pressure of containers.
func shareOfLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return max(1, int(min(limit.Cur, 1<<20)*3/8)-32)
}

// Mode is which versions of control groups the tree has.
func (f *FS) Mode() Mode { return f.mode }

// Opened is the number of descriptors that groups hold open.
func (f *FS) Opened() int { return f.opened }

// Close gives back what f itself holds. Its groups are closed by whoever
// opened them.
func (f *FS) Close() {
	for _, h := range f.hierarchies {
		unix.Close(h.fd)
	}
	f.hierarchies = nil
	f.dropSpare()
}

// Package node reads what the kernel says of the whole machine: the files of
// /proc and /sys that are about no container in particular. It gives typed
// readings with their units and knows no metric names.
//
// A reading costs a pread and a walk over its bytes: files stay open, memory
// is used over and over, and nothing is allocated once the set of CPUs, disks
// and interfaces has settled.
package node

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
)

// ErrFormat says that a file does not read as the kernel writes it. The
// reading that came with it is worth nothing.
var ErrFormat = errors.New("unexpected format")

// Roots are where the kernel's file systems are mounted, or copies of them
// under testdata.
type Roots struct {
	Proc string // "/proc" if empty
	Sys  string // "/sys" if empty
	Root string // "/" if empty: where the machine's own tree is, as this process sees it
}

// Number is what the kernel counts or measures. The zero Number is one that
// this kernel does not give.
type Number struct {
	Value uint64
	Known bool
}

// A Reader reads one file per method. Errors wrap fs.ErrNotExist where this
// kernel has no such file, which is looked for again now and then, and
// ErrFormat where it cannot be understood; they name the file. A Reader is not
// for concurrent use.
type Reader struct {
	stat, meminfo, loadavg, vmstat, diskstats, netdev file
	pressure                                          [numResources]file
	statm                                             file

	sys string
	buf []byte // what was read last
}

// New returns a reader that has opened nothing yet: a file is opened when it
// is first read, and again after it failed.
func New(roots Roots) *Reader {
	proc := cmp.Or(roots.Proc, "/proc")
	r := &Reader{
		stat:      file{path: filepath.Join(proc, "stat")},
		meminfo:   file{path: filepath.Join(proc, "meminfo")},
		loadavg:   file{path: filepath.Join(proc, "loadavg")},
		vmstat:    file{path: filepath.Join(proc, "vmstat")},
		diskstats: file{path: filepath.Join(proc, "diskstats")},
		netdev:    file{path: netDevPath(proc)},
		statm:     file{path: filepath.Join(proc, "self/statm")},
		sys:       cmp.Or(roots.Sys, "/sys"),
		buf:       make([]byte, 8<<10),
	}
	for i := range r.pressure {
		r.pressure[i].path = filepath.Join(proc, "pressure", Resource(i).String())
	}
	return r
}

// Close closes what is open. A later reading opens it again.
func (r *Reader) Close() {
	for _, f := range []*file{&r.stat, &r.meminfo, &r.loadavg, &r.vmstat, &r.diskstats, &r.netdev, &r.statm} {
		f.close()
	}
	for i := range r.pressure {
		r.pressure[i].close()
	}
}

// in names the file in an error about its content.
func in(f *file, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

// Package disk finds out how much disk the writable layers of containers take.
//
//	Layers: process → root mount → upper directory of the overlay, as the node sees it
//	Walker: directory → bytes and inodes, as du counts
//
// It asks no engine and reads no file of a storage driver: the kernel says where
// the layer is. It promises three things. A walk never leaves the directory it
// was given, whatever a container puts into it. It is bounded in entries, depth,
// memory, time and pace. And what it could not count in full it does not pass
// off as the usage.
package disk

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Usage is what a directory and all that is below it take.
type Usage struct {
	Bytes   uint64 // allocated blocks, as du counts them
	Inodes  uint64 // files of every kind and directories, each once however many names it has
	Entries uint64 // names that were looked at

	Backing Backing
}

// Backing is the file system that a directory is on.
type Backing struct {
	Major, Minor uint32 // of its device; Major is 0 if it has none of its own
	SizeBytes    uint64 // or what a project quota leaves of it to the directory
	Files        uint64 // inodes it can have; 0 where there is no limit
	FilesFree    uint64
}

// Background makes the calling thread yield the disk to everybody else, where the
// I/O scheduler knows of priorities. It is for a goroutine that is locked to its
// thread. See ioprio_set(2).
//
// The thread keeps its share of the CPU: a goroutine that the kernel does not let
// run keeps its P, and with it the collector of garbage and so everybody, waiting.
func Background() error {
	const (
		whoProcess = 1 // here: thread
		idleClass  = 3 << 13
	)
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, idleClass); errno != 0 {
		return os.NewSyscallError("ioprio_set", errno)
	}
	return nil
}

// IOPressure is the share of the last ten seconds in which some task waited for
// I/O, in percent, of a proc directory, "/proc" if empty. The error wraps
// fs.ErrNotExist or errors.ErrUnsupported where the kernel does not count it.
// See https://docs.kernel.org/accounting/psi.html.
func IOPressure(proc string) (percent float64, err error) {
	path := filepath.Join(cmp.Or(proc, "/proc"), "pressure/io")
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if percent, err = parsePressure(data); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return percent, nil
}

// errFormat says that a file does not read as the kernel writes it.
var errFormat = errors.New("unexpected format")

// parsePressure reads the line
//
//	some avg10=8.15 avg60=1.85 avg300=0.54 total=6836995
func parsePressure(data []byte) (float64, error) {
	for line := range bytes.Lines(data) {
		rest, some := bytes.CutPrefix(line, []byte("some avg10="))
		if !some {
			continue
		}
		average, _, _ := bytes.Cut(rest, []byte(" "))
		percent, err := strconv.ParseFloat(string(average), 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			return 0, fmt.Errorf("avg10 %q: %w", average, errFormat)
		}
		return percent, nil
	}
	return 0, fmt.Errorf("no average of 10 s: %w", errFormat)
}

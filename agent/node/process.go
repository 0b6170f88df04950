package node

import (
	"os"
	"syscall"
	"time"
)

// Process is what this very process uses.
type Process struct {
	CPU           time.Duration // in user and kernel mode, since it started
	ResidentBytes uint64
}

// Self asks getrusage(2) and reads /proc/self/statm.
func (r *Reader) Self() (Process, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return Process{}, os.NewSyscallError("getrusage", err)
	}
	data, err := r.read(&r.statm)
	if err != nil {
		return Process{}, err
	}
	pages, err := parseStatm(data)
	return Process{
		CPU:           time.Duration(used.Utime.Nano() + used.Stime.Nano()),
		ResidentBytes: pages * uint64(os.Getpagesize()),
	}, in(&r.statm, err)
}

// parseStatm reads the resident pages from a line such as
//
//	765 438 409 5 0 123 0
func parseStatm(data []byte) (resident uint64, err error) {
	line, _, err := cutLine(data)
	if err != nil {
		return 0, err
	}
	var pages [2]uint64 // of the address space, and of them resident
	n, err := uints(line, pages[:])
	if err == nil && n < len(pages) {
		err = malformed("too few columns", line)
	}
	return pages[1], err
}

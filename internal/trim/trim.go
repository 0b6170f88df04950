// Package trim gives memory back that a process holds and does not use.
package trim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Executable drops the pages of the running program from its resident set. The
// program is large because one binary holds every part, and the start of a
// process touches all of it, most of it for the last time. What is needed again
// comes back from the page cache.
//
// It is madvise(2) with MADV_DONTNEED on those read-only mappings of
// /proc/self/exe that hold nothing but the file. That cannot lose anything. A
// mapping that is read-only now may have been written before: the loader fills
// in addresses and then protects them (RELRO), and the file has zeros there.
func Executable() error {
	list, err := executable()
	if err != nil {
		return err
	}
	return drop(list)
}

// Loop is Executable at once and at every period, until ctx ends. The kernel
// maps 64 KiB around each page that is touched, a few times what is used, and
// does not take it back while memory is free: a program that is touched here and
// there comes to stay as a whole. Once, after the first period, it also returns
// the memory of Go that the start was done with.
//
// A period costs the page faults that map again what is used, some 260 in an agent.
func Loop(ctx context.Context, every time.Duration) error {
	list, err := executable()
	if err != nil {
		return err
	}
	if err := drop(list); err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if first {
			debug.FreeOSMemory()
		}
		if err := drop(list); err != nil {
			return err
		}
	}
}

// executable returns what Executable may drop. It stays the same as long as the
// process lives.
func executable() ([]mapping, error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	defer smaps.Close()
	list, err := fileOnly(smaps, exe)
	if err != nil {
		return nil, fmt.Errorf("read smaps: %w", err)
	}
	return list, nil
}

func drop(list []mapping) error {
	var errs []error
	for _, m := range list {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, fmt.Errorf("madvise %x-%x: %w", m.from, m.to, errno))
		}
	}
	return errors.Join(errs...)
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// fileOnly reads /proc/PID/smaps (proc_pid_smaps(5)), such as
//
//	00400000-01a2b000 r-xp 00000000 fe:00 1234   /usr/bin/plimsoll
//	…
//	Anonymous:             0 kB
//
// and returns the read-only mappings of exe none of whose pages differ from the
// file.
func fileOnly(smaps io.Reader, exe string) (list []mapping, err error) {
	var m mapping
	candidate := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 0:
		case !strings.HasSuffix(fields[0], ":"):
			m, candidate = readOnly(fields, exe)
		case candidate && fields[0] == "Anonymous:" && len(fields) > 1 && fields[1] == "0":
			list = append(list, m)
		}
	}
	return list, lines.Err()
}

// readOnly parses the first line of a mapping and tells whether it is one of
// exe that cannot be written now.
func readOnly(fields []string, exe string) (m mapping, ok bool) {
	if len(fields) < 6 || strings.Contains(fields[1], "w") || strings.Join(fields[5:], " ") != exe {
		return mapping{}, false
	}
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &m.from, &m.to); err != nil || m.from >= m.to {
		return mapping{}, false
	}
	return m, true
}

// Package trim gives memory back that only the start of a process needed.
package trim

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Executable drops the pages of the running program from its resident set. The
// program is large because one binary holds every part, and the start of a
// process touches all of it, most of it for the last time. What is needed again
// comes back from the page cache, page by page.
//
// It is madvise(2) with MADV_DONTNEED on the read-only mappings of
// /proc/self/exe, which cannot lose anything: they are never written.
func Executable() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	var errs []error
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		from, to, ok := readOnly(lines.Text(), exe)
		if !ok {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, fmt.Errorf("madvise %x-%x: %w", from, to, errno))
		}
	}
	return errors.Join(append(errs, lines.Err())...)
}

// readOnly parses a line of /proc/PID/maps (proc(5)) such as
//
//	00400000-01a2b000 r-xp 00000000 fe:00 1234   /usr/bin/plimsoll
//
// and tells whether it is a mapping of exe that is never written.
func readOnly(line, exe string) (from, to uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || strings.Contains(fields[1], "w") || strings.Join(fields[5:], " ") != exe {
		return 0, 0, false
	}
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil || from >= to {
		return 0, 0, false
	}
	return from, to, true
}

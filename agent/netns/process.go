package netns

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// started is when a process was started.
func (r *Reader) started(pid int) (uint64, error) {
	path := filepath.Join(r.proc, strconv.Itoa(pid), "stat")
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, gone(err))
	}
	ticks, ok := parseStarted(data)
	if !ok {
		return 0, fmt.Errorf("%s: %q: %w", path, abridged(data), ErrFormat)
	}
	return ticks, nil
}

// parseStarted reads the 22nd field of /proc/PID/stat, as proc_pid_stat(5) has
// it. The second is a name that may contain anything but ends with the last
// parenthesis:
//
//	30838 (tini -- (x)) S 30811 30838 30838 0 -1 4194560 112 0 0 0 0 1 0 0 20 0 1 0 98221 2285568 …
func parseStarted(data []byte) (uint64, bool) {
	const field, afterName = 22, 3
	name := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[name+1:])
	if name < 0 || len(fields) <= field-afterName {
		return 0, false
	}
	return number(fields[field-afterName])
}

package cgroup

import (
	"bytes"
	"math"
)

// cutLine splits off the first line.
func cutLine(data []byte) (line, rest []byte) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return data[:i], data[i+1:]
	}
	return data, nil
}

// cutPair splits off the first line of a flat keyed file, "key value".
func cutPair(data []byte) (key, value, rest []byte) {
	line, rest := cutLine(data)
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		return line[:i], line[i+1:], rest
	}
	return line, nil, rest
}

// cutSpace splits off what comes before the next space or line end.
func cutSpace(data []byte) (field, rest []byte) {
	for i, c := range data {
		if c == ' ' || c == '\n' {
			return data[:i], data[i+1:]
		}
	}
	return data, nil
}

// cutField splits off the first of several fields with single spaces between.
func cutField(line []byte) (field, rest []byte) {
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		return line[:i], line[i+1:]
	}
	return line, nil
}

// trim takes the line end off a file of one value.
func trim(data []byte) []byte {
	if n := len(data); n > 0 && data[n-1] == '\n' {
		return data[:n-1]
	}
	return data
}

// parseUint reads digits and nothing else. It is false for a number that does
// not fit: a counter is never cut short.
func parseUint(digits []byte) (uint64, bool) {
	if len(digits) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// parseTime reads a number of units of time.
func parseTime(digits []byte, unit Nanoseconds) (Nanoseconds, bool) {
	n, ok := parseUint(digits)
	if n > math.MaxUint64/uint64(unit) {
		return 0, false
	}
	return Nanoseconds(n) * unit, ok
}

// parseLimit reads a limit. Version 2 and pids.max say "max" where there is
// none, cpu.cfs_quota_us -1, and the memory files of version 1 the largest
// number of pages, 9223372036854771712 bytes where pages have 4 KiB.
func parseLimit(value []byte) (Limit, bool) {
	if s := string(value); s == "max" || s == "-1" {
		return NoLimit, true
	}
	n, ok := parseUint(value)
	if n > 1<<62 {
		return NoLimit, ok
	}
	return Limit(n), ok
}

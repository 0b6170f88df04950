package node

import (
	"bytes"
	"strconv"
)

// Ulimit is a soft resource limit of a process.
type Ulimit struct {
	Value     uint64
	Unlimited bool // then Value means nothing
}

// OpenFilesLimit reads how many files a process may have open. The error wraps
// fs.ErrNotExist or is ESRCH if there is no such process any more.
func (r Roots) OpenFilesLimit(pid int) (Ulimit, error) {
	path := r.proc(strconv.Itoa(pid), "limits")
	data, err := slurp(path)
	if err != nil {
		return Ulimit{}, err
	}
	l, err := parseOpenFilesLimit(data)
	if err != nil {
		return Ulimit{}, malformedFile(path, err)
	}
	return l, nil
}

// parseOpenFilesLimit finds, in a table as of proc_pid_limits(5), the line
//
//	Max open files            1024                 1048576              files
func parseOpenFilesLimit(data []byte) (Ulimit, error) {
	for line := range bytes.Lines(data) {
		rest, ok := bytes.CutPrefix(line, []byte("Max open files "))
		if !ok {
			continue
		}
		columns := bytes.Fields(rest)
		if len(columns) < 2 {
			return Ulimit{}, malformed("too few columns", line)
		}
		if string(columns[0]) == "unlimited" {
			return Ulimit{Unlimited: true}, nil
		}
		n, err := number(columns[0])
		return Ulimit{Value: n.Value}, err
	}
	return Ulimit{}, malformed("no line for open files", data)
}

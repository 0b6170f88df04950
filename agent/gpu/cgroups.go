package gpu

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// Cgroups are the paths of the control groups that a process is in, one for
// each hierarchy, as /proc/PID/cgroup (cgroups(7)) has them:
//
//	4:memory:/docker/5f2d…
//	0::/system.slice/docker-5f2d….scope
//
// proc is where the /proc of the node is mounted. The error wraps
// fs.ErrNotExist, or is ESRCH, when the process is gone.
func Cgroups(proc string, pid uint32) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(proc, strconv.FormatUint(uint64(pid), 10), "cgroup"))
	if err != nil {
		return nil, err
	}
	return parseCgroups(data), nil
}

func parseCgroups(data []byte) []string {
	var paths []string
	for line := range bytes.Lines(data) {
		_, rest, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		if !ok {
			continue
		}
		_, path, ok := bytes.Cut(rest, []byte(":"))
		if !ok || len(path) == 0 || path[0] != '/' {
			continue
		}
		// Seen from a cgroup namespace, others' groups start with "/..".
		paths = append(paths, filepath.Clean(string(path)))
	}
	return paths
}

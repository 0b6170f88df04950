package discover

import (
	"fmt"
	"os"
	"path/filepath"
)

// hierarchies of cgroup v1 that have every container, best first. Under a
// hybrid layout runtimes make the groups of v2 below unified as well, but only
// newer ones do (runc since 1.0.0), so it comes last. One controller may be
// mounted under a joint name.
var hierarchies = []string{"pids", "cpuacct", "cpu,cpuacct", "memory", "unified"}

// hierarchy picks the one hierarchy below a mount point to look for containers
// in: the only one of v2, or one of v1 that every runtime uses.
func hierarchy(root string) (string, error) {
	if exists(filepath.Join(root, "cgroup.controllers")) {
		return root, nil
	}
	for _, name := range hierarchies {
		if dir := filepath.Join(root, name); exists(filepath.Join(dir, "cgroup.procs")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no cgroup hierarchy at %s: give the directory where cgroups are mounted, usually /sys/fs/cgroup", root)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

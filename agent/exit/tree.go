package exit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// tree is where the groups are whose files tell of processes that come and go.
type tree struct {
	members string // the hierarchy of which cgroup.procs is watched
	events  string // the one that has cgroup.events; empty where none has
}

func newTree(root string, mode cgroup.Mode) (tree, error) {
	if mode == cgroup.V2 {
		return tree{members: root, events: root}, nil
	}
	// The hierarchies of version 1 in which every runtime makes groups, the one
	// first that cgroup.FS takes processes from.
	for _, name := range []string{"pids", "cpuacct", "cpu,cpuacct", "memory"} {
		dir := filepath.Join(root, name)
		if _, err := os.Stat(filepath.Join(dir, membersFile)); err != nil {
			continue
		}
		t := tree{members: dir}
		if mode == cgroup.Hybrid {
			t.events = filepath.Join(root, "unified")
		}
		return t, nil
	}
	return tree{}, fmt.Errorf("no cgroup hierarchy with processes at %s: give the directory where cgroups are mounted", root)
}

// The files of a group that tell of processes. A write to the first moves a
// process into the group. The second changes when the first process comes, and
// when the last has gone.
const (
	membersFile = "cgroup.procs"
	eventsFile  = "cgroup.events"
)

// identity tells a group from a later one at the same path. It is 0 if there is
// no group.
func (t tree) identity(group string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(filepath.Join(t.members, group), &st)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, &os.PathError{Op: "stat", Path: filepath.Join(t.members, group), Err: err}
	}
	return st.Ino, nil
}

// hides tells whether a group has processes of another pid namespace, which are
// all called 0 here.
func (t tree) hides(group string) bool {
	data, err := os.ReadFile(filepath.Join(t.members, group, membersFile))
	return err == nil && bytes.HasPrefix(data, []byte("0\n"))
}

package doctor

import (
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

const container = "/docker/1111111111111111111111111111111111111111111111111111111111111111"

func v1(more map[string]string) map[string]string {
	files := map[string]string{"unified/cgroup.controllers": "", "unified/cgroup.procs": ""}
	for _, c := range accounts {
		files[c+"/cgroup.procs"], files[c+"/release_agent"] = "", ""
	}
	for name, content := range more {
		files[name] = content
	}
	return files
}

func without(files map[string]string, names ...string) map[string]string {
	for _, name := range names {
		delete(files, name)
	}
	return files
}

func TestATreeOfControlGroupsIsToBeTheWholeOfTheNodes(t *testing.T) {
	for name, tt := range map[string]struct {
		files     map[string]string
		check     string
		status    Status
		seen, fix string
	}{
		"none": {map[string]string{}, "root", Missing, "no controllers", "-v /sys/fs/cgroup:/host/sys/fs/cgroup"},
		"all of version 1 and 2": {
			v1(nil), "root", OK, "hybrid", "",
		},
		"a container's own of version 1": {
			without(v1(nil), "memory/release_agent"), "root", Missing, "memory has no release_agent", "--path.cgroup=/host/sys/fs/cgroup",
		},
		"a container's own of version 2": {
			map[string]string{"cgroup.controllers": "cpu memory", "cgroup.procs": "", "cgroup.events": "populated 1\n"},
			"root", Missing, "cgroup.events", "--path.cgroup=/host/sys/fs/cgroup",
		},
		"all of version 2": {
			map[string]string{"cgroup.controllers": "cpu io memory pids", "cgroup.procs": ""}, "root", OK, "v2", "",
		},
		"version 2 with what the agent reads": {
			map[string]string{"cgroup.controllers": "cpuset cpu io memory hugetlb pids\n", "cgroup.procs": ""}, "controllers", OK, "cpu, memory, pids, io", "",
		},
		"version 2 without a controller": {
			map[string]string{"cgroup.controllers": "cpu io pids\n", "cgroup.procs": ""}, "controllers", Limited, "memory", "cgroup_enable=memory",
		},
		"version 1 without a controller": {
			without(v1(nil), "memory/cgroup.procs", "memory/release_agent"), "controllers", Limited, "memory", "cgroup_enable=memory",
		},
		"version 1 that has given one to version 2": {
			without(v1(map[string]string{"unified/cgroup.controllers": "io\n"}), "blkio/cgroup.procs", "blkio/release_agent"), "controllers", OK, "blkio", "",
		},
		"version 1 with version 2 out of sight": {
			without(v1(nil), "unified/cgroup.controllers", "unified/cgroup.procs"), "controllers", Limited, "version 1", "/sys/fs/cgroup",
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := Options{Discover: discover.Options{CgroupRoot: write(t, tt.files)}}
			expect(t, find(t, "cgroup", tt.check, opts), tt.status, tt.seen, tt.fix)
		})
	}
}

func TestFilesThatTheKernelDoesNotHaveAreNoFault(t *testing.T) {
	root := write(t, map[string]string{
		"cgroup.controllers": "cpu io memory pids\n", "cgroup.procs": "",
		container + "/cgroup.controllers": "cpu io memory pids\n", container + "/cgroup.procs": "",
		container + "/cpu.stat":       "usage_usec 1\nuser_usec 1\nsystem_usec 0\n",
		container + "/memory.current": "4096\n",
	})
	expect(t, find(t, "cgroup", "files", Options{Discover: discover.Options{CgroupRoot: root}}), OK, "memory.peak (since Linux 5.19)", "")
}

func TestAControllerThatIsOffForContainersIsTold(t *testing.T) {
	root := write(t, map[string]string{
		"cgroup.controllers": "cpu io memory pids\n", "cgroup.procs": "",
		container + "/cgroup.controllers": "cpu memory pids\n", container + "/cgroup.procs": "",
		container + "/cpu.stat": "usage_usec 1\nuser_usec 1\nsystem_usec 0\n",
	})
	f := find(t, "cgroup", "files", Options{Discover: discover.Options{CgroupRoot: root}})
	expect(t, f, Limited, "io", "+io")
	if !strings.Contains(f.Loss, "container_fs_reads_") {
		t.Errorf("lost is %q", f.Loss)
	}
}

// The kernel lists processes of another pid namespace as 0.
func TestContainersWhoseProcessesHaveNoNumberHereAreHidden(t *testing.T) {
	in := func(procs string) Finding {
		return find(t, "network", "processes", Options{Discover: discover.Options{CgroupRoot: write(t, map[string]string{
			"cgroup.controllers": "cpu\n", "cgroup.procs": "", container + "/cgroup.procs": procs,
		})}})
	}
	expect(t, in("0\n0\n"), Missing, "none of the processes of 1 containers", "docker run --pid=host")
	if f := in(""); f.Found() && strings.Contains(f.Detail, "of 1 containers") {
		t.Errorf("a container without processes is taken for hidden: %+v", f)
	}
}

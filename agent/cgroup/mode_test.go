package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTreesAreToldApart(t *testing.T) {
	const usage = "cpuacct.usage"
	tests := map[string]struct {
		files map[string]string
		links map[string]string
		below string // where to look
		want  Mode   // 0 for an error
	}{
		"one hierarchy is version 2":             {files: map[string]string{"cgroup.controllers": "cpu memory\n"}, want: V2},
		"a folder per controller is version 1":   {files: map[string]string{"cpu/cpu.stat": "", "cpuacct/" + usage: ""}, want: V1},
		"controllers may share a folder":         {files: map[string]string{"cpu,cpuacct/" + usage: ""}, want: V1},
		"with links beside it":                   {files: map[string]string{"cpu,cpuacct/" + usage: ""}, links: map[string]string{"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct"}, want: V1},
		"unified makes it hybrid":                {files: map[string]string{"cpuacct/" + usage: "", "unified/cgroup.controllers": ""}, want: Hybrid},
		"an empty unified does not":              {files: map[string]string{"cpuacct/" + usage: "", "unified/nothing": ""}, want: V1},
		"other folders and stray files are none": {files: map[string]string{"systemd/tasks": "", "memory": "not a folder"}, want: 0},
		"an empty folder is none":                {want: 0},
		"no folder is none":                      {below: "nowhere", want: 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, tt.files)
			for link, to := range tt.links {
				if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
					t.Fatal(err)
				}
			}
			f, err := New(Options{Root: filepath.Join(root, tt.below)})
			if tt.want == 0 {
				if err == nil || !strings.Contains(err.Error(), "--path.cgroup") {
					t.Fatalf("error %v, want one that says what to do", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Mode() != tt.want {
				t.Errorf("mode %v, want %v", f.Mode(), tt.want)
			}
			if tt.want == V1 && f.at[cpuacctUsage] == nil {
				t.Error("cpuacct was not found")
			}
		})
	}
}

// A kernel can be told by cgroup_no_v1= to leave a controller to version 2.
func TestControllerThatVersion1HasNotIsLookedForInUnified(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"unified/cgroup.controllers": "memory pids\n",
		"unified/g/memory.current":   "4096\n",
		"unified/g/pids.current":     "3\n",
		"cpuacct/g/cpuacct.usage":    "1\n",
	})
	g := open(t, newFS(t, Options{Root: root}), "/g")
	usage, err := g.MemoryUsage()
	if err != nil || usage != known[uint64](4096) {
		t.Errorf("memory %v, error %v", usage, err)
	}
	pids, err := g.PIDs()
	if err != nil || pids.Current != known[uint64](3) {
		t.Errorf("pids %v, error %v", pids, err)
	}
}

func TestPathsThatLeaveTheTreeAreRefused(t *testing.T) {
	f := newFS(t, Options{Root: extract(t, "v2")})
	for _, path := range []string{"", "docker", "/docker/..", "/../etc", "//docker", "/docker/"} {
		if _, err := f.Open(path); err == nil {
			t.Errorf("%q was opened", path)
		}
	}
}

func TestDeviceNames(t *testing.T) {
	sysfs := t.TempDir()
	write(t, sysfs, map[string]string{"dev/block/254:0/uevent": "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n"})
	f := newFS(t, Options{Root: extract(t, "v2"), Sysfs: sysfs})
	for device, want := range map[Device]string{{254, 0}: "/dev/vda", {1, 0}: "1:0"} {
		if got := f.DeviceName(device); got != want {
			t.Errorf("%v is called %q, want %q", device, got, want)
		}
	}
}

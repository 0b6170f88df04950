package cgroup

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestProcessesAreCounted(t *testing.T) {
	many := map[string]string{"g/cgroup.procs": "1\n"}
	for i := range maxBelow + 1 {
		many[fmt.Sprintf("g/%d/cgroup.procs", i)] = "7\n"
	}
	deep := map[string]string{}
	for depth := range maxBelowDepth + 2 {
		deep["g"+strings.Repeat("/x", depth)+"/cgroup.procs"] = "1\n"
	}
	tests := map[string]struct {
		files map[string]string
		want  Opt[uint64]
	}{
		"of a group":          {map[string]string{"g/cgroup.procs": "10\n11\n"}, known[uint64](2)},
		"of an empty group":   {map[string]string{"g/cgroup.procs": ""}, known[uint64](0)},
		"of other namespaces": {map[string]string{"g/cgroup.procs": "0\n0\n12\n"}, known[uint64](3)},
		"of the groups below": {map[string]string{"g/cgroup.procs": "1\n", "g/a/cgroup.procs": "2\n3\n", "g/a/b/cgroup.procs": "4\n"}, known[uint64](4)},
		"page by page":        {map[string]string{"g/cgroup.procs": strings.Repeat("1234567\n", 5000)}, known[uint64](5000)},
		"not if too many":     {map[string]string{"g/cgroup.procs": strings.Repeat("1234567\n", maxContent/8)}, Opt[uint64]{}},
		"not in too many":     {many, Opt[uint64]{}},
		"not too far below":   {deep, Opt[uint64]{}},
		"not if nobody tells": {map[string]string{"g/pids.current": "1\n"}, Opt[uint64]{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, map[string]string{"cgroup.controllers": "pids\n"})
			write(t, root, tt.files)
			got, err := open(t, newFS(t, Options{Root: root}), "/g").ProcessCount()
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestProcessesOfALiveGroupAreCounted(t *testing.T) {
	l := newLive(t)
	g := open(t, l.fs, l.path)
	start := func(n int) {
		for range n {
			cmd := exec.Command("sleep", "60")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			l.set(t, "cgroup.procs", strconv.Itoa(cmd.Process.Pid))
		}
	}
	for _, n := range []int{0, 3} {
		start(n)
		if got, err := g.ProcessCount(); err != nil || got != known(uint64(n)) {
			t.Errorf("got %v, %v, want %d", got, err, n)
		}
	}
	allocs := testing.AllocsPerRun(20, func() { _, _ = g.ProcessCount() })
	if allocs != 0 {
		t.Errorf("%v allocations where there are no groups below", allocs)
	}
	l.remove()
	if _, err := l.fs.Open(l.path); err == nil {
		t.Skip("the group cannot be removed while it is inhabited")
	}
	if _, err := g.ProcessCount(); !errors.Is(err, ErrGone) {
		t.Errorf("of no group: %v", err)
	}
}

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestProcessesAreThoseOfTheGroupAndOfTheGroupsBelow(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"cgroup.controllers":       "cpu memory pids\n",
		"docker/a/cgroup.procs":    "10\n11\n0\n",
		"docker/a/in/cgroup.procs": "12\n",
		"docker/b/cgroup.procs":    "13\n",
	})
	f := newFS(t, Options{Root: root})
	got, err := f.Processes([]int{1}, "/docker/a", 10)
	if err != nil || !slices.Equal(got, []int{1, 10, 11, 12}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = f.Processes(nil, "/docker/a", 1); err != nil || !slices.Equal(got, []int{10}) {
		t.Errorf("at most one: got %v, %v", got, err)
	}
	if _, err = f.Processes(nil, "/docker/c", 1); !errors.Is(err, ErrGone) {
		t.Errorf("of no group: %v", err)
	}
}

func TestProcessesOfAGroupThatMakesGroupsWithoutEndAreBounded(t *testing.T) {
	root := t.TempDir()
	files := map[string]string{"cgroup.controllers": "pids\n", "a/cgroup.procs": ""}
	for i := range 2 * maxBelow {
		files[fmt.Sprintf("a/%d/cgroup.procs", i)] = "7\n"
	}
	deep := "a" + strings.Repeat("/deep", 3*maxBelowDepth)
	files[deep+"/cgroup.procs"] = "8\n"
	write(t, root, files)
	f := newFS(t, Options{Root: root})
	got, err := f.Processes(nil, "/a", 1<<20)
	if err != nil || len(got) == 0 || len(got) > maxBelow || slices.Contains(got, 8) {
		t.Errorf("%d processes, %v", len(got), err)
	}
}

func TestTheFirstProcessIsOneOfTheGroupOrElseOfThoseBelow(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"cgroup.controllers":     "cpu memory pids\n",
		"own/cgroup.procs":       "10\n11\n",
		"below/cgroup.procs":     "",
		"below/in/cgroup.procs":  "12\n",
		"hidden/cgroup.procs":    "0\n0\n", // of another pid namespace
		"empty/cgroup.procs":     "",
		"damaged/cgroup.procs":   "ten\n",
		"many/cgroup.procs":      strings.Repeat("20\n", 10_000),
		"own/below/cgroup.procs": "9\n",
	})
	f := newFS(t, Options{Root: root})
	for group, want := range map[string]int{"/own": 10, "/below": 12, "/hidden": 0, "/empty": 0, "/damaged": 0, "/many": 20} {
		g := open(t, f, group)
		if got, err := g.FirstProcess(); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", group, got, err, want)
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = g.FirstProcess() }); n != 0 && group != "/below" {
			t.Errorf("%s: %v allocations", group, n)
		}
	}
	g := open(t, f, "/empty")
	for _, what := range []string{"cgroup.procs", ""} { // first as of a hierarchy that does not have the group
		if err := os.Remove(filepath.Join(root, "empty", what)); err != nil {
			t.Fatal(err)
		}
		if _, err := g.FirstProcess(); errors.Is(err, ErrGone) != (what == "") {
			t.Errorf("without %q: %v", what, err)
		}
	}
}

func TestProcessesOfALiveGroupAreFound(t *testing.T) {
	l := newLive(t)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	l.set(t, "cgroup.procs", strconv.Itoa(cmd.Process.Pid))
	got, err := l.fs.Processes(nil, l.path, 10)
	if err != nil || !slices.Equal(got, []int{cmd.Process.Pid}) {
		t.Errorf("got %v, %v, want %d", got, err, cmd.Process.Pid)
	}
}

func TestAListOfProcessesLongerThanAPageIsReadToItsEnd(t *testing.T) {
	var list strings.Builder
	for pid := range 10_000 {
		fmt.Fprintln(&list, pid+1)
	}
	root := t.TempDir()
	write(t, root, map[string]string{"cgroup.controllers": "pids\n", "a/cgroup.procs": list.String()})
	f := newFS(t, Options{Root: root})
	if got, err := f.Processes(nil, "/a", 1<<20); err != nil || len(got) != 10_000 {
		t.Errorf("%d processes, %v", len(got), err)
	}
}

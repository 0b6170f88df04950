package agent

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

const (
	busyID = "1111111111111111111111111111111111111111111111111111111111111111"
	idleID = "2222222222222222222222222222222222222222222222222222222222222222"
)

// harbour is a tree of control groups with a source on it that a test ticks by
// hand.
type harbour struct {
	t       testing.TB
	root    string // of control groups
	roots   node.Roots
	jobs    Jobs
	source  *cgroupSource
	version uint64
	list    []discover.Container
	ooms    []string
	batch   sample.Batch
	tick    uint64
	now     time.Time
	ended   map[*sample.Group]bool
}

// newHarbour starts from a fixture of package cgroup. Its files are opened each
// time: those of a copy, unlike the kernel's, can be read when they are removed.
func newHarbour(t testing.TB, fixture string, containers ...discover.Container) *harbour {
	t.Helper()
	h := &harbour{t: t, root: t.TempDir(), list: containers, now: time.Unix(1_800_000_000, 0), ended: map[*sample.Group]bool{}}
	archive, err := txtar.ParseFile(filepath.Join("cgroup/testdata", fixture+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := txtar.Write(archive, h.root); err != nil {
		t.Fatal(err)
	}
	h.roots = node.Roots{Proc: h.procfs(archive), Sys: h.sysfs(), Root: t.TempDir()}
	plant(t, h.roots.Root, map[string]string{"etc/machine-id": "9f0e4c2ab7d84e5f8a1b3c6d7e8f9a0b\n"})
	h.open(cgroup.Options{Root: h.root, Sysfs: h.roots.Sys, MaxOpen: 1})
	return h
}

// plant writes files below a folder.
func plant(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *harbour) open(opts cgroup.Options) {
	h.t.Helper()
	fs, err := cgroup.New(opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.source, err = newCgroupSource(fs, CgroupOptions{
		Roots:      h.roots,
		Lanes:      DefaultLanes(),
		Jobs:       h.jobs,
		Containers: func() (uint64, []discover.Container) { return h.version, h.list },
		OOMs:       func() []string { ids := h.ooms; h.ooms = nil; return ids },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { h.source.Close() })
}

// procfs is that of a machine on which the processes of an archive run.
func (h *harbour) procfs(archive *txtar.Archive) string {
	h.t.Helper()
	proc := h.t.TempDir()
	if err := os.CopyFS(proc, os.DirFS("node/testdata/kernel-6.18/proc")); err != nil {
		h.t.Fatal(err)
	}
	for _, f := range archive.Files {
		if filepath.Base(f.Name) != "cgroup.procs" {
			continue
		}
		for pid := range strings.FieldsSeq(string(f.Data)) {
			plant(h.t, proc, map[string]string{pid + "/limits": limitsOf("1024")})
		}
	}
	return proc
}

// limitsOf is a /proc/PID/limits.
func limitsOf(openFiles string) string {
	return fmt.Sprintf("%-26s%-21s%-21s%s\n%-26s%-21s%-21s%s\n", "Limit", "Soft Limit", "Hard Limit", "Units", "Max open files", openFiles, "1048576", "files")
}

// sysfs names the devices of the fixtures, and has the two CPUs of theirs in one
// socket.
func (h *harbour) sysfs() string {
	sysfs := h.t.TempDir()
	files := map[string]string{
		"dev/block/1:0/uevent":      "DEVNAME=ram0\n",
		"dev/block/254:0/uevent":    "DEVNAME=vda\n",
		"class/dmi/id/product_uuid": "4c4c4544-0042-3510-8052-b4c04f4e4e32\n",
	}
	for cpu := range 2 {
		topology := fmt.Sprintf("devices/system/cpu/cpu%d/topology/", cpu)
		files[topology+"core_id"] = fmt.Sprintln(cpu)
		files[topology+"thread_siblings_list"] = fmt.Sprintln(cpu)
		files[topology+"physical_package_id"] = "0\n"
		files[topology+"core_siblings_list"] = "0-1\n"
	}
	plant(h.t, sysfs, files)
	return sysfs
}

func (h *harbour) there(list ...discover.Container) { h.list = list; h.version++ }

// sail is the next tick, one second later. It checks what has to hold for all
// that a source does with its groups.
func (h *harbour) sail() map[string]string {
	h.t.Helper()
	if err := h.collect(); err != nil {
		h.t.Fatal(err)
	}
	return values(&h.batch)
}

func (h *harbour) collect() error {
	h.t.Helper()
	h.batch.Reset(h.tick, h.now)
	h.tick++
	h.now = h.now.Add(time.Second)
	err := h.source.Collect(context.Background(), &h.batch)
	consistent(h.t, &h.batch, h.ended)
	return err
}

// consistent complains of a batch in which a series has two samples, or that breaks
// the word of those before it: ended are the groups that have ended by then.
func consistent(t testing.TB, b *sample.Batch, ended map[*sample.Group]bool) {
	t.Helper()
	has := make(map[string]bool)
	for _, c := range b.Columns {
		if ended[c.Group] {
			t.Errorf("tick %d: a group that has ended is back: %v", b.Tick, c.Group.Labels)
		}
		for _, s := range c.Group.Series {
			key := s.Metric.Name + labels(c.Group.Labels, s.Labels)
			if has[key] {
				t.Errorf("tick %d: two samples of %s", b.Tick, key)
			}
			has[key] = true
		}
	}
	for _, g := range b.Ended {
		if ended[g] {
			t.Errorf("tick %d: a group ends twice: %v", b.Tick, g.Labels)
		}
		ended[g] = true
		for _, s := range g.Series {
			if key := s.Metric.Name + labels(g.Labels, s.Labels); has[key] {
				t.Errorf("tick %d: %s ends where it has a sample", b.Tick, key)
			}
		}
	}
}

// skip is n ticks.
func (h *harbour) skip(n int) {
	h.t.Helper()
	for range n {
		h.sail()
	}
}

// write changes a file of a container's group, by its path from the root.
func (h *harbour) write(name, content string) {
	h.t.Helper()
	plant(h.t, h.root, map[string]string{name: content})
}

// remove takes a container's group away, and returns how to bring it back.
func (h *harbour) remove(path string) (back func()) {
	h.t.Helper()
	dirs, _ := filepath.Glob(filepath.Join(h.root, "*", path))
	dirs = append(dirs, filepath.Join(h.root, path))
	hidden := h.t.TempDir()
	moved := make(map[string]string)
	for i, dir := range dirs {
		to := filepath.Join(hidden, strconv.Itoa(i))
		if os.Rename(dir, to) == nil {
			moved[to] = dir
		}
	}
	if len(moved) == 0 {
		h.t.Fatalf("no group %s", path)
	}
	return func() {
		for to, dir := range moved {
			if err := os.Rename(to, dir); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// endedNames are the metrics of which a series ended at the last tick.
func (h *harbour) endedNames() []string {
	names := make(map[string]bool)
	for _, g := range h.batch.Ended {
		for _, s := range g.Series {
			names[s.Metric.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// web is the busy container of the fixtures, cron the idle one.
func web() discover.Container {
	return discover.Container{
		Cgroup: "/docker/" + busyID, Runtime: "docker", ID: busyID,
		Known: true, Name: "web", Image: "shop/web:2.1", Health: discover.Healthy,
		Created: time.Unix(1_799_990_000, 0), Started: time.Unix(1_799_999_000, 5e8),
		Labels: map[string]string{
			"com.docker.compose.project": "shop",
			"com.docker.compose.service": "web",
			"maintainer":                 "somebody", // not wanted
		},
	}
}

func cron() discover.Container {
	return discover.Container{Cgroup: "/docker/" + idleID, Runtime: "docker", ID: idleID, Known: true, Name: "cron", Image: "shop/cron:1"}
}

func scoped(c discover.Container) discover.Container {
	c.Cgroup = "/system.slice/docker-" + c.ID + ".scope"
	return c
}

// of picks the values of one metric that have all of some labels in their text.
func of(got map[string]string, metric string, with ...string) []string {
	var found []string
	for series, value := range got {
		if name, _, _ := strings.Cut(series, "{"); name != metric {
			continue
		}
		if !slices.ContainsFunc(with, func(l string) bool { return !strings.Contains(series, l) }) {
			found = append(found, value)
		}
	}
	slices.Sort(found)
	return found
}

func want(t *testing.T, got map[string]string, value, metric string, with ...string) {
	t.Helper()
	found := of(got, metric, with...)
	if value == "" && len(found) == 0 {
		return
	}
	if len(found) != 1 || found[0] != value {
		t.Errorf("%s%v is %q, want %q", metric, with, found, value)
	}
}

// proc is a copy of the fixture's /proc that a test may change.
func (h *harbour) proc() string {
	h.t.Helper()
	proc := h.t.TempDir()
	for _, name := range []string{"stat", "meminfo", "diskstats"} {
		data, err := os.ReadFile(filepath.Join(h.roots.Proc, name))
		if err != nil {
			h.t.Fatal(err)
		}
		plant(h.t, proc, map[string]string{name: string(data)})
	}
	h.source.Close()
	h.roots.Proc = proc
	h.open(cgroup.Options{Root: h.root, MaxOpen: 1})
	return proc
}

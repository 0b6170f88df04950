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

	"github.com/google/go-cmp/cmp"
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

	has := make(map[string]bool)
	for _, c := range h.batch.Columns {
		if h.ended[c.Group] {
			h.t.Errorf("tick %d: a group that has ended is back: %v", h.batch.Tick, c.Group.Labels)
		}
		for _, s := range c.Group.Series {
			key := s.Metric.Name + labels(c.Group.Labels, s.Labels)
			if has[key] {
				h.t.Errorf("tick %d: two samples of %s", h.batch.Tick, key)
			}
			has[key] = true
		}
	}
	for _, g := range h.batch.Ended {
		if h.ended[g] {
			h.t.Errorf("tick %d: a group ends twice: %v", h.batch.Tick, g.Labels)
		}
		h.ended[g] = true
		for _, s := range g.Series {
			if key := s.Metric.Name + labels(g.Labels, s.Labels); has[key] {
				h.t.Errorf("tick %d: %s ends where it has a sample", h.batch.Tick, key)
			}
		}
	}
	return err
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

func TestCgroupSourceSaysWhatItLacks(t *testing.T) {
	none := func() (uint64, []discover.Container) { return 0, nil }
	for name, opts := range map[string]CgroupOptions{
		"needs to be told of containers": {Root: t.TempDir()},
		"--path.cgroup":                  {Root: t.TempDir(), Containers: none},
	} {
		if _, err := CgroupSource(opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

func TestCgroupExposition(t *testing.T) {
	for fixture, containers := range map[string][]discover.Container{
		"v1":     {web(), cron()},
		"v2":     {scoped(web()), scoped(cron())},
		"hybrid": {web(), cron()},
	} {
		t.Run(fixture, func(t *testing.T) {
			h := newHarbour(t, fixture, containers...)
			h.sail()
			golden(t, "golden_"+fixture+".prom", exposition(&h.batch))
		})
	}
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

func TestContainerWithoutMemoryLimitHasLimitZero(t *testing.T) {
	for _, fixture := range []string{"v1", "v2", "hybrid"} {
		t.Run(fixture, func(t *testing.T) {
			c := cron()
			if fixture == "v2" {
				c = scoped(c)
			}
			got := newHarbour(t, fixture, c).sail()
			want(t, got, "0", "container_spec_memory_limit_bytes", `name="cron"`)
			want(t, got, "", "container_spec_cpu_quota", `name="cron"`)
			want(t, got, "", "container_cpu_cfs_throttled_seconds_total", `name="cron"`)
		})
	}
}

// What the kernel does not say must not turn up as 0, which is a statement.
func TestWhatTheKernelDoesNotSayIsNotExported(t *testing.T) {
	tests := map[string]struct {
		fixture string
		remove  string // glob from the root
		absent  []string
	}{
		"version 1 knows no pressure and no events": {"v1", "", []string{
			"container_pressure_cpu_waiting_seconds_total", "container_pressure_memory_stalled_seconds_total",
			"container_memory_events_high_total", "container_memory_events_max_total",
		}},
		"hybrid without unified groups knows no pressure": {"hybrid", "unified/docker", []string{
			"container_pressure_cpu_waiting_seconds_total", "container_pressure_io_stalled_seconds_total",
		}},
		"a group without memory controller": {"v2", "system.slice/*/memory.[cselm]*", []string{
			"container_memory_usage_bytes", "container_memory_working_set_bytes", "container_memory_rss",
			"container_spec_memory_limit_bytes", "container_oom_events_total", "container_memory_failcnt",
		}},
		"a kernel without memory.peak": {"v2", "system.slice/*/memory.peak", []string{"container_memory_max_usage_bytes"}},
		"a group without I/O":          {"v1", "blkio/docker", []string{"container_fs_reads_total", "container_blkio_device_usage_total"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := web()
			if tt.fixture == "v2" {
				c = scoped(c)
			}
			h := newHarbour(t, tt.fixture, c)
			if tt.remove != "" {
				found, _ := filepath.Glob(filepath.Join(h.root, tt.remove))
				if len(found) == 0 {
					t.Fatal("nothing to remove")
				}
				for _, path := range found {
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 20 { // whichever the lane
				got := h.sail()
				for _, metric := range tt.absent {
					want(t, got, "", metric, `id="`+c.Cgroup)
				}
			}
		})
	}
}

func TestFileThatIsMissingIsSaidToBe(t *testing.T) {
	h := newHarbour(t, "v1", web())
	got := h.sail()
	want(t, got, "0", "plimsoll_agent_source_available", `file="cgroup/cpu.pressure"`)
	want(t, got, "1", "plimsoll_agent_source_available", `file="cgroup/memory/memory.stat"`)
	want(t, got, "1", "plimsoll_agent_containers")
}

func TestLanesAreSpreadOverTheirTicks(t *testing.T) {
	h := newHarbour(t, "v1")
	for i := range 30 {
		c := discover.Container{Cgroup: fmt.Sprintf("/docker/%03d", i), Known: true}
		h.write("memory"+c.Cgroup+"/memory.usage_in_bytes", "1\n")
		h.write("memory"+c.Cgroup+"/memory.stat", "total_rss 1\n")
		h.write("cpu,cpuacct"+c.Cgroup+"/cpuacct.usage", "1\n")
		h.write("pids"+c.Cgroup+"/pids.current", "1\n")
		h.list = append(h.list, c)
	}
	first := h.sail()
	if n := len(of(first, "container_threads")); n != 30 {
		t.Errorf("at its first tick %d of 30 containers are read in full", n)
	}
	for tick := range 30 {
		got := h.sail()
		usage, rss, threads := len(of(got, "container_memory_usage_bytes", "/docker/")), len(of(got, "container_memory_rss", "/docker/")), len(of(got, "container_threads"))
		if usage != 30 || rss != 6 || threads != 2 {
			t.Errorf("tick %d: %d in the first lane, %d in the second, %d in the third; want 30, 6, 2", tick+1, usage, rss, threads)
		}
	}
}

func TestMemoryIsReadAtOnceWhenUsageJumps(t *testing.T) {
	usage := "memory/docker/" + busyID + "/memory.usage_in_bytes"
	tests := map[string]struct {
		from, to uint64
		jump     bool
	}{
		"by more than 1 MiB and 2 %": {100 << 20, 103 << 20, true},
		"downwards, too":             {103 << 20, 99 << 20, true},
		"but not by less than 2 %":   {100 << 20, 101<<20 + 1<<19, false},
		"and not by less than 1 MiB": {1 << 20, 3 << 19, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, "v1", web())
			h.write(usage, strconv.FormatUint(tt.from, 10)+"\n")
			h.skip(2)
			h.write(usage, strconv.FormatUint(tt.to, 10)+"\n")
			if n := len(of(h.sail(), "container_memory_rss")); (n == 1) != tt.jump {
				t.Errorf("memory.stat was read %d times at that tick", n)
			}
			if n := len(of(h.sail(), "container_memory_rss")); n != 0 {
				t.Error("and once more at the next, though nothing moved")
			}
		})
	}
}

func TestThrottlingIsOnlyToldWhileThereIsAQuota(t *testing.T) {
	h := newHarbour(t, "v1", web())
	want(t, h.sail(), "7.669409147", "container_cpu_cfs_throttled_seconds_total")
	h.write("cpu,cpuacct/docker/"+busyID+"/cpu.cfs_quota_us", "-1\n")
	h.skip(15)
	want(t, h.sail(), "", "container_cpu_cfs_throttled_seconds_total")
}

func TestDockerContainerWaitsForItsName(t *testing.T) {
	anonymous := web()
	anonymous.Known, anonymous.Name, anonymous.Image, anonymous.Labels = false, "", "", nil
	const usage, named = "container_cpu_usage_seconds_total", `name="web"`

	t.Run("and then has never been anything else", func(t *testing.T) {
		h := newHarbour(t, "v1", anonymous)
		want(t, h.sail(), "", usage, busyID)
		h.there(web())
		want(t, h.sail(), "4.075270514", usage, busyID, named)
		if len(h.batch.Ended) != 0 {
			t.Errorf("ended: %v", h.endedNames())
		}
	})
	t.Run("two seconds and no longer", func(t *testing.T) {
		h := newHarbour(t, "v1", anonymous)
		h.skip(2)
		got := h.sail()
		want(t, got, "4.075270514", usage, busyID)
		want(t, got, "", usage, named)
		want(t, got, "4136960", "container_memory_rss", busyID) // all of it, at its first tick
	})
	t.Run("and changes its series when it comes late", func(t *testing.T) {
		h := newHarbour(t, "v1", anonymous)
		h.skip(4)
		h.there(web())
		got := h.sail()
		want(t, got, "4.075270514", usage, busyID, named)
		want(t, got, "4.075270514", usage, busyID) // the only one
		if !slices.Contains(h.endedNames(), usage) || !slices.Contains(h.endedNames(), "container_last_seen") {
			t.Errorf("ended: %v", h.endedNames())
		}
	})
	t.Run("not if it is no Docker container", func(t *testing.T) {
		other := anonymous
		other.Runtime = "containerd"
		want(t, newHarbour(t, "v1", other).sail(), "4.075270514", usage, busyID)
	})
}

func TestNewsThatChangeNoLabelChangeNoSeries(t *testing.T) {
	h := newHarbour(t, "v1", web())
	h.sail()
	later := web()
	later.Started = later.Started.Add(time.Hour)
	h.there(later)
	h.skip(15)
	if len(h.ended) != 0 {
		t.Errorf("%d groups ended", len(h.ended))
	}
}

func TestEndOfAContainer(t *testing.T) {
	const usage, seen, ooms = "container_cpu_usage_seconds_total", "container_last_seen", "container_oom_events_total"
	t.Run("found by its removed group", func(t *testing.T) {
		h := newHarbour(t, "hybrid", web(), cron())
		h.skip(3)
		h.remove(web().Cgroup)
		want(t, h.sail(), "", usage, "web")
		if !slices.Contains(h.endedNames(), usage) || slices.Contains(h.endedNames(), seen) {
			t.Errorf("ended: %v", h.endedNames())
		}
		want(t, h.sail(), "0", usage, "cron")
	})
	t.Run("told, with a last reading", func(t *testing.T) {
		h := newHarbour(t, "hybrid", web())
		h.skip(3)
		h.write("unified/docker/"+busyID+"/cpu.stat", "usage_usec 999000000\n")
		h.there()
		got := h.sail()
		want(t, got, "999", usage, "web")
		want(t, got, "1", ooms, "web")
		want(t, h.sail(), "", usage, "web")
		if !slices.Contains(h.endedNames(), usage) {
			t.Errorf("ended: %v", h.endedNames())
		}
	})
	t.Run("leaves for five minutes when it was seen and what killed it", func(t *testing.T) {
		h := newHarbour(t, "hybrid", web())
		h.skip(4) // last seen 3 s after the start
		h.remove(web().Cgroup)
		h.there()
		for second := 4; second < 304; second++ {
			for _, value := range of(h.sail(), seen, "web") {
				if value != "1800000003" {
					t.Fatalf("second %d: last seen %s", second, value)
				}
			}
		}
		if got := h.sail(); len(of(got, seen, "web")) != 0 || !slices.Contains(h.endedNames(), ooms) {
			t.Errorf("after 5 minutes %v is left, %v ended", of(got, seen, "web"), h.endedNames())
		}
		if h.sail(); len(h.source.remains.list) != 0 {
			t.Error("still remembered")
		}
	})
	t.Run("by lack of memory is known from the engine", func(t *testing.T) {
		h := newHarbour(t, "hybrid", cron())
		want(t, h.sail(), "0", ooms, "cron")
		h.remove(cron().Cgroup)
		h.there()
		h.sail()
		h.ooms = []string{idleID, "somebody else"} // later than the end
		want(t, h.sail(), "1", ooms, "cron")
	})
	t.Run("of a child by lack of memory is told at once and counted once", func(t *testing.T) {
		h := newHarbour(t, "hybrid", cron())
		h.skip(2)
		h.write("memory/docker/"+idleID+"/memory.oom_control", "oom_kill 1\n")
		h.ooms = []string{idleID, idleID, idleID} // the same kill
		want(t, h.sail(), "1", ooms, "cron")
		h.ooms = []string{idleID} // late
		var last []string
		for range 15 {
			if v := of(h.sail(), ooms, "cron"); len(v) > 0 {
				last = v
			}
		}
		if len(last) != 1 || last[0] != "1" {
			t.Errorf("counted %v", last)
		}
	})
}

func TestRestartedContainerGoesOnWithItsCount(t *testing.T) {
	h := newHarbour(t, "v1", web())
	want(t, h.sail(), "1", "container_oom_events_total", "web")
	back := h.remove(web().Cgroup)
	h.sail()
	back()
	h.write("memory/docker/"+busyID+"/memory.oom_control", "oom_kill 2\n")
	seen := 0
	for range 4 {
		got := h.sail()
		seen += len(of(got, "container_cpu_usage_seconds_total", "web"))
		for _, n := range of(got, "container_oom_events_total", "web") {
			if n != "1" && n != "3" {
				t.Errorf("kills before and after the restart: %s, want 1 and then 3", n)
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d of 4 ticks after the restart have it", seen)
	}
	if n := len(h.source.remains.list); n != 0 {
		t.Errorf("%d remain beside it", n)
	}
}

// A container that is killed and restarted at once is listed all the time, and
// its group is another by the next tick.
func TestAKillThatRestartsAContainerIsCountedOnce(t *testing.T) {
	const ooms = "container_oom_events_total"
	for name, late := range map[string]int{"told before the end is seen": 0, "told while it ends": 1} {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, "v1", cron())
			want(t, h.sail(), "0", ooms, "cron")
			var last []string
			for kills := 1; kills <= 4; kills++ {
				back := h.remove(cron().Cgroup)
				for tick := range 20 {
					if tick == late {
						h.ooms = []string{idleID, idleID} // one kill, as version 1 has it told
					}
					if tick == 1 {
						back()
					}
					if v := of(h.sail(), ooms, "cron"); len(v) > 0 {
						last = v
					}
				}
				if len(last) != 1 || last[0] != strconv.Itoa(kills) {
					t.Fatalf("after %d kills counted %v", kills, last)
				}
			}
		})
	}
}

func TestKernelWithoutACountOfKillsLeavesItToTheEngine(t *testing.T) {
	const ooms = "container_oom_events_total"
	h := newHarbour(t, "v1", cron())
	h.write("memory/docker/"+idleID+"/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n")
	want(t, h.sail(), "", ooms, "cron")
	for _, kills := range []string{"1", "2"} {
		h.ooms = []string{idleID, idleID}
		want(t, h.sail(), kills, ooms, "cron")
	}
}

func TestContainerListedAgainAtOnceDoesNotRunIntoItsOwnEnd(t *testing.T) {
	h := newHarbour(t, "hybrid", web())
	h.sail()
	for range 10 { // harbour.collect checks the rest
		h.there()
		h.sail()
		h.there(web())
		h.sail()
	}
	h.skip(2)
	want(t, h.sail(), "0.12337", "container_cpu_usage_seconds_total", "web")
}

func TestOnlySoManyRemain(t *testing.T) {
	h := newHarbour(t, "v1")
	const n = maxRemains + 10
	for i := range n {
		c := discover.Container{Cgroup: fmt.Sprintf("/docker/%04d", i), Known: true}
		h.write("cpu,cpuacct"+c.Cgroup+"/cpuacct.usage", "1\n")
		h.list = append(h.list, c)
	}
	h.sail()
	h.there()
	h.skip(20)
	if len(h.source.remains.list) != maxRemains || h.source.remains.dropped != n-maxRemains {
		t.Errorf("%d remain, %d were dropped", len(h.source.remains.list), h.source.remains.dropped)
	}
}

func TestDevicesComeAndGo(t *testing.T) {
	h := newHarbour(t, "v2", scoped(web()))
	stat := scoped(web()).Cgroup + "/io.stat"
	want(t, h.sail(), "1015808", "container_fs_writes_bytes_total", `device="/dev/vda"`, web().ID)
	h.write(stat, "1:0 rbytes=7 wbytes=0 rios=1 wios=0\n")
	for range 15 {
		h.sail()
		if slices.Contains(h.endedNames(), "container_fs_writes_bytes_total") {
			want(t, values(&h.batch), "7", "container_fs_reads_bytes_total", `device="/dev/ram0"`)
			want(t, values(&h.batch), "7", "container_blkio_device_usage_total", `operation="Read"`, `major="1"`)
			return
		}
	}
	t.Error("the device that is gone has not ended")
}

func TestOneContainerThatCannotBeReadCostsNoOther(t *testing.T) {
	h := newHarbour(t, "v1", web(), cron())
	h.write("memory/docker/"+busyID+"/memory.stat", "total_rss much\n")
	err := h.collect()
	if err == nil || !strings.Contains(err.Error(), "memory.stat") || !strings.Contains(err.Error(), busyID) {
		t.Errorf("error %v, want one that names file and container", err)
	}
	got := values(&h.batch)
	want(t, got, "4.075270514", "container_cpu_usage_seconds_total", "web")
	want(t, got, "", "container_memory_rss", "web")
	want(t, got, "0", "container_memory_rss", "cron")
}

func TestTickThatHasNoTimeLeftSaysSo(t *testing.T) {
	h := newHarbour(t, "v1", web(), cron())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var b sample.Batch
	b.Reset(0, h.now)
	if err := h.source.Collect(ctx, &b); err == nil || !strings.Contains(err.Error(), "not all containers") {
		t.Errorf("error %v", err)
	}
}

func TestContainersCannotForgeLabels(t *testing.T) {
	c := web()
	c.Name = "\xff\xfeevil\nname"
	c.Image = strings.Repeat("ß", 1000)
	c.Labels = map[string]string{
		"com.docker.compose.project": strings.Repeat("x", 100_000),
		"com.docker.compose.service": "",
		"__name__":                   "up", "instance": "other", "job": "other",
	}
	h := newHarbour(t, "v1", c)
	h.sail()
	got := make(map[string]string)
	for _, l := range h.source.containers[0].series.labels {
		got[l.Name] = l.Value
	}
	wanted := map[string]string{
		"id": c.Cgroup, "job": "cadvisor", "name": "\uFFFDevil\nname", "image": strings.Repeat("ß", 512),
		"container_label_com_docker_compose_project": strings.Repeat("x", 1024),
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
	const mended = "plimsoll_agent_container_labels_mended_total"
	want(t, values(&h.batch), "3", mended)
	h.there(c) // as when another has come
	h.skip(14)
	want(t, h.sail(), "3", mended)
}

func TestWantedLabels(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprint("label.", i)
	}
	tests := map[string]struct {
		keys []string
		want []string
	}{
		"get a legal name":                 {[]string{"com.example/a-b é"}, []string{"container_label_com_example_a_b__"}},
		"that come to the same count once": {[]string{"a.b", "a-b"}, []string{"container_label_a_b"}},
		"are limited in number":            {many, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNaming(tt.keys)
			if len(n.wanted) > maxLabels {
				t.Errorf("%d labels", len(n.wanted))
			}
			for i := range tt.want {
				if n.wanted[i].name != tt.want[i] || len(n.wanted) != len(tt.want) {
					t.Errorf("%v, want %q", n.wanted, tt.want)
				}
			}
		})
	}
}

func FuzzCleanLabel(f *testing.F) {
	f.Add("web")
	f.Add("\xff" + strings.Repeat("é", 600))
	f.Fuzz(func(t *testing.T, value string) {
		n := newNaming(nil)
		got := n.clean(value)
		if strings.ToValidUTF8(got, "") != got || len(got) > 3*maxLabelValue {
			t.Errorf("%q becomes %q", value, got)
		}
		if again := n.clean(got); len(got) <= maxLabelValue && again != got {
			t.Errorf("%q becomes %q and then %q", value, got, again)
		}
	})
}

// podOf are the rows of a pod as discovery finds them at first, by their paths
// alone, and what they are called. The container is the busy one.
func podOf() (pod, sandbox, app discover.Container) {
	const dir, uid = "/kubepods/burstable/pod0f6a3b2c-1111-4222-8333-444455556666", "0f6a3b2c-1111-4222-8333-444455556666"
	pod = discover.Container{Cgroup: dir, Kind: discover.Pod, PodUID: uid}
	sandbox = discover.Container{Cgroup: dir + "/" + idleID, ID: idleID, PodUID: uid}
	app = discover.Container{Cgroup: dir + "/" + busyID, ID: busyID, PodUID: uid}
	return pod, sandbox, app
}

func named(pod, sandbox, app discover.Container) []discover.Container {
	rows := []*discover.Container{&pod, &sandbox, &app}
	for _, c := range rows {
		c.Known, c.Namespace, c.PodName = true, "shop", "web-0"
	}
	sandbox.Kind, sandbox.Image = discover.Sandbox, "pause:3.9"
	app.Name, app.ContainerName, app.Image, app.Runtime = "web", "web", "shop/web:2.1", "containerd"
	return []discover.Container{pod, sandbox, app}
}

// newPod is a harbour whose groups are those of a pod.
func newPod(t *testing.T, list ...discover.Container) *harbour {
	h := newHarbour(t, "v1", list...)
	pod, sandbox, app := podOf()
	for _, controller := range []string{"cpu,cpuacct", "memory", "pids", "blkio"} {
		dir := filepath.Join(h.root, controller)
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(pod.Cgroup)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "docker"), filepath.Join(dir, pod.Cgroup)); err != nil {
			t.Fatal(err)
		}
	}
	h.write("cpu,cpuacct"+pod.Cgroup+"/cpuacct.usage", "5000000000\n")
	h.write("memory"+pod.Cgroup+"/memory.oom_control", "oom_kill 0\n")
	h.write("pids"+pod.Cgroup+"/cgroup.procs", "")
	h.write("pids"+sandbox.Cgroup+"/cgroup.procs", "100\n")
	h.write("pids"+app.Cgroup+"/cgroup.procs", "101\n102\n")
	return h
}

func TestRowsOfAPodAreLabelledAsKubeletLabelsThem(t *testing.T) {
	rows := named(podOf())
	h := newPod(t, rows...)
	got := h.sail()
	const pod = `,job="cadvisor",namespace="shop",pod="web-0"`
	series := map[string]string{
		`container_cpu_usage_seconds_total{cpu="total",id="` + rows[0].Cgroup + `"` + pod + `}`:                                                                                             "5",
		`container_cpu_usage_seconds_total{cpu="total",id="` + rows[1].Cgroup + `",image="pause:3.9",job="cadvisor",name="` + idleID + `",namespace="shop",pod="web-0"}`:                    "0",
		`container_cpu_usage_seconds_total{container="web",cpu="total",id="` + rows[2].Cgroup + `",image="shop/web:2.1",job="cadvisor",name="` + busyID + `",namespace="shop",pod="web-0"}`: "4.075270514",
		`container_cpu_usage_seconds_total{cpu="total",id="/",job="cadvisor"}`:                                                                                                              "8.934960833",
		`container_processes{id="` + rows[0].Cgroup + `"` + pod + `}`:                                                                                                                       "3",
	}
	for name, value := range series {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if n := len(of(got, "container_cpu_usage_seconds_total")); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
	want(t, got, "2", "plimsoll_agent_containers") // a pod is none
}

func TestKillsInAPodAreThoseOfItsContainers(t *testing.T) {
	rows := named(podOf())
	h := newPod(t, rows...)
	got := h.sail()
	if kills := of(got, "container_oom_events_total"); !slices.Equal(kills, []string{"0", "1"}) {
		t.Errorf("kills %v, want those of the sandbox and the container", kills)
	}
	h.there()
	for range 20 { // nor among what remains
		want(t, h.sail(), "", "container_oom_events_total", `id="`+rows[0].Cgroup+`"`)
	}
}

func TestRowsOfAPodAreNamedLateWithoutAGap(t *testing.T) {
	const usage = "container_cpu_usage_seconds_total"
	pod, sandbox, app := podOf()
	h := newPod(t, pod, sandbox, app)
	for _, series := range []map[string]string{h.sail(), h.sail()} {
		want(t, series, "4.075270514", usage, app.Cgroup)
		for _, label := range []string{"container=", "pod=", "namespace=", "image=", "name="} {
			want(t, series, "", usage, label)
		}
	}
	h.there(named(pod, sandbox, app)...)
	got := h.sail()
	if n := len(of(got, usage, `pod="web-0"`)); n != 3 || len(of(got, usage)) != 4 {
		t.Errorf("%d of 3 rows have their names: %v", n, got)
	}
	if !slices.Contains(h.endedNames(), usage) {
		t.Errorf("ended: %v", h.endedNames())
	}
	h.skip(2)
}

func TestNameOfAContainerInAPod(t *testing.T) {
	tests := map[string]struct {
		of   discover.Container
		want string
	}{
		"is its id on containerd":               {discover.Container{Known: true, PodUID: "u", ID: "1234", Name: "app"}, "1234"},
		"is the engine's if that names it":      {discover.Container{Known: true, PodUID: "u", ID: "1234", Name: "k8s_app_web-0_shop_u_0"}, "k8s_app_web-0_shop_u_0"},
		"is unknown until the runtime is heard": {discover.Container{PodUID: "u", ID: "1234"}, ""},
		"is the engine's outside of pods":       {discover.Container{Known: true, ID: "1234", Name: "app"}, "app"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := nameOf(&tt.of); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHealthIsWhatTheEngineSays(t *testing.T) {
	podman, unheard, inPod, sandbox := web(), web(), web(), web()
	podman.Runtime = "podman"
	unheard.Known = false
	inPod.Runtime, inPod.PodUID = "containerd", "u"
	sandbox.Kind = discover.Sandbox
	tests := map[string]struct {
		of     discover.Container
		health discover.Health
		want   string
	}{
		"healthy":                      {web(), discover.Healthy, "1"},
		"not yet":                      {web(), discover.Starting, "0"},
		"unhealthy":                    {web(), discover.Unhealthy, "0"},
		"unchecked":                    {web(), discover.NoHealth, "-1"},
		"nothing where nobody checks":  {inPod, discover.NoHealth, ""},
		"nothing of a sandbox":         {sandbox, discover.NoHealth, ""},
		"nothing where nobody is told": {podman, discover.NoHealth, ""},
		"nothing before it is heard":   {unheard, discover.NoHealth, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.of.Health = tt.health
			h := newHarbour(t, "v1", tt.of)
			h.skip(2) // its patience
			var got map[string]string
			for range 15 {
				if got = h.sail(); len(of(got, "container_threads")) > 0 {
					break
				}
			}
			want(t, got, tt.want, "container_health_state")
		})
	}
}

func TestReadingsThatFailAreTold(t *testing.T) {
	h := newHarbour(t, "v1", web())
	got := h.sail()
	want(t, got, "0", "container_scrape_error")
	want(t, got, "0", "machine_scrape_error")
	h.write("memory/docker/"+busyID+"/memory.stat", "total_rss much\n")
	var told []string
	for range 30 {
		_ = h.collect()
		told = append(told, of(values(&h.batch), "container_scrape_error")...)
	}
	if !slices.Equal(told, []string{"1", "1"}) {
		t.Errorf("told %v", told)
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

func TestMachineIsAsLargeAsItIsNow(t *testing.T) {
	h := newHarbour(t, "v2")
	proc := h.proc()
	got := h.sail()
	for metric, value := range map[string]string{
		"machine_cpu_cores": "2", "machine_cpu_physical_cores": "2", "machine_cpu_sockets": "1",
		"machine_memory_bytes": "25276502016", "machine_swap_bytes": "0",
	} {
		want(t, got, value, metric, `machine_id="9f0e4c2ab7d84e5f8a1b3c6d7e8f9a0b"`, `system_uuid="4c4c4544-`)
		want(t, got, "", metric, "boot_id") // which this copy does not have
	}
	if err := os.RemoveAll(filepath.Join(h.roots.Sys, "devices/system/cpu/cpu1")); err != nil {
		t.Fatal(err)
	}
	h.skip(14)
	plant(t, proc, map[string]string{"stat": "cpu0 1 2 3 4 5 6 7 8 9 10\nbtime 1700000000\n"})
	got = h.sail()
	want(t, got, "1", "machine_cpu_cores")
	want(t, got, "1", "machine_cpu_physical_cores")
	want(t, got, "1700000000", "container_start_time_seconds", `id="/"`)
	h.skip(14)
	plant(t, proc, map[string]string{"stat": "", "meminfo": "MemTotal: 1 kB\n"})
	if err := h.collect(); err == nil {
		t.Error("an empty /proc/stat is no error")
	}
	got = values(&h.batch)
	for _, unknown := range []string{"machine_cpu_cores", "machine_swap_bytes", "container_start_time_seconds", "container_memory_rss", "container_memory_cache"} {
		want(t, got, "", unknown)
	}
	want(t, got, "1024", "machine_memory_bytes")
	want(t, got, "1", "machine_scrape_error")
}

func TestDisksOfTheRootAreThoseOfTheMachine(t *testing.T) {
	h := newHarbour(t, "v2")
	proc := h.proc()
	const busy, root = "container_fs_io_time_seconds_total", `id="/"`
	plant(t, proc, map[string]string{"diskstats": "" +
		" 254 0 vda 10 11 12 13 14 15 16 17 18 60880 20\n" +
		" 7 0 loop0 1 1 1 1 1 1 1 1 1 1 1\n"})
	got := h.sail()
	for metric, value := range map[string]string{
		busy:                             "60.88",
		"container_fs_reads_total":       "10",
		"container_fs_writes_total":      "14",
		"container_fs_reads_bytes_total": "6144", "container_fs_writes_bytes_total": "8192",
		"container_fs_sector_reads_total": "12", "container_fs_sector_writes_total": "16",
		"container_fs_reads_merged_total": "11", "container_fs_writes_merged_total": "15",
		"container_fs_read_seconds_total": "0.013", "container_fs_write_seconds_total": "0.017",
		"container_fs_io_time_weighted_seconds_total": "0.02", "container_fs_io_current": "18",
	} {
		want(t, got, value, metric, root, `device="/dev/vda"`)
	}
	h.skip(14)
	plant(t, proc, map[string]string{"diskstats": " 8 0 sda 1 1 1 1 1 1 1 1 1 1 1\n"})
	got = h.sail()
	want(t, got, "", busy, "vda")
	want(t, got, "0.001", busy, "sda")
	if !slices.Contains(h.endedNames(), busy) {
		t.Errorf("ended: %v", h.endedNames())
	}
	h.skip(14)
	plant(t, proc, map[string]string{"diskstats": "what is this\n"})
	if err := h.collect(); err == nil {
		t.Error("no error")
	}
	want(t, values(&h.batch), "", busy)
}

func TestWhatIOCostIsToldWhereTheKernelAccountsIt(t *testing.T) {
	h := newHarbour(t, "v2", scoped(web()))
	got := h.sail()
	want(t, got, "0.005803", "container_fs_io_cost_usage_seconds_total", `device="/dev/vda"`)
	want(t, got, "0", "container_fs_io_cost_indelay_seconds_total", `device="/dev/vda"`)
	want(t, newHarbour(t, "hybrid", web()).sail(), "", "container_fs_io_cost_usage_seconds_total")
}

func TestSteadyCgroupSourceAllocatesNothing(t *testing.T) {
	for _, fixture := range []string{"v1", "v2", "hybrid"} {
		t.Run(fixture, func(t *testing.T) {
			a, b := web(), cron()
			if fixture == "v2" {
				a, b = scoped(a), scoped(b)
			}
			h := newHarbour(t, fixture, a, b)
			h.source.Close()
			h.open(cgroup.Options{Root: h.root, MaxOpen: 100})
			h.skip(20)
			var err error
			allocs := testing.AllocsPerRun(60, func() {
				h.batch.Reset(h.tick, h.now)
				h.tick++
				h.now = h.now.Add(time.Second)
				if e := h.source.Collect(context.Background(), &h.batch); e != nil {
					err = e
				}
			})
			if err != nil || allocs != 0 {
				t.Errorf("%v allocations per tick, error %v", allocs, err)
			}
		})
	}
}

func TestClosedCgroupSourceHoldsNoDescriptor(t *testing.T) {
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	h := newHarbour(t, "hybrid", web(), cron())
	h.source.Close()
	h.open(cgroup.Options{Root: h.root, MaxOpen: 100})
	h.skip(20)
	if err := h.source.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Errorf("%d descriptors, %d before", len(after), len(before))
	}
}

func BenchmarkCgroupSource(b *testing.B) {
	h := newHarbour(b, "hybrid")
	stat, err := os.ReadFile(filepath.Join(h.root, "memory/docker", busyID, "memory.stat"))
	if err != nil {
		b.Fatal(err)
	}
	for i := range 20 {
		c := discover.Container{Cgroup: fmt.Sprintf("/docker/%02d", i), Known: true}
		h.write("memory"+c.Cgroup+"/memory.stat", string(stat))
		for name, content := range map[string]string{
			"unified/cpu.stat": "usage_usec 1\nuser_usec 1\nsystem_usec 0\n", "cpu/cpu.stat": "nr_periods 0\n",
			"memory/memory.usage_in_bytes": "4096\n", "unified/cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
		} {
			dir, file := filepath.Split(name)
			h.write(dir+c.Cgroup+"/"+file, content)
		}
		h.list = append(h.list, c)
	}
	h.source.Close()
	h.open(cgroup.Options{Root: h.root, MaxOpen: 1000})
	h.skip(1)
	b.ReportAllocs()
	for b.Loop() { // one tick of 20 containers at the default lanes
		h.batch.Reset(h.tick, h.now)
		h.tick++
		h.now = h.now.Add(time.Second)
		if err := h.source.Collect(context.Background(), &h.batch); err != nil {
			b.Fatal(err)
		}
	}
}

package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

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

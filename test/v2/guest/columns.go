package main

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// notOfFiles are series whose values come from elsewhere than the group's files.
var notOfFiles = []string{"container_last_seen", "container_start_time_seconds", "container_network_", "container_fs_usage", "container_fs_limit", "container_fs_inodes", "container_scrape_error", "plimsoll_container_fs", "plimsoll_container_network"}

// differences are the series that are not what the files say, that are missing,
// and that no file explains.
func (g *group) differences(seen map[string]float64) []string {
	var wrong []string
	want := g.columns()
	for _, series := range slices.Sorted(maps.Keys(want)) {
		got, ok := seen[series]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s %s is missing, the file says %v", g.path, series, want[series]))
		case math.Abs(got-want[series]) > 1e-9*math.Abs(want[series]):
			wrong = append(wrong, fmt.Sprintf("%s %s is %v, the file says %v", g.path, series, got, want[series]))
		}
	}
	for _, series := range slices.Sorted(maps.Keys(seen)) {
		if _, ok := want[series]; ok || slices.ContainsFunc(notOfFiles, func(p string) bool { return strings.HasPrefix(series, p) }) {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s %s is %v, and no file is known to say so", g.path, series, seen[series]))
	}
	return wrong
}

// columns are the values of all series of the group, by the kernel's
// Documentation/admin-guide/cgroup-v2.rst and cAdvisor's names.
func (g *group) columns() map[string]float64 {
	c := make(map[string]float64)
	cpu := g.keyed("cpu.stat")
	c["container_cpu_usage_seconds_total{cpu=total}"] = cpu["usage_usec"] / 1e6
	c["container_cpu_user_seconds_total{}"] = cpu["user_usec"] / 1e6
	c["container_cpu_system_seconds_total{}"] = cpu["system_usec"] / 1e6
	quota, period, _ := strings.Cut(g.read("cpu.max"), " ")
	c["container_spec_cpu_period{}"] = number(period)
	if quota != "max" {
		c["container_spec_cpu_quota{}"] = number(quota)
		c["container_cpu_cfs_periods_total{}"] = cpu["nr_periods"]
		c["container_cpu_cfs_throttled_periods_total{}"] = cpu["nr_throttled"]
		c["container_cpu_cfs_throttled_seconds_total{}"] = cpu["throttled_usec"] / 1e6
		c["container_cpu_cfs_burst_periods_total{}"] = cpu["nr_bursts"]
		c["container_cpu_cfs_burst_seconds_total{}"] = cpu["burst_usec"] / 1e6
	}
	if limit, ok := g.openFiles(); ok {
		c["container_ulimits_soft{ulimit=max_open_files}"] = limit
	}
	c["container_spec_cpu_shares{}"] = shares(number(g.read("cpu.weight")))

	usage, stat := number(g.read("memory.current")), g.keyed("memory.stat")
	c["container_memory_usage_bytes{}"] = usage
	c["container_memory_working_set_bytes{}"] = max(0, usage-stat["inactive_file"])
	c["container_memory_rss{}"] = stat["anon"]
	c["container_memory_cache{}"] = stat["file"]
	c["container_memory_mapped_file{}"] = stat["file_mapped"]
	c["container_memory_kernel_usage{}"] = stat["kernel"]
	c["container_memory_total_active_file_bytes{}"] = stat["active_file"]
	c["container_memory_total_inactive_file_bytes{}"] = stat["inactive_file"]
	c["container_memory_file_dirty_bytes{}"] = stat["file_dirty"]
	c["container_memory_file_writeback_bytes{}"] = stat["file_writeback"]
	c["container_memory_pgscan_total{}"] = stat["pgscan"]
	c["container_memory_pgsteal_total{}"] = stat["pgsteal"]
	c["container_memory_workingset_refault_anon_total{}"] = stat["workingset_refault_anon"]
	c["container_memory_workingset_refault_file_total{}"] = stat["workingset_refault_file"]
	c["container_memory_swap{}"] = number(g.read("memory.swap.current"))
	for _, scope := range []string{"container", "hierarchy"} {
		for _, kind := range []string{"pgfault", "pgmajfault"} {
			c["container_memory_failures_total{failure_type="+kind+",scope="+scope+"}"] = stat[kind]
		}
	}
	c["container_memory_max_usage_bytes{}"] = number(g.read("memory.peak"))
	c["container_spec_memory_limit_bytes{}"] = limit(g.read("memory.max"))
	c["container_spec_memory_swap_limit_bytes{}"] = limit(g.read("memory.swap.max"))
	c["container_spec_memory_reservation_limit_bytes{}"] = limit(g.read("memory.low"))
	events := g.keyed("memory.events")
	c["container_memory_failcnt{}"] = events["max"]
	c["container_memory_events_high_total{}"] = events["high"]
	c["container_memory_events_max_total{}"] = events["max"]
	if !g.pod { // it would count what its containers count
		c["container_oom_events_total{}"] = events["oom_kill"]
	}

	c["container_threads{}"] = number(g.read("pids.current"))
	c["container_threads_max{}"] = limit(g.read("pids.max"))
	c["container_processes{}"] = g.processes()
	if peak := g.read("pids.peak"); peak != "" { // since 6.10
		c["plimsoll_container_pids_peak{}"] = number(peak)
	}

	for _, resource := range []string{"cpu", "memory", "io"} {
		for line := range strings.Lines(g.read(resource + ".pressure")) {
			kind, rest, _ := strings.Cut(line, " ")
			total := number(rest[strings.Index(rest, "total=")+len("total="):]) / 1e6
			word := map[string]string{"some": "waiting", "full": "stalled"}[kind]
			c["container_pressure_"+resource+"_"+word+"_seconds_total{}"] = total
		}
	}
	g.disks(c)
	return c
}

// disks adds what io.stat says: "1:0 rbytes=… wbytes=… rios=… wios=… …".
func (g *group) disks(c map[string]float64) {
	for line := range strings.Lines(g.read("io.stat")) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		v := make(map[string]float64)
		for _, pair := range f[1:] {
			key, value, _ := strings.Cut(pair, "=")
			v[key] = number(value)
		}
		major, minor, _ := strings.Cut(f[0], ":")
		device := "device=/dev/ram" + minor // the only one there is
		c["container_fs_reads_total{"+device+"}"] = v["rios"]
		c["container_fs_writes_total{"+device+"}"] = v["wios"]
		c["container_fs_reads_bytes_total{"+device+"}"] = v["rbytes"]
		c["container_fs_writes_bytes_total{"+device+"}"] = v["wbytes"]
		number := device + ",major=" + major + ",minor=" + minor
		c["container_blkio_device_usage_total{"+number+",operation=Read}"] = v["rbytes"]
		c["container_blkio_device_usage_total{"+number+",operation=Write}"] = v["wbytes"]
		c["container_blkio_device_usage_total{"+number+",operation=Discard}"] = v["dbytes"]
	}
}

// shares turns cpu.weight, 1 to 10000, back into shares, 2 to 262144, on a
// straight line, as runtimes made it of them.
func shares(weight float64) float64 { return math.Floor(2 + (weight-1)*262142/9999) }

// processes are those of the group and of all below it.
func (g *group) processes() float64 {
	count := 0
	_ = filepath.WalkDir(filepath.Join(cgroups, g.path), func(at string, d fs.DirEntry, _ error) error {
		if d != nil && d.Name() == "cgroup.procs" {
			data, _ := os.ReadFile(at)
			count += strings.Count(string(data), "\n")
		}
		return nil
	})
	return float64(count)
}

func (g *group) read(name string) string {
	data, err := os.ReadFile(g.file(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// keyed reads a file of lines with a key and a number.
func (g *group) keyed(name string) map[string]float64 {
	all := make(map[string]float64)
	for line := range strings.Lines(g.read(name)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[key] = number(value)
	}
	return all
}

func number(s string) float64 {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// limit is 0 where there is none, as cAdvisor says it.
func limit(s string) float64 {
	if s == "max" {
		return 0
	}
	return number(s)
}

// openFiles is the soft limit of the group's first process, if it has one.
func (g *group) openFiles() (most float64, ok bool) {
	first, _, _ := strings.Cut(strings.TrimSpace(g.read("cgroup.procs")), "\n")
	if first == "" || g.pod {
		return 0, false
	}
	data, err := os.ReadFile("/proc/" + first + "/limits")
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(data), "Max open files")
	if !ok {
		return 0, false
	}
	return number(strings.Fields(rest)[0]), true
}

package agent

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

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

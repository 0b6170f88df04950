package main

import "github.com/plimsoll-io/plimsoll/agent/sample"

// motion is how a series' values follow each other.
type motion uint8

const (
	stays   motion = iota
	grows          // a counter: rate is per second of one busy processor
	wanders        // a gauge: rate is the deviation of its steps
)

// kind is one of a container's 60 series, in what the kernel counts in.
type kind struct {
	metric *sample.Metric
	labels []sample.Label
	motion
	start, rate, step float64
}

// families are the series of a container as cAdvisor names them, in groups that
// are read together: 30 counters and gauges that move while it works, as many
// limits and counts of mishaps that stay.
func families() [][]kind {
	const page = 4096
	us := func(name string, rate float64) kind {
		return kind{metric: metric(name, sample.Counter, "seconds", 1e6), motion: grows, start: 1e9, rate: rate}
	}
	count := func(name string, start, rate float64, ls ...sample.Label) kind {
		return kind{metric: metric(name, sample.Counter, "", 0), labels: ls, motion: grows, start: start, rate: rate}
	}
	memory := func(name string, pages, rate float64) kind {
		k := kind{metric: metric(name, sample.Gauge, "bytes", 0), motion: wanders, start: pages, rate: rate, step: page}
		k.start *= page
		return k
	}
	few := func(name string, n, rate float64) kind {
		return kind{metric: metric(name, sample.Gauge, "", 0), motion: wanders, start: n, rate: rate, step: 1}
	}
	still := func(name string, v float64, ls ...sample.Label) kind {
		return kind{metric: metric(name, sample.Gauge, "", 0), labels: ls, motion: stays, start: v}
	}
	label := func(name, value string) sample.Label { return sample.Label{Name: name, Value: value} }
	eth, disk := label("interface", "eth0"), label("device", "/dev/vda")
	failures := func(scope, kind string) []sample.Label {
		return []sample.Label{label("failure_type", kind), label("scope", scope)}
	}
	return [][]kind{{
		us("container_cpu_usage_seconds_total", 1e6),
		us("container_cpu_user_seconds_total", 7e5),
		us("container_cpu_system_seconds_total", 3e5),
		count("container_cpu_cfs_periods_total", 1e5, 10),
		count("container_cpu_cfs_throttled_periods_total", 1e3, 0.3),
		us("container_cpu_cfs_throttled_seconds_total", 2e4),
		us("container_pressure_cpu_waiting_seconds_total", 5e4),
		us("container_pressure_cpu_stalled_seconds_total", 0),
	}, {
		memory("container_memory_usage_bytes", 5e4, 60),
		memory("container_memory_working_set_bytes", 4e4, 60),
		memory("container_memory_rss", 3e4, 40),
		memory("container_memory_cache", 2e4, 30),
		memory("container_memory_total_active_file_bytes", 1e4, 10),
		memory("container_memory_total_inactive_file_bytes", 1e4, 20),
		memory("container_memory_kernel_usage", 800, 2),
		memory("container_memory_file_dirty_bytes", 10, 4),
		still("container_memory_mapped_file", 5e6),
		still("container_memory_swap", 0),
		still("container_memory_file_writeback_bytes", 0),
		still("container_memory_max_usage_bytes", 3e8),
		still("container_memory_failcnt", 0),
		count("container_memory_failures_total", 1e6, 500, failures("container", "pgfault")...),
		count("container_memory_failures_total", 1e3, 0.02, failures("container", "pgmajfault")...),
		count("container_memory_failures_total", 1e6, 500, failures("hierarchy", "pgfault")...),
		count("container_memory_failures_total", 1e3, 0.02, failures("hierarchy", "pgmajfault")...),
		us("container_pressure_memory_waiting_seconds_total", 0),
		us("container_pressure_memory_stalled_seconds_total", 0),
		still("container_oom_events_total", 0),
	}, {
		count("container_network_receive_bytes_total", 1e9, 2e5, eth),
		count("container_network_receive_packets_total", 1e6, 300, eth),
		count("container_network_transmit_bytes_total", 1e9, 3e5, eth),
		count("container_network_transmit_packets_total", 1e6, 250, eth),
		still("container_network_receive_errors_total", 0, eth),
		still("container_network_receive_packets_dropped_total", 0, eth),
		still("container_network_transmit_errors_total", 0, eth),
		still("container_network_transmit_packets_dropped_total", 0, eth),
		few("container_network_tcp_usage_total", 20, 1),
		still("container_network_udp_usage_total", 2),
	}, {
		count("container_fs_reads_total", 1e5, 0.2, disk),
		count("container_fs_reads_bytes_total", 1e8, 800, disk),
		count("container_fs_writes_total", 1e5, 4, disk),
		count("container_fs_writes_bytes_total", 1e8, 4e4, disk),
		us("container_pressure_io_waiting_seconds_total", 2e3),
		us("container_pressure_io_stalled_seconds_total", 1e3),
		still("container_fs_usage_bytes", 4e8, disk),
		still("container_fs_limit_bytes", 1e11, disk),
		still("container_fs_inodes_total", 6e6, disk),
		still("container_fs_inodes_free", 5e6, disk),
		still("container_fs_io_current", 0, disk),
		still("container_blkio_device_usage_total", 0, disk),
	}, {
		few("container_processes", 8, 0.5),
		few("container_threads", 40, 1),
		few("container_file_descriptors", 100, 2),
		few("container_sockets", 20, 1),
		still("container_threads_max", 4096),
		still("container_start_time_seconds", 1.79e9),
		still("container_spec_cpu_period", 1e5),
		still("container_spec_cpu_quota", 1e5),
		still("container_spec_cpu_shares", 1024),
		still("container_spec_memory_limit_bytes", 1<<29),
	}}
}

func metric(name string, t sample.Type, unit string, divisor uint32) *sample.Metric {
	return &sample.Metric{Name: name, Help: "As cAdvisor and the kernel define it.", Type: t, Unit: unit, Divisor: divisor}
}

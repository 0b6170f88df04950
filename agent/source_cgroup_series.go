package agent

import (
	"strconv"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Positions in the fast group: the first lane.
const (
	cpuUsage = iota
	cpuUser
	cpuSystem
	cpuPeriods
	cpuThrottledPeriods
	cpuThrottled
	cpuBurstPeriods
	cpuBurst
	memoryUsage
)

// Positions in the memory group: the second lane, and when usage jumps. The
// first are also known of the machine.
const (
	memoryWorkingSet = iota
	memoryRSS
	memoryCache
	memorySwap
	memoryMapped
	memoryActiveFile
	memoryInactiveFile
	memoryDirty
	memoryWriteback
	memoryKernel
	memoryZswap
	memoryZswapped
	pagesScanned
	pagesReclaimed
	refaultsFile
	refaultsAnon
	faultsLocal
	faultsLocalMajor
	faultsAll
	faultsAllMajor
)

// Positions in the slow group: the third lane.
const (
	specQuota = iota
	specPeriod
	specShares
	specMemory
	specSwap
	specReservation
	processCount
	threads
	threadsPeak
	threadsMax
	throttledLocal
	memoryPeak
	memoryFailures
	memoryHigh
	memoryMax
	creationTime
	startTime
	healthState
)

// Positions in the group of a device: the third lane.
const (
	ioReads = iota
	ioWrites
	ioReadBytes
	ioWriteBytes
	blkioRead
	blkioWrite
	blkioDiscard
	blkioSync
	blkioAsync
	blkioTotal
	costUsage
	costWait
	costInDebt
	costInDelay
)

// Positions in the lasting group: the third lane, and after the end.
const (
	lastSeen = iota
	oomEvents
)

// cgroupMetrics are the series of a container by group. All containers share
// them, so that a container costs its labels and its values.
type cgroupMetrics struct {
	fast, memory, pressure, slow, ulimits, lasting []sample.Series

	reads, writes, readBytes, writeBytes, blkio *sample.Metric // of a device
	usage, wait, inDebt, inDelay                *sample.Metric // what that cost
}

// newCgroupMetrics names what is read. Names, labels and units are those of
// cAdvisor's lib/metrics/prometheus.go; divisors are what the files count in.
func newCgroupMetrics(mode cgroup.Mode) *cgroupMetrics {
	usage, ticks, throttled := uint32(1e6), uint32(1e6), uint32(1e9)
	switch mode {
	case cgroup.V1:
		usage, ticks = 1e9, 100
	case cgroup.V2:
		throttled = 1e6
	}
	counter := func(name, help string) *sample.Metric {
		return &sample.Metric{Name: "container_" + name + "_total", Help: help, Type: sample.Counter}
	}
	seconds := func(divisor uint32, name, help string) *sample.Metric {
		m := counter(name+"_seconds", help)
		m.Unit, m.Divisor = "seconds", divisor
		return m
	}
	gauge := func(unit, name, help string) *sample.Metric {
		return &sample.Metric{Name: "container_" + name, Help: help, Type: sample.Gauge, Unit: unit}
	}
	one := func(m *sample.Metric, labels ...string) sample.Series {
		s := sample.Series{Metric: m}
		for i := 0; i < len(labels); i += 2 {
			s.Labels = append(s.Labels, sample.Label{Name: labels[i], Value: labels[i+1]})
		}
		return s
	}
	own := func(m *sample.Metric) *sample.Metric { // no other exporter has it
		m.Name = "plimsoll_" + m.Name
		return m
	}
	pageFaults := counter("memory_failures", "Page faults, minor and major, of the container alone or with the groups below it.")
	stall := func(what, kind, of string) sample.Series {
		return one(seconds(1e6, "pressure_"+what+"_"+kind, "Time that "+of+" tasks of the container waited for "+what+"."))
	}
	return &cgroupMetrics{
		fast: []sample.Series{
			cpuUsage:            one(seconds(usage, "cpu_usage", "CPU time used."), "cpu", "total"),
			cpuUser:             one(seconds(ticks, "cpu_user", "CPU time used in user mode.")),
			cpuSystem:           one(seconds(ticks, "cpu_system", "CPU time used in the kernel.")),
			cpuPeriods:          one(counter("cpu_cfs_periods", "Periods in which the CPU quota was counted.")),
			cpuThrottledPeriods: one(counter("cpu_cfs_throttled_periods", "Periods in which the CPU quota ran out.")),
			cpuThrottled:        one(seconds(throttled, "cpu_cfs_throttled", "Time for which the CPU quota withheld CPUs, summed over the CPUs.")),
			cpuBurstPeriods:     one(counter("cpu_cfs_burst_periods", "Periods in which quota saved earlier was used.")),
			cpuBurst:            one(seconds(throttled, "cpu_cfs_burst", "CPU time used of quota saved earlier.")),
			memoryUsage:         one(gauge("bytes", "memory_usage_bytes", "Memory charged to the container, page cache included.")),
		},
		memory: []sample.Series{
			memoryWorkingSet:   one(gauge("bytes", "memory_working_set_bytes", "Memory usage less page cache that has not been used for long; what kubelet evicts by.")),
			memoryRSS:          one(gauge("", "memory_rss", "Anonymous memory in bytes.")),
			memoryCache:        one(gauge("", "memory_cache", "Page cache in bytes, shared memory included.")),
			memorySwap:         one(gauge("", "memory_swap", "Swapped out memory in bytes.")),
			memoryMapped:       one(gauge("", "memory_mapped_file", "Mapped files in bytes.")),
			memoryKernel:       one(gauge("", "memory_kernel_usage", "Kernel memory in bytes.")),
			memoryActiveFile:   one(gauge("bytes", "memory_total_active_file_bytes", "Page cache used more than once.")),
			memoryInactiveFile: one(gauge("bytes", "memory_total_inactive_file_bytes", "Page cache that has not been used for long.")),
			memoryDirty:        one(gauge("bytes", "memory_file_dirty_bytes", "Page cache that was changed and is not on its way to the disk yet.")),
			memoryWriteback:    one(gauge("bytes", "memory_file_writeback_bytes", "Page cache on its way to the disk.")),
			memoryZswap:        one(own(gauge("bytes", "memory_zswap_bytes", "Memory taken up by what was swapped out and is kept compressed."))),
			memoryZswapped:     one(own(gauge("bytes", "memory_zswapped_bytes", "Memory that was swapped out and is kept compressed, as it was before."))),
			pagesScanned:       one(counter("memory_pgscan", "Pages looked at to be taken away.")),
			pagesReclaimed:     one(counter("memory_pgsteal", "Pages taken away.")),
			refaultsFile:       one(counter("memory_workingset_refault_file", "Pages of page cache read again soon after they were taken away.")),
			refaultsAnon:       one(counter("memory_workingset_refault_anon", "Pages of anonymous memory read again soon after they were taken away.")),
			faultsLocal:        one(pageFaults, "failure_type", "pgfault", "scope", "container"),
			faultsLocalMajor:   one(pageFaults, "failure_type", "pgmajfault", "scope", "container"),
			faultsAll:          one(pageFaults, "failure_type", "pgfault", "scope", "hierarchy"),
			faultsAllMajor:     one(pageFaults, "failure_type", "pgmajfault", "scope", "hierarchy"),
		},
		pressure: []sample.Series{
			stall("cpu", "waiting", "some"), stall("cpu", "stalled", "all"),
			stall("memory", "waiting", "some"), stall("memory", "stalled", "all"),
			stall("io", "waiting", "some"), stall("io", "stalled", "all"),
		},
		slow: []sample.Series{
			specQuota:       one(gauge("", "spec_cpu_quota", "CPU time in microseconds that may be used in a period.")),
			specPeriod:      one(gauge("", "spec_cpu_period", "Period of the CPU quota in microseconds.")),
			specShares:      one(gauge("", "spec_cpu_shares", "Share of the CPUs when they are contended for.")),
			specMemory:      one(gauge("bytes", "spec_memory_limit_bytes", "Limit of memory; 0 if there is none.")),
			specSwap:        one(gauge("bytes", "spec_memory_swap_limit_bytes", "Limit of memory and swap, in version 2 of swap alone; 0 if there is none.")),
			specReservation: one(gauge("bytes", "spec_memory_reservation_limit_bytes", "Memory kept when it is short on the node; 0 if there is no limit.")),
			processCount:    one(gauge("", "processes", "Processes that are running.")),
			threads:         one(gauge("", "threads", "Threads that are running.")),
			threadsPeak:     one(own(gauge("", "pids_peak", "Most threads that have been running."))),
			threadsMax:      one(gauge("", "threads_max", "Threads that may run; 0 if there is no limit.")),
			throttledLocal:  one(own(seconds(throttled, "cpu_throttled_local", "Time for which the CPU quota of the container or of a group above it withheld CPUs from tasks that wanted to run."))),
			memoryPeak:      one(gauge("bytes", "memory_max_usage_bytes", "Highest memory usage.")),
			memoryFailures:  one(&sample.Metric{Name: "container_memory_failcnt", Help: "Times that memory usage was held at its limit.", Type: sample.Counter}),
			memoryHigh:      one(counter("memory_events_high", "Times that the container was throttled above memory.high.")),
			memoryMax:       one(counter("memory_events_max", "Times that memory usage was about to pass its limit.")),
			creationTime:    one(gauge("seconds", "creation_time_seconds", "When the container was created, in seconds since 1970.")),
			startTime:       one(gauge("seconds", "start_time_seconds", "When the container was started, in seconds since 1970.")),
			healthState:     one(gauge("", "health_state", "1 if the container's health check passes, 0 if it does not or has not yet, -1 if it has none.")),
		},
		ulimits: newUlimits(),
		lasting: []sample.Series{
			lastSeen:  one(gauge("", "last_seen", "When the container was last read, in seconds since 1970; stands still for 5 minutes after its end.")),
			oomEvents: one(counter("oom_events", "Processes killed for want of memory.")),
		},
		reads:      counter("fs_reads", "Reads from the device."),
		writes:     counter("fs_writes", "Writes to the device."),
		readBytes:  counter("fs_reads_bytes", "Bytes read from the device."),
		writeBytes: counter("fs_writes_bytes", "Bytes written to the device."),
		blkio:      counter("blkio_device_usage", "Bytes read from and written to the device, by kind of operation: all of them by Read, Write and Discard, again by Sync and Async, and again by Total."),
		usage:      seconds(1e6, "fs_io_cost_usage", "Time of the device used, as io.cost accounts it."),
		wait:       seconds(1e6, "fs_io_cost_wait", "Time that requests waited for their share of the device."),
		inDebt:     seconds(1e6, "fs_io_cost_indebt", "Time in which more of the device had been used than was due."),
		inDelay:    seconds(1e6, "fs_io_cost_indelay", "Time for which tasks were held up because more of the device had been used than was due."),
	}
}

// containerSeries are the groups of one container.
type containerSeries struct {
	labels                                         []sample.Label
	fast, memory, pressure, slow, ulimits, lasting *sample.Group
	devices                                        roster[cgroup.Device, *sample.Group]
	hasPressure, hasUlimits                        bool // pressure and ulimits are in use
}

func newContainerSeries(m *cgroupMetrics, fs *cgroup.FS, labels []sample.Label, lanes Lanes) *containerSeries {
	group := func(series []sample.Series, lane uint64) *sample.Group {
		return &sample.Group{Labels: labels, Series: series, Every: max(lane, 1)}
	}
	return &containerSeries{
		labels:   labels,
		fast:     group(m.fast, lanes.First),
		memory:   group(m.memory, lanes.Second),
		pressure: group(m.pressure, lanes.Second),
		slow:     group(m.slow, lanes.Third),
		ulimits:  group(m.ulimits, lanes.Fourth),
		lasting:  group(m.lasting, lanes.Third),
		devices: roster[cgroup.Device, *sample.Group]{
			came: func(d cgroup.Device) *sample.Group { return group(m.device(d, fs.DeviceName(d)), lanes.Third) },
			left: func(g **sample.Group, b *sample.Batch) { b.End(*g) },
		},
	}
}

// passing are the groups that end with the container.
func (s *containerSeries) passing() []*sample.Group {
	groups := []*sample.Group{s.fast, s.memory, s.slow}
	if s.hasPressure {
		groups = append(groups, s.pressure)
	}
	if s.hasUlimits {
		groups = append(groups, s.ulimits)
	}
	s.devices.each(func(g **sample.Group) { groups = append(groups, *g) })
	return groups
}

// device are the series of a block device.
func (m *cgroupMetrics) device(d cgroup.Device, name string) []sample.Series {
	device := []sample.Label{{Name: "device", Value: name}}
	blkio := func(operation string) []sample.Label {
		return []sample.Label{
			{Name: "device", Value: name},
			{Name: "major", Value: strconv.FormatUint(uint64(d.Major), 10)},
			{Name: "minor", Value: strconv.FormatUint(uint64(d.Minor), 10)},
			{Name: "operation", Value: operation},
		}
	}
	return []sample.Series{
		ioReads:      {Metric: m.reads, Labels: device},
		ioWrites:     {Metric: m.writes, Labels: device},
		ioReadBytes:  {Metric: m.readBytes, Labels: device},
		ioWriteBytes: {Metric: m.writeBytes, Labels: device},
		blkioRead:    {Metric: m.blkio, Labels: blkio("Read")},
		blkioWrite:   {Metric: m.blkio, Labels: blkio("Write")},
		blkioDiscard: {Metric: m.blkio, Labels: blkio("Discard")},
		blkioSync:    {Metric: m.blkio, Labels: blkio("Sync")},
		blkioAsync:   {Metric: m.blkio, Labels: blkio("Async")},
		blkioTotal:   {Metric: m.blkio, Labels: blkio("Total")},
		costUsage:    {Metric: m.usage, Labels: device},
		costWait:     {Metric: m.wait, Labels: device},
		costInDebt:   {Metric: m.inDebt, Labels: device},
		costInDelay:  {Metric: m.inDelay, Labels: device},
	}
}

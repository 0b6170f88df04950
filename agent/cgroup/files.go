package cgroup

// file is one of the kernel's files that a group may have.
type file uint8

// The files before cpuQuota1 are read every second or few, so that their
// descriptors are kept: at most seven of a group, for each costs the kernel 5 kB.
// The others are read less often, or only where a better one is missing.
const (
	cpuStat2 file = iota
	cpuStat1
	cpuacctUsage
	cpuacctStat
	memoryUsage1
	memoryUsage2
	memoryStat1
	memoryStat2
	pressureCPU
	pressureMemory
	pressureIO

	cpuQuota1
	cpuPeriod1
	cpuShares1
	cpuMax2
	cpuWeight2
	cpuLocal1
	cpuLocal2
	memoryPeak1
	memoryPeak2
	memoryKernel1
	memoryFailures1
	memoryOOM1
	memoryEvents2
	memorySwap2
	memoryLimit1
	memoryLimit2
	swapLimit1
	swapLimit2
	reservation1
	reservation2
	pidsCurrent
	pidsPeak
	pidsMax
	ioBytes1
	ioBytesFlat1
	ioOps1
	ioOpsFlat1
	ioStat2

	files
	kept = cpuQuota1
)

// either is the version of a file that is the same in both.
const either = 0

// kernelFiles says what the files are called and where to look for them, as in
// the kernel's admin-guide/cgroup-v1/ and admin-guide/cgroup-v2.rst. In version
// 2 those without a controller are there as soon as the group is.
var kernelFiles = [files]struct {
	controller string // as version 1 calls it
	version    uint8
	name       string
}{
	cpuStat2:        {"", 2, "cpu.stat"},
	cpuStat1:        {"cpu", 1, "cpu.stat"},
	cpuacctUsage:    {"cpuacct", 1, "cpuacct.usage"},
	cpuacctStat:     {"cpuacct", 1, "cpuacct.stat"},
	memoryUsage1:    {"memory", 1, "memory.usage_in_bytes"},
	memoryUsage2:    {"memory", 2, "memory.current"},
	memoryStat1:     {"memory", 1, "memory.stat"},
	memoryStat2:     {"memory", 2, "memory.stat"},
	pressureCPU:     {"", 2, "cpu.pressure"},
	pressureMemory:  {"", 2, "memory.pressure"},
	pressureIO:      {"", 2, "io.pressure"},
	cpuQuota1:       {"cpu", 1, "cpu.cfs_quota_us"},
	cpuPeriod1:      {"cpu", 1, "cpu.cfs_period_us"},
	cpuShares1:      {"cpu", 1, "cpu.shares"},
	cpuMax2:         {"cpu", 2, "cpu.max"},
	cpuWeight2:      {"cpu", 2, "cpu.weight"},
	cpuLocal1:       {"cpu", 1, "cpu.stat.local"},
	cpuLocal2:       {"cpu", 2, "cpu.stat.local"},
	memoryPeak1:     {"memory", 1, "memory.max_usage_in_bytes"},
	memoryPeak2:     {"memory", 2, "memory.peak"},
	memoryKernel1:   {"memory", 1, "memory.kmem.usage_in_bytes"},
	memoryFailures1: {"memory", 1, "memory.failcnt"},
	memoryOOM1:      {"memory", 1, "memory.oom_control"},
	memoryEvents2:   {"memory", 2, "memory.events"},
	memorySwap2:     {"memory", 2, "memory.swap.current"},
	memoryLimit1:    {"memory", 1, "memory.limit_in_bytes"},
	memoryLimit2:    {"memory", 2, "memory.max"},
	swapLimit1:      {"memory", 1, "memory.memsw.limit_in_bytes"},
	swapLimit2:      {"memory", 2, "memory.swap.max"},
	reservation1:    {"memory", 1, "memory.soft_limit_in_bytes"},
	reservation2:    {"memory", 2, "memory.low"},
	pidsCurrent:     {"pids", either, "pids.current"},
	pidsPeak:        {"pids", either, "pids.peak"},
	pidsMax:         {"pids", either, "pids.max"},
	ioBytes1:        {"blkio", 1, "blkio.throttle.io_service_bytes_recursive"},
	ioBytesFlat1:    {"blkio", 1, "blkio.throttle.io_service_bytes"},
	ioOps1:          {"blkio", 1, "blkio.throttle.io_serviced_recursive"},
	ioOpsFlat1:      {"blkio", 1, "blkio.throttle.io_serviced"},
	ioStat2:         {"blkio", 2, "io.stat"},
}

// controllers are those of version 1 whose folders are looked for.
var controllers = []string{"cpu", "cpuacct", "memory", "pids", "blkio"}

// Files names the files that groups of this tree are read from, always in the
// same order: "memory/memory.stat", or "memory.stat" where there is only one
// hierarchy. Pressure is among them even where the tree cannot have it.
func (f *FS) Files() []string {
	var names []string
	for i := range f.wanted() {
		name := kernelFiles[i].name
		if h := f.at[i]; h != nil && h.name != "" {
			name = h.name + "/" + name
		}
		names = append(names, name)
	}
	return names
}

// Availability tells of each of Files whether any group has had it so far,
// appended to dst. It is absent for what was never tried.
func (f *FS) Availability(dst []Opt[bool]) []Opt[bool] {
	for i := range f.wanted() {
		dst = append(dst, Opt[bool]{f.found[i], f.tried[i]})
	}
	return dst
}

// wanted yields the files that this tree is read from.
func (f *FS) wanted() func(yield func(file) bool) {
	return func(yield func(file) bool) {
		for i := range files {
			pressure := i == pressureCPU || i == pressureMemory || i == pressureIO
			if (f.at[i] != nil || pressure) && !yield(i) {
				return
			}
		}
	}
}

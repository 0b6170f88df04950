package cgroup

import "errors"

// MemoryUsage reads how many bytes are charged to the group, page cache and
// kernel memory included.
func (g *Group) MemoryUsage() (usageBytes Opt[uint64], err error) {
	if g.fs.at[memoryUsage1] != nil {
		return g.number(memoryUsage1)
	}
	return g.number(memoryUsage2)
}

// MemoryStat is what the memory of a group and of those below it consists of.
type MemoryStat struct {
	RSSBytes          Opt[uint64] // anonymous memory
	CacheBytes        Opt[uint64] // page cache, tmpfs and shared memory included
	SwapBytes         Opt[uint64]
	MappedFileBytes   Opt[uint64]
	KernelBytes       Opt[uint64]
	ActiveFileBytes   Opt[uint64]
	InactiveFileBytes Opt[uint64]
	DirtyBytes        Opt[uint64] // page cache that is not on disk yet
	WritebackBytes    Opt[uint64] // page cache on its way there
	ZswapBytes        Opt[uint64] // what swap that is kept compressed takes up; version 2 with zswap
	ZswappedBytes     Opt[uint64] // what it would take up otherwise

	// Pages, since the group was made.
	Scanned      Opt[uint64] // looked at for reclaim; version 2
	Reclaimed    Opt[uint64] // taken away; version 2
	FileRefaults Opt[uint64] // of page cache that had been taken away
	AnonRefaults Opt[uint64] // of anonymous memory that had been

	Faults      Faults // of the group and of those below it
	LocalFaults Faults // of the group alone; version 1 only
}

// Faults counts page faults. Major ones had to wait for a disk.
type Faults struct{ All, Major Opt[uint64] }

// WorkingSetBytes is what a group cannot easily do without: its usage less the
// page cache that has not been used for long. It is the figure that kubelet
// evicts by. Inactive cache may exceed the usage read a moment earlier; then it
// is 0.
func (m MemoryStat) WorkingSetBytes(usageBytes Opt[uint64]) Opt[uint64] {
	if !usageBytes.OK || !m.InactiveFileBytes.OK {
		return Opt[uint64]{}
	}
	return some(usageBytes.V - min(usageBytes.V, m.InactiveFileBytes.V))
}

// MemoryStat reads the parts of the memory account. It makes the kernel sum
// over all CPUs and groups below, so that on a large machine the root's takes
// seconds.
func (g *Group) MemoryStat() (MemoryStat, error) {
	var m MemoryStat
	if g.fs.at[memoryStat1] == nil {
		data, err := g.read(memoryStat2)
		if err == nil && !m.parse2(data) {
			err = g.malformed(memoryStat2, data)
		}
		if errors.Is(err, ErrGone) {
			return m, err
		}
		var swapErr error
		m.SwapBytes, swapErr = g.number(memorySwap2)
		return m, errors.Join(err, swapErr)
	}
	data, err := g.read(memoryStat1)
	if err == nil && !m.parse1(data) {
		err = g.malformed(memoryStat1, data)
	}
	if errors.Is(err, ErrGone) {
		return m, err
	}
	var kernelErr error
	m.KernelBytes, kernelErr = g.number(memoryKernel1)
	return m, errors.Join(err, kernelErr)
}

// parse1 reads memory.stat of version 1, where total_ stands before what
// includes the groups below:
//
//	pgfault 497
//	total_cache 212992
func (m *MemoryStat) parse1(data []byte) bool {
	for len(data) > 0 {
		var key, value []byte
		key, value, data = cutPair(data)
		var field *Opt[uint64]
		switch string(key) {
		case "total_rss":
			field = &m.RSSBytes
		case "total_cache":
			field = &m.CacheBytes
		case "total_swap":
			field = &m.SwapBytes
		case "total_mapped_file":
			field = &m.MappedFileBytes
		case "total_active_file":
			field = &m.ActiveFileBytes
		case "total_inactive_file":
			field = &m.InactiveFileBytes
		case "total_dirty":
			field = &m.DirtyBytes
		case "total_writeback":
			field = &m.WritebackBytes
		case "total_workingset_refault_file":
			field = &m.FileRefaults
		case "total_workingset_refault_anon":
			field = &m.AnonRefaults
		case "total_pgfault":
			field = &m.Faults.All
		case "total_pgmajfault":
			field = &m.Faults.Major
		case "pgfault":
			field = &m.LocalFaults.All
		case "pgmajfault":
			field = &m.LocalFaults.Major
		default:
			continue
		}
		if field.V, field.OK = parseUint(value); !field.OK {
			return false
		}
	}
	return true
}

// parse2 reads memory.stat of version 2:
//
//	anon 1105920
//	file 0
//	kernel 90112      since 5.18; before, the sum of its parts
func (m *MemoryStat) parse2(data []byte) bool {
	var parts Opt[uint64]
	for len(data) > 0 {
		var key, value []byte
		key, value, data = cutPair(data)
		var field *Opt[uint64]
		switch string(key) {
		case "anon":
			field = &m.RSSBytes
		case "file":
			field = &m.CacheBytes
		case "file_mapped":
			field = &m.MappedFileBytes
		case "kernel":
			field = &m.KernelBytes
		case "active_file":
			field = &m.ActiveFileBytes
		case "inactive_file":
			field = &m.InactiveFileBytes
		case "file_dirty":
			field = &m.DirtyBytes
		case "file_writeback":
			field = &m.WritebackBytes
		case "zswap":
			field = &m.ZswapBytes
		case "zswapped":
			field = &m.ZswappedBytes
		case "pgscan":
			field = &m.Scanned
		case "pgsteal":
			field = &m.Reclaimed
		case "workingset_refault_file":
			field = &m.FileRefaults
		case "workingset_refault_anon":
			field = &m.AnonRefaults
		case "pgfault":
			field = &m.Faults.All
		case "pgmajfault":
			field = &m.Faults.Major
		case "kernel_stack", "pagetables", "percpu", "slab", "vmalloc":
			n, ok := parseUint(value)
			if !ok {
				return false
			}
			parts = some(parts.V + n)
			continue
		default:
			continue
		}
		if field.V, field.OK = parseUint(value); !field.OK {
			return false
		}
	}
	if !m.KernelBytes.OK {
		m.KernelBytes = parts
	}
	return true
}

package agent

import (
	"errors"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// machine is the row of the root group, which dashboards take for the node, and
// the size of the machine.
//
// The root's memory is that of /proc/meminfo, which has the same figures:
// version 2 keeps no account of it, and to sum up the root's memory.stat of
// version 1 takes seconds on a large machine. Its disks are those of
// /proc/diskstats, which counts for the whole machine what no group's files
// tell.
type machine struct {
	root *cgroup.Group
	node *node.Reader

	up     *sample.Group // first lane
	cpu    *sample.Group // first lane
	memory *sample.Group // second lane
	spec   *sample.Group // third lane
	disks  *machineDisks // third lane
	size   *machineSize  // third lane

	fields []node.MemoryField
	stat   node.Stat
}

// Positions in the spec group.
const (
	machineSeen = iota
	machineCreated
	machineStarted
	machineMemory
	machineSwap
)

func newMachine(fs *cgroup.FS, opts CgroupOptions, m *cgroupMetrics) (*machine, error) {
	root, err := fs.Open("/")
	if err != nil {
		return nil, err
	}
	labels := sortLabels(append(containerJob(opts.Jobs.Containers), sample.Label{Name: "id", Value: "/"}))
	group := func(lane uint64, series []sample.Series) *sample.Group {
		return &sample.Group{Labels: labels, Series: series, Every: max(lane, 1)}
	}
	read := node.New(opts.Roots)
	return &machine{
		root:   root,
		node:   read,
		up:     newUp(opts.Lanes.First, containerJob(opts.Jobs.Containers)...),
		cpu:    group(opts.Lanes.First, m.fast[cpuUsage:cpuSystem+1]),
		memory: group(opts.Lanes.Second, append(m.memory[:memoryKernel:memoryKernel], m.fast[memoryUsage])),
		spec: group(opts.Lanes.Third, []sample.Series{
			machineSeen:    m.lasting[lastSeen],
			machineCreated: m.slow[creationTime],
			machineStarted: m.slow[startTime],
			machineMemory:  m.slow[specMemory],
			machineSwap:    m.slow[specSwap],
		}),
		disks: newMachineDisks(read, m, labels, opts.Lanes.Third),
		size:  newMachineSize(opts),
	}, nil
}

func (m *machine) close() {
	m.root.Close()
	m.node.Close()
}

func (m *machine) collect(b *sample.Batch, lanes Lanes) error {
	var errs []error
	keep := func(err error) {
		if err != nil && !missing(err) {
			errs = append(errs, err)
		}
	}
	if due(lanes.First, b.Tick, 0) {
		b.Add(m.up)[0] = 1
		keep(m.readCPU(b))
	}
	second, third := due(lanes.Second, b.Tick, 0), due(lanes.Third, b.Tick, 0)
	if second || third {
		memory, err := m.readMemory()
		keep(err)
		if second {
			m.tellMemory(b, memory)
		}
		if third {
			if err := m.node.Stat(&m.stat); err != nil {
				keep(err)
				m.stat = node.Stat{}
			}
			m.tellSpec(b, memory)
			keep(m.disks.collect(b))
			keep(m.size.collect(b, memory, len(m.stat.CPUs)))
		}
	}
	return errors.Join(errs...)
}

func (m *machine) readCPU(b *sample.Batch) error {
	cpu, err := m.root.CPU()
	v := b.Add(m.cpu)
	putTime(v, cpuUsage, cpu.Usage)
	putTime(v, cpuUser, cpu.User)
	putTime(v, cpuSystem, cpu.System)
	return err
}

// meminfo is what is read of /proc/meminfo, in bytes.
type meminfo struct {
	total, free, anon, cached, buffers, mapped, active, inactive, dirty, writeback, swapTotal, swapFree cgroup.Opt[uint64]
}

func (m *machine) readMemory() (meminfo, error) {
	var all meminfo
	fields, err := m.node.Memory(m.fields)
	m.fields = fields
	if err != nil {
		return all, err
	}
	for i := range fields {
		var into *cgroup.Opt[uint64]
		switch fields[i].Key {
		case "MemTotal":
			into = &all.total
		case "MemFree":
			into = &all.free
		case "AnonPages":
			into = &all.anon
		case "Cached":
			into = &all.cached
		case "Buffers":
			into = &all.buffers
		case "Mapped":
			into = &all.mapped
		case "Active(file)":
			into = &all.active
		case "Inactive(file)":
			into = &all.inactive
		case "Dirty":
			into = &all.dirty
		case "Writeback":
			into = &all.writeback
		case "SwapTotal":
			into = &all.swapTotal
		case "SwapFree":
			into = &all.swapFree
		default:
			continue
		}
		*into = cgroup.Opt[uint64]{V: fields[i].Value, OK: true}
	}
	return all, nil
}

func (m *machine) tellMemory(b *sample.Batch, memory meminfo) {
	usage := less(memory.total, memory.free)
	v := b.Add(m.memory)
	put(v, memoryWorkingSet, cgroup.MemoryStat{InactiveFileBytes: memory.inactive}.WorkingSetBytes(usage))
	put(v, memoryRSS, memory.anon)
	if memory.cached.OK && memory.buffers.OK {
		v[memoryCache] = float64(memory.cached.V + memory.buffers.V)
	}
	put(v, memorySwap, less(memory.swapTotal, memory.swapFree))
	put(v, memoryMapped, memory.mapped)
	put(v, memoryActiveFile, memory.active)
	put(v, memoryInactiveFile, memory.inactive)
	put(v, memoryDirty, memory.dirty)
	put(v, memoryWriteback, memory.writeback)
	put(v, len(v)-1, usage)
}

// tellSpec tells what there is for all to share: the root group itself has no
// limits.
func (m *machine) tellSpec(b *sample.Batch, memory meminfo) {
	v := b.Add(m.spec)
	putDate(v, machineSeen, b.Time)
	if boot := m.stat.BootTime; boot.Known {
		v[machineCreated], v[machineStarted] = float64(boot.Value), float64(boot.Value)
	}
	put(v, machineMemory, memory.total)
	put(v, machineSwap, memory.swapTotal)
}

// less is what is left of a whole.
func less(whole, part cgroup.Opt[uint64]) cgroup.Opt[uint64] {
	return cgroup.Opt[uint64]{V: whole.V - min(whole.V, part.V), OK: whole.OK && part.OK}
}

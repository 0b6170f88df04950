package agent

import (
	"errors"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// machine is the row of the root group, which dashboards take for the node, and
// the size of the machine. The root's memory is that of /proc/meminfo: version
// 2 keeps no account of it, and to sum up the root's memory.stat of version 1
// takes seconds on a large machine.
type machine struct {
	root *cgroup.Group
	node *node.Reader

	cpu    *sample.Group // first lane
	memory *sample.Group // second lane
	size   *sample.Group // third lane

	fields []node.MemoryField
	stat   node.Stat
}

func newMachine(fs *cgroup.FS, opts CgroupOptions, m *cgroupMetrics) (*machine, error) {
	root, err := fs.Open("/")
	if err != nil {
		return nil, err
	}
	labels := []sample.Label{{Name: "id", Value: "/"}, cadvisorJob()}
	return &machine{
		root:   root,
		node:   node.New(opts.Roots),
		cpu:    &sample.Group{Labels: labels, Series: m.fast[cpuUsage : cpuSystem+1], Every: max(opts.Lanes.First, 1)},
		memory: &sample.Group{Labels: labels, Series: []sample.Series{m.fast[memoryUsage], {Metric: m.workingSet}}, Every: max(opts.Lanes.Second, 1)},
		size: &sample.Group{
			Labels: []sample.Label{cadvisorJob()},
			Series: []sample.Series{{Metric: m.machineCPUs}, {Metric: m.machineMemory}},
			Every:  max(opts.Lanes.Third, 1),
		},
	}, nil
}

func (m *machine) close() {
	m.root.Close()
	m.node.Close()
}

func (m *machine) collect(b *sample.Batch, lanes Lanes) error {
	var errs []error
	if due(lanes.First, b.Tick, 0) {
		if err := m.readCPU(b); err != nil {
			errs = append(errs, err)
		}
	}
	second, third := due(lanes.Second, b.Tick, 0), due(lanes.Third, b.Tick, 0)
	if second || third {
		if err := m.readMemory(b, second, third); err != nil {
			errs = append(errs, err)
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

func (m *machine) readMemory(b *sample.Batch, usage, size bool) error {
	fields, err := m.node.Memory(m.fields)
	m.fields = fields
	var total, free, inactive cgroup.Opt[uint64]
	for i := range fields {
		value := cgroup.Opt[uint64]{V: fields[i].Value, OK: err == nil}
		switch fields[i].Key {
		case "MemTotal":
			total = value
		case "MemFree":
			free = value
		case "Inactive(file)":
			inactive = value
		}
	}
	if usage {
		used := cgroup.Opt[uint64]{V: total.V - min(total.V, free.V), OK: total.OK && free.OK}
		v := b.Add(m.memory)
		put(v, 0, used)
		put(v, 1, cgroup.MemoryStat{InactiveFileBytes: inactive}.WorkingSetBytes(used))
	}
	if size {
		v := b.Add(m.size)
		put(v, 1, total)
		statErr := m.node.Stat(&m.stat)
		if statErr == nil {
			v[0] = float64(len(m.stat.CPUs))
		}
		err = errors.Join(err, statErr)
	}
	return err
}

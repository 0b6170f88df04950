package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// machineSize makes the machine_* series, with labels that tell the machine, and
// its boot, from others.
type machineSize struct {
	roots    node.Roots
	group    *sample.Group
	cpus     int // that were online when topology was read
	topology node.Topology
}

// Positions in the group.
const (
	machineCPUs = iota
	machineCores
	machineSockets
	machineMemoryBytes
	machineSwapBytes
)

func newMachineSize(opts CgroupOptions) *machineSize {
	id := opts.Roots.Identity()
	gauge := func(unit, name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: "machine_" + name, Help: help, Type: sample.Gauge, Unit: unit}}
	}
	return &machineSize{
		roots: opts.Roots,
		group: &sample.Group{
			Every: max(opts.Lanes.Third, 1),
			Labels: sortLabels(told(append(containerJob(opts.Jobs.Containers),
				sample.Label{Name: "machine_id", Value: id.MachineID},
				sample.Label{Name: "system_uuid", Value: id.SystemUUID},
				sample.Label{Name: "boot_id", Value: id.BootID}))),
			Series: []sample.Series{
				machineCPUs:        gauge("", "cpu_cores", "CPUs that are online, each thread of a core."),
				machineCores:       gauge("", "cpu_physical_cores", "Cores that have CPUs online."),
				machineSockets:     gauge("", "cpu_sockets", "Sockets that have CPUs online."),
				machineMemoryBytes: gauge("bytes", "memory_bytes", "Memory of the machine."),
				machineSwapBytes:   gauge("bytes", "swap_bytes", "Swap of the machine."),
			},
		},
	}
}

// collect takes how many CPUs are online, 0 if that is unknown. To read what
// they are parts of takes four files of each, so that is only done anew when
// their number has changed.
func (s *machineSize) collect(b *sample.Batch, memory meminfo, cpus int) error {
	var err error
	if cpus != s.cpus {
		s.topology, err = s.roots.Topology()
		s.cpus = cpus
	}
	v := b.Add(s.group)
	if cpus > 0 {
		v[machineCPUs] = float64(cpus)
	}
	if s.topology.Cores > 0 {
		v[machineCores], v[machineSockets] = float64(s.topology.Cores), float64(s.topology.Sockets)
	}
	put(v, machineMemoryBytes, memory.total)
	put(v, machineSwapBytes, memory.swapTotal)
	return err
}

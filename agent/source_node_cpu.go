package agent

import (
	"strconv"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// nodeStat makes series of /proc/stat.
type nodeStat struct {
	read *node.Reader
	last node.Stat

	cpus   roster[int, nodeCPU]
	totals nodeGroup
}

// nodeCPU is one CPU: its series, and what it had when it was read last.
type nodeCPU struct {
	group *sample.Group
	last  node.CPU
}

func newNodeStat(r *node.Reader) *nodeStat {
	modes := nodeModes()
	return &nodeStat{
		read: r,
		cpus: roster[int, nodeCPU]{
			came: func(id int) nodeCPU {
				return nodeCPU{group: &sample.Group{
					Labels: []sample.Label{{Name: "cpu", Value: strconv.Itoa(id)}, nodeJob()},
					Series: modes,
				}}
			},
			left: func(c *nodeCPU, b *sample.Batch) { b.End(c.group) },
		},
		totals: newNodeGroup(
			sample.Series{Metric: &sample.Metric{Name: "node_intr_total", Help: "Interrupts served.", Type: sample.Counter}},
			sample.Series{Metric: &sample.Metric{Name: "node_context_switches_total", Help: "Context switches.", Type: sample.Counter}},
			sample.Series{Metric: &sample.Metric{Name: "node_boot_time_seconds", Help: "When the node was booted, in seconds since 1970.", Type: sample.Gauge, Unit: "seconds"}},
			sample.Series{Metric: &sample.Metric{Name: "node_forks_total", Help: "Processes and threads created.", Type: sample.Counter}},
			sample.Series{Metric: &sample.Metric{Name: "node_procs_running", Help: "Threads that run or are ready to.", Type: sample.Gauge}},
			sample.Series{Metric: &sample.Metric{Name: "node_procs_blocked", Help: "Threads that wait for a disk.", Type: sample.Gauge}},
		),
	}
}

// nodeModes are the series of a CPU, in the order of node.CPU.Ticks. Guest
// time is part of user time as well, as in node_exporter.
func nodeModes() []sample.Series {
	all := &sample.Metric{Name: "node_cpu_seconds_total", Help: "Time the CPU spent in each mode.", Type: sample.Counter, Unit: "seconds", Divisor: node.UserHZ}
	guest := &sample.Metric{Name: "node_cpu_guest_seconds_total", Help: "Time the CPU ran virtual machines; it is in user or nice as well.", Type: sample.Counter, Unit: "seconds", Divisor: node.UserHZ}
	mode := func(m *sample.Metric, name string) sample.Series {
		return sample.Series{Metric: m, Labels: []sample.Label{{Name: "mode", Value: name}}}
	}
	modes := make([]sample.Series, node.NumModes)
	modes[node.User] = mode(all, "user")
	modes[node.Nice] = mode(all, "nice")
	modes[node.System] = mode(all, "system")
	modes[node.Idle] = mode(all, "idle")
	modes[node.IOWait] = mode(all, "iowait")
	modes[node.IRQ] = mode(all, "irq")
	modes[node.SoftIRQ] = mode(all, "softirq")
	modes[node.Steal] = mode(all, "steal")
	modes[node.Guest] = mode(guest, "user")
	modes[node.GuestNice] = mode(guest, "nice")
	return modes
}

func (s *nodeStat) collect(b *sample.Batch) error {
	if err := s.read.Stat(&s.last); err != nil {
		s.totals.unread(b)
		s.cpus.each(func(c *nodeCPU) { b.Add(c.group) })
		return err
	}
	for i := range s.last.CPUs {
		cpu := &s.last.CPUs[i]
		c := s.cpus.seen(cpu.ID)
		if c == nil {
			continue
		}
		cpu.NotBefore(&c.last)
		c.last = *cpu
		v := b.Add(c.group)
		for m := range cpu.Modes {
			v[m] = float64(cpu.Ticks[m]) / node.UserHZ
		}
	}
	s.cpus.settle(b)
	s.totals.numbers(s.totals.add(b),
		s.last.Interrupts, s.last.ContextSwitches, s.last.BootTime, s.last.Forks, s.last.Running, s.last.Blocked)
	return nil
}

// nodeLoad makes series of /proc/loadavg.
type nodeLoad struct {
	read  *node.Reader
	group nodeGroup
}

func newNodeLoad(r *node.Reader) *nodeLoad {
	load := func(name, over string) sample.Series {
		return sample.Series{Metric: &sample.Metric{
			Name: name, Help: "Threads that ran, wanted to or waited for a disk, mean over " + over + ".", Type: sample.Gauge, Divisor: 100,
		}}
	}
	return &nodeLoad{r, newNodeGroup(load("node_load1", "1 min"), load("node_load5", "5 min"), load("node_load15", "15 min"))}
}

func (s *nodeLoad) collect(b *sample.Batch) error {
	load, err := s.read.Load()
	if err != nil {
		s.group.unread(b)
		return err
	}
	v := s.group.add(b)
	v[0], v[1], v[2] = load.One, load.Five, load.Fifteen
	return nil
}

package agent

import (
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// nodeMemory makes a series of each line of /proc/meminfo.
type nodeMemory struct {
	read   *node.Reader
	fields []node.MemoryField
	known  []node.MemoryField // the lines that group is made of
	group  nodeGroup
}

func newNodeMemory(r *node.Reader) *nodeMemory { return &nodeMemory{read: r} }

func (s *nodeMemory) collect(b *sample.Batch) error {
	fields, err := s.read.Memory(s.fields)
	s.fields = fields
	if err != nil {
		s.group.unread(b)
		return err
	}
	if !s.same() {
		s.learn(b)
	}
	v := s.group.add(b)
	for i := range fields {
		v[i] = float64(fields[i].Value)
	}
	return nil
}

// same reports whether the kernel writes the lines it wrote before.
func (s *nodeMemory) same() bool {
	if len(s.fields) != len(s.known) {
		return false
	}
	for i := range s.fields {
		if s.fields[i].Key != s.known[i].Key || s.fields[i].Pages != s.known[i].Pages {
			return false
		}
	}
	return true
}

// learn makes the group anew. That happens at the first reading, for the lines
// are compiled into the kernel.
func (s *nodeMemory) learn(b *sample.Batch) {
	if s.group.used {
		b.End(s.group.Group)
	}
	s.known = append(s.known[:0], s.fields...)
	series := make([]sample.Series, len(s.known))
	for i, f := range s.known {
		m := &sample.Metric{Name: memoryName(f), Help: "The line " + f.Key + " of /proc/meminfo.", Type: sample.Gauge}
		if !f.Pages {
			m.Unit = "bytes"
		}
		series[i] = sample.Series{Metric: m}
	}
	s.group = newNodeGroup(series...)
}

// memoryName is node_exporter's name for a line: "Active(anon)" becomes
// node_memory_Active_anon_bytes.
func memoryName(f node.MemoryField) string {
	key := strings.Map(func(c rune) rune {
		switch {
		case c == ')':
			return -1
		case c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			return c
		}
		return '_'
	}, f.Key)
	if f.Pages {
		return "node_memory_" + key
	}
	return "node_memory_" + key + "_bytes"
}

// nodeVM makes series of /proc/vmstat: those few that node_exporter takes.
type nodeVM struct {
	read  *node.Reader
	group nodeGroup
}

func newNodeVM(r *node.Reader) *nodeVM {
	line := func(key, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: "node_vmstat_" + key, Help: help}}
	}
	return &nodeVM{r, newNodeGroup(
		line("oom_kill", "Processes killed because memory ran out, on the node or in a container."),
		line("pgfault", "Page faults."),
		line("pgmajfault", "Page faults that had to read a disk."),
		line("pgpgin", "KiB read from disks."),
		line("pgpgout", "KiB written to disks."),
		line("pswpin", "Pages swapped in."),
		line("pswpout", "Pages swapped out."),
	)}
}

func (s *nodeVM) collect(b *sample.Batch) error {
	vm, err := s.read.VM()
	if err != nil {
		s.group.unread(b)
		return err
	}
	s.group.numbers(s.group.add(b),
		vm.OOMKills, vm.PageFaults, vm.MajorPageFaults, vm.PagedIn, vm.PagedOut, vm.SwappedIn, vm.SwappedOut)
	return nil
}

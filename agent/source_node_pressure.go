package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// nodePressure makes series of one file of /proc/pressure.
type nodePressure struct {
	read     *node.Reader
	resource node.Resource
	group    nodeGroup
}

// newNodePressure names what node_exporter names: "some" as waiting, "full" as
// stalled, and of the CPU only the former, for all threads of a machine never
// wait for the CPU at once: one of them has it.
func newNodePressure(r *node.Reader, res node.Resource) *nodePressure {
	total := func(state, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{
			Name: "node_pressure_" + res.String() + "_" + state + "_seconds_total",
			Help: help, Type: sample.Counter, Unit: "seconds", Divisor: 1e6,
		}}
	}
	waiting := total("waiting", "Time during which some thread was short of "+res.String()+".")
	stalled := total("stalled", "Time during which all threads were short of "+res.String()+".")
	p := &nodePressure{read: r, resource: res}
	switch res {
	case node.CPUPressure:
		p.group = newNodeGroup(waiting)
	case node.IRQPressure:
		p.group = newNodeGroup(stalled)
	default:
		p.group = newNodeGroup(waiting, stalled)
	}
	return p
}

func (s *nodePressure) collect(b *sample.Batch) error {
	p, err := s.read.Pressure(s.resource)
	if err != nil {
		s.group.unread(b)
		return err
	}
	v := s.group.add(b)
	switch s.resource {
	case node.CPUPressure:
		s.group.numbers(v, p.Some)
	case node.IRQPressure:
		s.group.numbers(v, p.Full)
	default:
		s.group.numbers(v, p.Some, p.Full)
	}
	return nil
}

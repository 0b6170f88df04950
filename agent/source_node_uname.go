package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// nodeClock tells the node's own time.
type nodeClock struct{ group nodeGroup }

func newNodeClock() *nodeClock {
	return &nodeClock{newNodeGroup(sample.Series{Metric: &sample.Metric{
		Name: "node_time_seconds", Help: "The node's clock, in seconds since 1970.", Type: sample.Gauge, Unit: "seconds", Divisor: 1000,
	}})}
}

func (s *nodeClock) collect(b *sample.Batch) error {
	s.group.add(b)[0] = float64(b.Time.UnixMilli()) / 1000
	return nil
}

// nodeUname tells how the node and its kernel are called.
type nodeUname struct {
	uname func(*node.Uname) error
	now   node.Uname
	known node.Uname // that group is made of
	group nodeGroup
}

func newNodeUname(uname func(*node.Uname) error) *nodeUname { return &nodeUname{uname: uname} }

func (s *nodeUname) collect(b *sample.Batch) error {
	if err := s.uname(&s.now); err != nil {
		s.group.unread(b)
		return err
	}
	if s.now != s.known {
		if s.group.used {
			b.End(s.group.Group)
		}
		s.known = s.now
		u := s.known
		s.group = newNodeGroup(sample.Series{
			Metric: &sample.Metric{Name: "node_uname_info", Help: "Always 1; the labels are what uname(2) says.", Type: sample.Gauge},
			Labels: []sample.Label{
				{Name: "domainname", Value: u.Domainname},
				{Name: "machine", Value: u.Machine},
				{Name: "nodename", Value: u.Nodename},
				{Name: "release", Value: u.Release},
				{Name: "sysname", Value: u.Sysname},
				{Name: "version", Value: u.Version},
			},
		})
	}
	s.group.add(b)[0] = 1
	return nil
}

package agent

import (
	"errors"

	"github.com/plimsoll-io/plimsoll/agent/netns"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// networkHealth is how the reading of networks fares.
type networkHealth struct {
	files  *available
	counts *sample.Group

	tried, read int // containers, since it was last told
}

// Positions in the counts group.
const (
	networksNow = iota
	networkProcessesNow
	networksUnread
	interfacesLeftOut
)

func newNetworkHealth(lanes Lanes) *networkHealth {
	return &networkHealth{
		files: newAvailable([]string{"proc/PID/net/dev"}, lanes.Third),
		counts: &sample.Group{
			Every:  max(lanes.Third, 1),
			Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
			Series: []sample.Series{
				networksNow:         {Metric: &sample.Metric{Name: "plimsoll_agent_container_networks", Help: "Network namespaces of containers.", Type: sample.Gauge}},
				networkProcessesNow: {Metric: &sample.Metric{Name: "plimsoll_agent_container_network_descriptors", Help: "Descriptors kept open to read the network of containers.", Type: sample.Gauge}},
				networksUnread:      {Metric: &sample.Metric{Name: "plimsoll_agent_container_networks_unknown", Help: "Containers whose network is not known.", Type: sample.Gauge}},
				interfacesLeftOut:   {Metric: &sample.Metric{Name: "plimsoll_agent_container_interfaces_left_out", Help: "Interfaces of containers that are not told of because their network has too many.", Type: sample.Gauge}},
			},
		},
	}
}

// note takes in how the reading of a container ended. That there was no process
// counts from the second time on: containers end, and are seen before they begin.
func (h *networkHealth) note(m *networkMember, err error) {
	switch {
	case err == nil:
		h.tried++
		h.read++
	case !errors.Is(err, netns.ErrGone) || m.misses > 1:
		h.tried++
	}
}

// collect adds it all. The error says what keeps every network from being read.
func (h *networkHealth) collect(b *sample.Batch, s *networkSource) error {
	v := b.Add(h.counts)
	v[networksNow], v[networkProcessesNow] = float64(len(s.owners)), float64(s.held)
	v[networksUnread], v[interfacesLeftOut] = 0, 0
	for m := range s.members {
		if m.network == 0 {
			v[networksUnread]++
		}
		if m.owns {
			v[interfacesLeftOut] += float64(m.reading.LeftOut)
		}
	}
	if h.tried == 0 {
		return nil // it is not known whether they could be
	}
	h.files.ok[0] = h.read > 0
	h.files.add(b)
	h.tried, h.read = 0, 0
	if !h.files.ok[0] {
		return ErrNetworkHidden
	}
	return nil
}

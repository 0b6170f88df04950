package agent

import (
	"slices"
	"strconv"

	"github.com/plimsoll-io/plimsoll/agent/netns"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Positions in the facts group: the third lane. A container has one of the
// modes.
const (
	networkOwn = iota
	networkShared
	networkOfNode
	networkNone
	networkSockets
	networkUnknown = -1
)

// networkMetrics are the series of a container's network. All containers share
// them.
type networkMetrics struct{ traffic, facts []sample.Series }

// newNetworkMetrics names what is read, as cAdvisor's lib/metrics/prometheus.go
// does.
func newNetworkMetrics() *networkMetrics {
	traffic := make([]sample.Series, netns.NumCounts)
	for _, way := range []struct {
		name, did                        string
		bytes, packets, errors, droppeds netns.Count
	}{
		{"receive", "received", netns.ReceivedBytes, netns.ReceivedPackets, netns.ReceiveErrors, netns.ReceivesDropped},
		{"transmit", "sent", netns.SentBytes, netns.SentPackets, netns.SendErrors, netns.SendsDropped},
	} {
		counter := func(what, unit, help string) sample.Series {
			return sample.Series{Metric: &sample.Metric{Name: "container_network_" + way.name + "_" + what + "_total", Help: help, Type: sample.Counter, Unit: unit}}
		}
		traffic[way.bytes] = counter("bytes", "bytes", "Bytes "+way.did+".")
		traffic[way.packets] = counter("packets", "", "Packets "+way.did+".")
		traffic[way.errors] = counter("errors", "", "Packets that could not be "+way.did+" for errors.")
		traffic[way.droppeds] = counter("packets_dropped", "", "Packets dropped that should have been "+way.did+".")
	}
	mode := &sample.Metric{
		Name: "plimsoll_container_network_mode", Type: sample.Gauge,
		Help: "Always 1. Mode is whose network the container is in: its own, shared with another container that has its series, the node's, or none.",
	}
	facts := []sample.Series{
		networkSockets: {Metric: &sample.Metric{Name: "container_sockets", Help: "Sockets in the container's network.", Type: sample.Gauge}},
	}
	for at, value := range [...]string{networkOwn: "own", networkShared: "shared", networkOfNode: "host", networkNone: "none"} {
		facts[at] = sample.Series{Metric: mode, Labels: []sample.Label{{Name: "mode", Value: value}}}
	}
	return &networkMetrics{traffic, facts}
}

// networkSeries are the groups of one container.
type networkSeries struct {
	interfaces roster[string, *sample.Group]
	facts      *sample.Group
	described  bool // facts has been in a batch
	mode       int  // that was told last
}

func (m *networkMetrics) of(labels []sample.Label, lanes Lanes) networkSeries {
	return networkSeries{
		facts: &sample.Group{Labels: labels, Series: m.facts, Every: max(lanes.Third, 1)},
		mode:  networkUnknown,
		interfaces: roster[string, *sample.Group]{
			came: func(name string) *sample.Group {
				return &sample.Group{Labels: withInterface(labels, name), Series: m.traffic, Every: max(lanes.Second, 1)}
			},
			left: func(g **sample.Group, b *sample.Batch) { b.End(*g) },
		},
	}
}

// withInterface adds the label of an interface. The kernel takes
// names of almost any bytes; quoted they are text and still all different.
func withInterface(labels []sample.Label, name string) []sample.Label {
	quoted := strconv.Quote(name)
	l := sample.Label{Name: "interface", Value: quoted[1 : len(quoted)-1]}
	return sortLabels(append(slices.Clone(labels), l))
}

// carry adds what a container's network has carried.
func (s *networkSeries) carry(r *netns.Reading, b *sample.Batch) {
	for i := range r.Interfaces {
		g := s.interfaces.seen(r.Interfaces[i].Name)
		if g == nil {
			continue
		}
		v := b.Add(*g)
		for c, n := range r.Interfaces[i].Counts {
			v[c] = float64(n)
		}
	}
	s.interfaces.settle(b)
}

// describe adds the facts and returns their values.
func (s *networkSeries) describe(mode int, b *sample.Batch) []float64 {
	s.mode, s.described = mode, true
	v := b.Add(s.facts)
	v[mode] = 1
	return v
}

// unread says that what there was is not known now.
func (s *networkSeries) unread(b *sample.Batch) {
	s.interfaces.each(func(g **sample.Group) { b.Add(*g) })
	if s.described {
		s.mode = networkUnknown
		b.Add(s.facts)
	}
}

// lose ends the series of a network that counts for another container now.
func (s *networkSeries) lose(b *sample.Batch) { s.interfaces.settle(b) }

// end ends them all.
func (s *networkSeries) end(b *sample.Batch) {
	s.lose(b)
	if s.described {
		b.End(s.facts)
	}
}

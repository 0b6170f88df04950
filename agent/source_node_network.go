package agent

import (
	"errors"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// nodeNetwork makes series of the node's interfaces. Those called veth… are
// left out: they are the outer ends of containers' own, which are counted
// there, and on a node of containers they are most of the interfaces.
type nodeNetwork struct {
	read *node.Reader
	last []node.Interface
	devs roster[string, nodeInterface]
}

type nodeInterface struct {
	counts *sample.Group
	state  *sample.Group
	files  *node.LinkFiles // that state is read from
	used   bool            // state has been in a batch
}

func newNodeNetwork(r *node.Reader) *nodeNetwork {
	counts, state := networkCounts(), networkState()
	return &nodeNetwork{
		read: r,
		devs: roster[string, nodeInterface]{
			came: func(name string) nodeInterface {
				labels := []sample.Label{{Name: "device", Value: name}, nodeJob()}
				return nodeInterface{
					counts: &sample.Group{Labels: labels, Series: counts},
					state:  &sample.Group{Labels: labels, Series: state},
					files:  r.LinkFiles(name),
				}
			},
			left: func(d *nodeInterface, b *sample.Batch) {
				d.files.Close()
				b.End(d.counts)
				if d.used {
					b.End(d.state)
				}
			},
		},
	}
}

// networkCounts are the series of an interface, in the order of
// node.Interface.Counts.
func networkCounts() []sample.Series {
	names := [node.NumNetCounts]string{
		node.ReceiveBytes:       "receive_bytes",
		node.ReceivePackets:     "receive_packets",
		node.ReceiveErrs:        "receive_errs",
		node.ReceiveDrop:        "receive_drop",
		node.ReceiveFIFO:        "receive_fifo",
		node.ReceiveFrame:       "receive_frame",
		node.ReceiveCompressed:  "receive_compressed",
		node.ReceiveMulticast:   "receive_multicast",
		node.TransmitBytes:      "transmit_bytes",
		node.TransmitPackets:    "transmit_packets",
		node.TransmitErrs:       "transmit_errs",
		node.TransmitDrop:       "transmit_drop",
		node.TransmitFIFO:       "transmit_fifo",
		node.TransmitColls:      "transmit_colls",
		node.TransmitCarrier:    "transmit_carrier",
		node.TransmitCompressed: "transmit_compressed",
	}
	series := make([]sample.Series, len(names))
	for i, name := range names {
		m := &sample.Metric{Name: "node_network_" + name + "_total", Help: "The column " + name + " of /proc/net/dev.", Type: sample.Counter}
		if strings.HasSuffix(name, "_bytes") {
			m.Unit = "bytes"
		}
		series[i] = sample.Series{Metric: m}
	}
	return series
}

// networkState are the series of a node.Link.
func networkState() []sample.Series {
	return []sample.Series{
		{Metric: &sample.Metric{Name: "node_network_up", Help: "1 if the interface's operational state is up.", Type: sample.Gauge}},
		{Metric: &sample.Metric{Name: "node_network_carrier", Help: "1 if there is a signal on the wire.", Type: sample.Gauge}},
		{Metric: &sample.Metric{Name: "node_network_mtu_bytes", Help: "Largest packet the interface takes.", Type: sample.Gauge, Unit: "bytes"}},
		{Metric: &sample.Metric{Name: "node_network_speed_bytes", Help: "Speed the interface negotiated, per second.", Type: sample.Gauge, Unit: "bytes"}},
	}
}

func (s *nodeNetwork) collect(b *sample.Batch) error {
	ifs, err := s.read.Interfaces(s.last)
	s.last = ifs
	if err != nil {
		s.devs.each(func(d *nodeInterface) { b.Add(d.counts) })
		return err
	}
	for i := range ifs {
		if strings.HasPrefix(ifs[i].Name, "veth") {
			continue
		}
		d := s.devs.seen(ifs[i].Name)
		if d == nil {
			continue
		}
		v := b.Add(d.counts)
		for c, n := range ifs[i].Counts {
			v[c] = float64(n)
		}
	}
	s.devs.settle(b)
	return nil
}

func (s *nodeNetwork) close() {
	s.devs.each(func(d *nodeInterface) { d.files.Close() })
}

// nodeLinks makes series of /sys/class/net, for the interfaces that
// nodeNetwork has found.
type nodeLinks struct{ network *nodeNetwork }

// bytesPerMbit turns Mbit/s into bytes/s.
const bytesPerMbit = 1_000_000 / 8

func (s nodeLinks) collect(b *sample.Batch) error {
	var errs []error
	for i := range s.network.devs.members {
		d := &s.network.devs.members[i].value
		link, err := s.network.read.Link(d.files)
		if err != nil {
			if d.used {
				b.Add(d.state)
			}
			if !missing(err) {
				errs = append(errs, err)
			}
			continue
		}
		d.used = true
		v := b.Add(d.state)
		v[0] = 0
		if link.Up {
			v[0] = 1
		}
		if link.Carrier.Known {
			v[1] = float64(link.Carrier.Value)
		}
		if link.MTU.Known {
			v[2] = float64(link.MTU.Value)
		}
		if link.Speed.Known {
			v[3] = float64(link.Speed.Value * bytesPerMbit)
		}
	}
	return errors.Join(errs...)
}

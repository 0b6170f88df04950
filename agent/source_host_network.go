package agent

import (
	"slices"
	"strconv"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func protocols(r node.Roots, file node.ProtocolFile) func() (map[string]float64, error) {
	return func() (map[string]float64, error) { return r.Protocols(file) }
}

// netstatNames are the series of some keys of a file of /proc/net. Counts and
// states stand there side by side, so they are untyped, as in node_exporter.
func netstatNames(file node.ProtocolFile, keys string) ([]string, []sample.Series) {
	names := strings.Fields(keys)
	series := make([]sample.Series, len(names))
	for i, key := range names {
		series[i] = sample.Series{Metric: &sample.Metric{Name: "node_netstat_" + key, Help: "The value " + key + " of /proc/net/" + string(file) + "."}}
	}
	return names, series
}

func snmpSeries() ([]string, []sample.Series) {
	return netstatNames(node.SNMP, `
		Icmp_InErrors Icmp_InMsgs Icmp_OutMsgs
		Ip_Forwarding
		Tcp_ActiveOpens Tcp_CurrEstab Tcp_InErrs Tcp_InSegs Tcp_MaxConn Tcp_OutRsts Tcp_OutSegs Tcp_PassiveOpens Tcp_RetransSegs
		Udp_InDatagrams Udp_InErrors Udp_NoPorts Udp_OutDatagrams Udp_RcvbufErrors Udp_SndbufErrors
		UdpLite_InErrors`)
}

func netstatSeries() ([]string, []sample.Series) {
	return netstatNames(node.Netstat, `
		IpExt_InOctets IpExt_OutOctets
		TcpExt_ListenDrops TcpExt_ListenOverflows
		TcpExt_SyncookiesFailed TcpExt_SyncookiesRecv TcpExt_SyncookiesSent
		TcpExt_TCPOFOQueue TcpExt_TCPRcvQDrop TcpExt_TCPSynRetrans TcpExt_TCPTimeouts`)
}

func snmp6Series() ([]string, []sample.Series) {
	return netstatNames(node.SNMP6, `
		Icmp6_InErrors Icmp6_InMsgs Icmp6_OutMsgs
		Ip6_InOctets Ip6_OutOctets
		Udp6_InDatagrams Udp6_InErrors Udp6_NoPorts Udp6_OutDatagrams Udp6_RcvbufErrors Udp6_SndbufErrors
		UdpLite6_InErrors`)
}

func sockstatNames(file, keys string) ([]string, []sample.Series) {
	names := strings.Fields(keys)
	series := make([]sample.Series, len(names))
	for i, key := range names {
		m := &sample.Metric{Name: "node_sockstat_" + key, Help: "The value " + key + " of /proc/net/" + file + ".", Type: sample.Gauge}
		if strings.HasSuffix(key, "_bytes") {
			m.Help, m.Unit = "The value "+strings.TrimSuffix(key, "_bytes")+" of /proc/net/"+file+", in bytes.", "bytes"
		}
		series[i] = sample.Series{Metric: m}
	}
	return names, series
}

func sockstatSeries() ([]string, []sample.Series) {
	return sockstatNames("sockstat", `
		FRAG_inuse FRAG_memory RAW_inuse
		TCP_alloc TCP_inuse TCP_mem TCP_mem_bytes TCP_orphan TCP_tw
		UDPLITE_inuse UDP_inuse UDP_mem UDP_mem_bytes
		sockets_used`)
}

func sockstat6Series() ([]string, []sample.Series) {
	return sockstatNames("sockstat6", "FRAG6_inuse FRAG6_memory RAW6_inuse TCP6_inuse UDP6_inuse UDPLITE6_inuse")
}

func newHostSoftnet() *hostTable[node.Softnet] {
	count := func(name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: "node_softnet_" + name + "_total", Help: help, Type: sample.Counter}}
	}
	series := []sample.Series{
		count("processed", "Packets that came in and were processed."),
		count("dropped", "Packets dropped because the CPU's backlog was full."),
		count("times_squeezed", "Times that the budget for packets ended before the packets."),
		count("received_rps", "Times that another CPU handed packets over."),
		count("flow_limit_count", "Packets of a large flow dropped for the sake of small ones."),
	}
	return newHostTable("cpu", series,
		func(s *node.Softnet) string { return strconv.FormatUint(uint64(s.CPU), 10) },
		func(s *node.Softnet) []float64 {
			return valuesOf(s.Processed, s.Dropped, s.Squeezed, s.ReceivedRPS, s.FlowLimit)
		})
}

// noHandlers leaves out what nodeNetwork leaves out.
func noHandlers(r node.Roots) func() ([]node.NoHandler, error) {
	return func() ([]node.NoHandler, error) {
		all, err := r.NoHandlers()
		return slices.DeleteFunc(all, func(n node.NoHandler) bool { return strings.HasPrefix(n.Device, "veth") || !n.Count.Known }), err
	}
}

func newHostNoHandlers() *hostTable[node.NoHandler] {
	count := []sample.Series{{Metric: &sample.Metric{
		Name: "node_network_receive_nohandler_total", Help: "Packets that came in and that nobody wanted.", Type: sample.Counter,
	}}}
	return newHostTable("device", count,
		func(n *node.NoHandler) string { return n.Device },
		func(n *node.NoHandler) []float64 { return valuesOf(n.Count) })
}

func newHostNeighbours() *hostTable[node.Neighbours] {
	entries := []sample.Series{{Metric: &sample.Metric{Name: "node_arp_entries", Help: "Addresses in the ARP table.", Type: sample.Gauge}}}
	return newHostTable("device", entries,
		func(n *node.Neighbours) string { return n.Device },
		func(n *node.Neighbours) []float64 { return []float64{float64(n.Entries)} })
}

func udpQueues(r node.Roots) func() ([]float64, error) {
	return func() ([]float64, error) {
		q, err := r.UDPQueues()
		return valuesOf(q.Transmit4, q.Receive4, q.Transmit6, q.Receive6), err
	}
}

func newHostUDPQueues() *hostValues {
	waiting := &sample.Metric{Name: "node_udp_queues", Help: "Bytes that wait in UDP sockets, sent (tx) or received (rx).", Type: sample.Gauge}
	queue := func(way, ip string) sample.Series {
		return sample.Series{Metric: waiting, Labels: []sample.Label{{Name: "ip", Value: ip}, {Name: "queue", Value: way}}}
	}
	return &hostValues{newNodeGroup(queue("tx", "v4"), queue("rx", "v4"), queue("tx", "v6"), queue("rx", "v6"))}
}

func conntrack(r node.Roots) func() ([]float64, error) {
	return func() ([]float64, error) {
		c, err := r.Conntrack()
		return valuesOf(c.Entries, c.Limit), err
	}
}

func newHostConntrack() *hostValues {
	return &hostValues{newNodeGroup(
		gauge("node_nf_conntrack_entries", "Connections that the firewall follows."),
		gauge("node_nf_conntrack_entries_limit", "Most connections that the firewall can follow."),
	)}
}

func gauge(name, help string, labels ...sample.Label) sample.Series {
	return sample.Series{Metric: &sample.Metric{Name: name, Help: help, Type: sample.Gauge}, Labels: labels}
}

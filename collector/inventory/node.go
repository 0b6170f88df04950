package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Node is a machine with an agent.
type Node struct {
	Name    string
	Version string    // of its agent
	Seen    time.Time // when it last said anything, by the collector's clock
	Lost    time.Time // when it was given up; zero while it is connected
	// Recalled tells that the node is known from the store alone: since the
	// collector started its agent has not been heard of, nor given up. Seen is
	// then when it last reported, by its own clock.
	Recalled bool
	Report
}

// Report is what a node's agent says of itself, and the collector of its stream,
// as far as the store has it.
type Report struct {
	At          time.Time // of the agent's newest report, by the node's clock; zero if there is none
	Interval    Seconds   // from one tick to the next
	Lag         Seconds   // age of the agent's last frame when it was stored
	ClockOffset Seconds   // by how much the node's clock was ahead when it connected
	Backlog     *float64  // batches on the node that are not confirmed
	Sources     []Source  // by name
	Missing     []string  // files of the kernel that the agent cannot read
}

// Source is a part of an agent that reads one subsystem.
type Source struct {
	Name string `json:"name"`
	// Failing is at what share of its ticks of the last five minutes, 0 to 1, it
	// could not be read in full; nil if that is not known.
	Failing *float64 `json:"failing_ratio"`
}

// Connected tells whether the node's agent has a stream open.
func (n Node) Connected() bool { return n.Lost.IsZero() && !n.Recalled }

// NodeSeen notes that a node's agent, of that version, is connected and spoke.
func (v *Inventory) NodeSeen(node, version string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, known := v.nodes[node]
	if !known && !v.room() {
		return
	}
	if n.Recalled {
		n.Seen = time.Time{} // of another clock
	}
	v.nodes[node] = Node{Name: node, Version: version, Seen: latest(n.Seen, at), Report: n.Report}
}

// NodeLost notes that a node's agent is gone. A node that was never seen stays
// unknown.
func (v *Inventory) NodeLost(node string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n, known := v.nodes[node]; known {
		n.Lost, n.Recalled = at, false
		v.nodes[node] = n
	}
}

// room makes sure that another node fits, or says that it does not. v.mu is
// held.
func (v *Inventory) room() bool {
	if len(v.nodes) < v.opts.Nodes {
		return true
	}
	v.metrics.unlisted.Inc()
	var oldest Node
	for _, n := range v.nodes {
		if !n.Connected() && (oldest.Name == "" || n.Seen.Before(oldest.Seen)) {
			oldest = n
		}
	}
	if oldest.Name == "" {
		return false
	}
	delete(v.nodes, oldest.Name)
	return true
}

// Nodes lists the nodes by name.
func (v *Inventory) Nodes() []Node {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.SortedFunc(maps.Values(v.nodes), func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
}

func (v *Inventory) connected() float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0.0
	for _, node := range v.nodes {
		if node.Connected() {
			n++
		}
	}
	return n
}

// takeNodes brings in what was read of nodes. v.mu is held.
func (v *Inventory) takeNodes(reports map[string]*nodeReport, now time.Time) {
	for name, r := range reports {
		n, known := v.nodes[name]
		if !known {
			if r.At.IsZero() || seen(r.At, now) > v.opts.Remember || !v.room() {
				continue
			}
			n = Node{Name: name, Recalled: true}
		}
		if n.Recalled {
			n.Seen, n.Version = latest(n.Seen, r.At), cmp.Or(r.version, n.Version)
		}
		if r.At.IsZero() { // the agent's last report stays
			n.Lag, n.ClockOffset = r.Lag, r.ClockOffset
		} else {
			n.Report = r.Report
		}
		v.nodes[name] = n
		v.reported[name] = latest(v.reported[name], r.reported)
	}
	for name, n := range v.nodes {
		if !n.Connected() && seen(n.Seen, now) > v.opts.Remember {
			delete(v.nodes, name)
		}
	}
	maps.DeleteFunc(v.reported, func(name string, _ time.Time) bool { _, known := v.nodes[name]; return !known })
}

// nodeReport is a report while it is being read.
type nodeReport struct {
	Report
	version  string
	reported time.Time // see Inventory.reported
}

// readNodes asks the store for what is known of nodes.
func (r *reading) readNodes() map[string]*nodeReport {
	reports := map[string]*nodeReport{}
	of := func(l map[string]string) *nodeReport {
		name := l["node"]
		if reports[name] == nil {
			reports[name] = &nodeReport{}
		}
		return reports[name]
	}
	said := func(l map[string]string, at float64) {
		if n := of(l); unix(at).After(n.At) {
			n.At, n.version = unix(at), l["version"]
		}
	}
	before := func(l map[string]string, at float64) {
		n := of(l)
		n.reported = latest(n.reported, unix(at))
	}
	for _, report := range []struct {
		offset time.Duration
		take   func(map[string]string, float64)
	}{{0, said}, {settle, before}} {
		promql := fmt.Sprintf(`timestamp(plimsoll_agent_build_info{node!=""} offset %ds)`, int(report.offset.Seconds()))
		r.past(promql, report.take)
		r.each(promql, report.take)
	}
	for _, column := range []struct {
		promql string
		to     func(*nodeReport) **float64
	}{
		{`plimsoll_agent_interval_seconds{node!=""}`, func(n *nodeReport) **float64 { return &n.Interval }},
		{`plimsoll_agent_unacknowledged_batches{node!=""}`, func(n *nodeReport) **float64 { return &n.Backlog }},
		{`plimsoll_collector_ingest_lag_seconds{node!=""}`, func(n *nodeReport) **float64 { return &n.Lag }},
		{`plimsoll_agent_clock_skew_seconds{node!=""}`, func(n *nodeReport) **float64 { return &n.ClockOffset }},
	} {
		r.each(column.promql, func(l map[string]string, value float64) { *column.to(of(l)) = &value })
	}
	failing := map[string]map[string]float64{}
	r.each(`rate(plimsoll_agent_source_errors_total{node!=""}[5m])
		/ on (node) group_left rate(plimsoll_agent_ticks_total{node!=""}[5m])`, func(l map[string]string, value float64) {
		if failing[l["node"]] == nil {
			failing[l["node"]] = map[string]float64{}
		}
		failing[l["node"]][l["source"]] = value
	})
	r.each(`plimsoll_agent_source_errors_total{node!=""}`, func(l map[string]string, _ float64) {
		s := Source{Name: l["source"]}
		if ratio, ok := failing[l["node"]][s.Name]; ok {
			s.Failing = &ratio
		}
		n := of(l)
		n.Sources = append(n.Sources, s)
	})
	r.each(`plimsoll_agent_source_available{node!=""} == 0`, func(l map[string]string, _ float64) {
		n := of(l)
		n.Missing = append(n.Missing, l["file"])
	})
	for _, n := range reports {
		slices.SortFunc(n.Sources, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
		slices.Sort(n.Missing)
	}
	return reports
}

// Package inventory knows which nodes there are, which of them are connected,
// and what has happened lately. It lives in memory and is bounded; what has to
// outlast the process is in the store.
package inventory

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Node is a machine with an agent.
type Node struct {
	Name    string
	Version string    // of its agent
	Seen    time.Time // when it last said anything, by the collector's clock
	Lost    time.Time // when it was given up; zero while it is connected
}

// Connected tells whether the node's agent has a stream open.
func (n Node) Connected() bool { return n.Lost.IsZero() }

// Event is something that happened on a node.
type Event struct {
	Node      string
	Time      time.Time
	Kind      string // "exited", "oom", …
	Container string // empty if it is about the node
	Text      string // one line
}

// Options bound an inventory.
type Options struct {
	// Nodes at most; 0 means 4096. Past it a new one takes the place of the one
	// that has been lost longest, or is not listed if all are connected.
	Nodes int
	// Events at most; 0 means 512. Past it the oldest goes.
	Events     int
	Registerer prometheus.Registerer
}

// Inventory is safe for concurrent use.
type Inventory struct {
	maxNodes int

	mu     sync.Mutex
	nodes  map[string]Node
	events []Event // a ring
	next   int     // where the next event goes

	unlisted, forgotten prometheus.Counter
}

// New returns an empty inventory.
func New(opts Options) *Inventory {
	opts.Nodes = cmp.Or(opts.Nodes, 4096)
	opts.Events = cmp.Or(opts.Events, 512)
	v := &Inventory{
		maxNodes: opts.Nodes,
		nodes:    map[string]Node{},
		events:   make([]Event, 0, opts.Events),
		unlisted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_inventory_nodes_unlisted_total",
			Help: "Nodes that were left out of the inventory, or taken from it, because it was full.",
		}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_inventory_events_forgotten_total",
			Help: "Events that made room for later ones.",
		}),
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(v.unlisted, v.forgotten, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "plimsoll_inventory_nodes_connected",
			Help: "Nodes whose agents are connected.",
		}, v.connected))
	}
	return v
}

// NodeSeen notes that a node's agent, of that version, is connected and spoke.
func (v *Inventory) NodeSeen(node, version string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, known := v.nodes[node]
	if !known && !v.room() {
		return
	}
	v.nodes[node] = Node{Name: node, Version: version, Seen: latest(n.Seen, at)}
}

// NodeLost notes that a node's agent is gone. A node that was never seen stays
// unknown.
func (v *Inventory) NodeLost(node string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n, known := v.nodes[node]; known {
		n.Lost = at
		v.nodes[node] = n
	}
}

// room makes sure that another node fits, or says that it does not.
func (v *Inventory) room() bool {
	if len(v.nodes) < v.maxNodes {
		return true
	}
	v.unlisted.Inc()
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

// Event notes that something happened.
func (v *Inventory) Event(node string, at time.Time, kind, container, text string) {
	e := Event{Node: node, Time: at, Kind: kind, Container: container, Text: text}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.events) < cap(v.events) {
		v.events = append(v.events, e)
		return
	}
	v.events[v.next] = e
	v.next = (v.next + 1) % len(v.events)
	v.forgotten.Inc()
}

// Nodes lists the nodes by name.
func (v *Inventory) Nodes() []Node {
	v.mu.Lock()
	defer v.mu.Unlock()
	nodes := make([]Node, 0, len(v.nodes))
	for _, n := range v.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes
}

// Events lists what happened, the latest first. Events of one time keep the
// order in which they came in.
func (v *Inventory) Events() []Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	events := slices.Concat(v.events[v.next:], v.events[:v.next])
	slices.SortStableFunc(events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	slices.Reverse(events)
	return events
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

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

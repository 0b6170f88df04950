package web

import (
	"cmp"
	"context"
	"math"
	"path"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
)

// How much of a long list is shown.
const (
	maxContainers = 500
	maxEvents     = 20
)

// reading is a value that may not be known.
type reading struct {
	value float64
	known bool
}

// known makes a reading. NaN is what a ratio is when nothing happened: not known.
func known(v float64) reading { return reading{v, !math.IsNaN(v)} }

// of is the share of r in a whole. A whole of zero has no shares.
func (r reading) of(whole reading) reading {
	if !r.known || !whole.known || whole.value <= 0 {
		return reading{}
	}
	return known(r.value / whole.value)
}

// view is what one rendering of the page shows.
type view struct {
	Now        time.Time
	Version    string
	Trouble    []string // what could not be read
	Nodes      []*node
	Containers []*container
	Hidden     int // containers past maxContainers
	Events     []inventory.Event
	HasAlerts  bool
	Alerts     []Alert
	HasScaler  bool
	Decisions  []Decision
}

// node is a row of the table of nodes.
type node struct {
	Name, Version string
	State         string // "up", "lost", or "not connected" if only the store knows it
	Seen          time.Time
	CPU           reading // share of all cores
	Cores         reading
	Available     reading // bytes of memory
	Memory        reading // bytes, all there is
	Containers    int
}

// MemoryUsed is what is not available, in bytes.
func (n *node) MemoryUsed() reading {
	if !n.Memory.known || !n.Available.known {
		return reading{}
	}
	return known(n.Memory.value - n.Available.value)
}

// MemoryShare is MemoryUsed of all there is.
func (n *node) MemoryShare() reading { return n.MemoryUsed().of(n.Memory) }

// container is a row of the table of containers.
type container struct {
	Name, Node, Image string
	ID                string  // path of its cgroup
	CPU               reading // cores
	Quota, Period     reading // of the CFS, µs; together the limit
	Throttled         reading // share of periods
	Memory            reading // working set, bytes
	MemoryLimit       reading // bytes, 0 if there is none
	Started           reading // s since 1970
	At                reading // time of the newest sample, s since 1970
	Stale             bool
	Age               time.Duration // of the newest sample
}

// CPULimit is in cores. A quota of zero or less is no limit, a quota that is
// missing is an unknown one.
func (c *container) CPULimit() reading {
	if c.Quota.known && c.Quota.value <= 0 {
		return known(0)
	}
	return c.Quota.of(c.Period)
}

// CPUShare is the CPU used of what is allowed.
func (c *container) CPUShare() reading { return c.CPU.of(c.CPULimit()) }

// MemoryShare is the working set of what is allowed.
func (c *container) MemoryShare() reading { return c.Memory.of(c.MemoryLimit) }

// look gathers what the page shows at this moment.
func (p *Page) look(ctx context.Context) view {
	v := view{Now: p.opts.Now(), Version: p.opts.Version}
	t := tables{ctx: ctx, page: p, view: &v, nodes: map[string]*node{}, containers: map[place]*container{}}
	for _, n := range p.opts.Inventory.Nodes() {
		t.take(n)
	}
	t.read()
	v.Nodes, v.Containers = t.sorted()
	if len(v.Containers) > maxContainers {
		v.Hidden = len(v.Containers) - maxContainers
		v.Containers = v.Containers[:maxContainers]
	}
	v.Events = atMost(maxEvents, p.opts.Inventory.Events())
	if v.HasAlerts = p.opts.Alerting != nil; v.HasAlerts {
		v.Alerts = p.opts.Alerting.Alerts(ctx)
	}
	if v.HasScaler = p.opts.Decisions != nil; v.HasScaler {
		v.Decisions = p.opts.Decisions()
	}
	return v
}

func atMost[T any](n int, all []T) []T { return all[:min(n, len(all))] }

// place identifies a container: names are not unique, and may change.
type place struct{ node, id string }

// tables are the rows while they are being filled in.
type tables struct {
	ctx        context.Context
	page       *Page
	view       *view
	nodes      map[string]*node
	containers map[place]*container
}

// take enters a node of the inventory.
func (t *tables) take(n inventory.Node) {
	row := t.node(n.Name)
	row.Version, row.Seen = n.Version, n.Seen
	switch {
	case n.Recalled: // nobody has given it up
	case n.Connected():
		row.State = "up"
	default:
		row.State = "lost"
	}
}

func (t *tables) node(name string) *node {
	n, ok := t.nodes[name]
	if !ok {
		n = &node{Name: name, State: "not connected"}
		t.nodes[name] = n
	}
	return n
}

func (t *tables) container(s query.Sample) *container {
	at := place{s.Labels["node"], s.Labels["id"]}
	c, ok := t.containers[at]
	if !ok {
		c = &container{Node: at.node, ID: at.id, Name: path.Base(at.id)}
		t.containers[at] = c
	}
	if name := s.Labels["name"]; name != "" {
		c.Name = name
	}
	if image := s.Labels["image"]; image != "" {
		c.Image = image
	}
	return c
}

// sorted returns the rows: nodes by name, containers by the CPU they use, those
// of which that is not known last.
func (t *tables) sorted() ([]*node, []*container) {
	var nodes []*node
	var containers []*container
	for _, c := range t.containers {
		n := t.node(c.Node)
		n.Containers++
		c.Age = t.age(c.At)
		c.Stale = c.Age > staleAfter || n.State == "lost"
		containers = append(containers, c)
	}
	for _, n := range t.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(containers, func(a, b *container) int {
		return cmp.Or(
			-cmp.Compare(rank(a.CPU), rank(b.CPU)),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID),
		)
	})
	return nodes, containers
}

func rank(r reading) float64 {
	if !r.known {
		return -1
	}
	return r.value
}

func (t *tables) age(at reading) time.Duration {
	if !at.known {
		return 0
	}
	return t.view.Now.Sub(time.UnixMilli(int64(at.value * 1000)))
}

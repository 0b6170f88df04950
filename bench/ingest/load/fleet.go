package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// fleet is what every sender sends: nodes with containers whose series move as
// containers' do. Two fleets of one shape are equal to the bit, so that what is
// compared is never the data.
type fleet struct {
	shape
	nodes []*node
}

// shape is how large a fleet is and how long it is watched.
type shape struct {
	nodeCount, containers int // containers are of all nodes
	interval              time.Duration
	rounds                int
	busy                  bool // all of them are at work
}

// node is a machine with its share of the containers.
type node struct {
	name   string
	groups []*sample.Group
	rounds [][]float64 // by round: the values of all groups' series, end to end
}

// series is how many each node has.
func (n *node) series() int { return len(n.rounds[0]) }

// samples are those of one round of all nodes.
func (f *fleet) samples() int {
	total := 0
	for _, n := range f.nodes {
		total += n.series()
	}
	return total
}

// at is the time of a round. The last one is now: no receiver takes what is
// ahead of its clock.
func (f *fleet) at(start time.Time, round int) time.Time {
	return start.Truncate(f.interval).Add(time.Duration(round-f.rounds) * f.interval)
}

// newFleet makes all rounds at once: what it costs to make them must not count
// as what it costs to send them.
func newFleet(s shape) *fleet {
	f := &fleet{shape: s}
	for i := range s.nodeCount {
		rng := rand.New(rand.NewPCG(uint64(i), 2))
		n := &node{name: fmt.Sprintf("node-%02d", i), rounds: make([][]float64, s.rounds)}
		var cells []cell
		for c := i; c < s.containers; c += s.nodeCount {
			groups, moving := container(c, s.busy, rng)
			n.groups = append(n.groups, groups...)
			cells = append(cells, moving...)
		}
		for r := range n.rounds {
			n.rounds[r] = make([]float64, len(cells))
			for j := range cells {
				n.rounds[r][j] = cells[j].next(s.interval, rng)
			}
		}
		f.nodes = append(f.nodes, n)
	}
	return f
}

// container is one with its labels. A third of all are at work unless all are,
// half of them have little to do, and the rest sleep.
func container(number int, atWork bool, rng *rand.Rand) (groups []*sample.Group, cells []cell) {
	name := fmt.Sprintf("service-%d", number%97)
	ls := []sample.Label{
		{Name: "id", Value: fmt.Sprintf("/kubepods/burstable/%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64())},
		{Name: "image", Value: fmt.Sprintf("registry.example.com/team/%s:1.%d.0", name, number%7)},
		{Name: "job", Value: "containers"},
		{Name: "name", Value: name},
		{Name: "namespace", Value: fmt.Sprintf("team-%d", number%13)},
		{Name: "pod", Value: fmt.Sprintf("%s-%06x", name, rng.IntN(1<<24))},
	}
	busy := 0.0
	switch kind := number % 6; {
	case atWork || kind < 2:
		busy = 0.2 + rng.Float64()
	case kind < 5:
		busy = 0.01 + 0.02*rng.Float64()
	}
	for _, family := range families() {
		g := &sample.Group{Labels: ls}
		for _, k := range family {
			g.Series = append(g.Series, sample.Series{Metric: k.metric, Labels: k.labels})
			cells = append(cells, cell{kind: k, busy: busy, value: math.Round(k.start * (0.5 + rng.Float64()))})
		}
		groups = append(groups, g)
	}
	return groups, cells
}

// cell is a series in motion.
type cell struct {
	kind
	busy  float64 // 1 is a container that uses one processor
	value float64 // in what the kernel counts in
}

// next is the series' value one interval later.
func (c *cell) next(interval time.Duration, rng *rand.Rand) float64 {
	seconds := interval.Seconds()
	switch c.motion {
	case grows: // in steps, now more and now fewer
		mean := c.rate * c.busy * seconds
		if mean < 8 {
			c.value += poisson(mean, rng)
		} else {
			c.value += math.Round(max(0, mean*(1+0.3*rng.NormFloat64())))
		}
	case wanders: // by whole units, and not all the time
		if rng.Float64() < 1-math.Exp(-c.busy*seconds) {
			c.value = max(0, c.value+c.step*math.Round(c.rate*rng.NormFloat64()))
		}
	case stays:
	}
	return c.value / float64(max(c.metric.Divisor, 1))
}

// poisson draws how many of rare events come, by Knuth's method.
func poisson(mean float64, rng *rand.Rand) float64 {
	limit, product := math.Exp(-mean), rng.Float64()
	n := 0.0
	for ; product > limit; n++ {
		product *= rng.Float64()
	}
	return n
}

const nameLabel = "__name__"

// labelsOf are those of a series as a server has them in the end.
func labelsOf(n *node, g *sample.Group, s sample.Series) labels.Labels {
	b := labels.NewScratchBuilder(12)
	b.Add(nameLabel, s.Metric.Name)
	b.Add("node", n.name)
	b.Add("instance", n.name+":9100")
	for _, ls := range [][]sample.Label{g.Labels, s.Labels} {
		for _, l := range ls {
			b.Add(l.Name, l.Value)
		}
	}
	b.Sort()
	return b.Labels()
}

// each calls f with every series of the node, in the order of its values.
func (n *node) each(f func(i int, g *sample.Group, s sample.Series)) {
	i := 0
	for _, g := range n.groups {
		for _, s := range g.Series {
			f(i, g, s)
			i++
		}
	}
}

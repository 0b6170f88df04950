package arrival

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// kind is what a node makes of its inputs.
type kind uint8

const (
	selects    kind = iota // a series
	maps                   // each element by itself, perhaps with a number
	pairs                  // an element with the one that has its labels, by arithmetic or comparison
	intersects             // and
	excepts                // unless
	unites                 // or
	gathers                // an aggregation
	records                // what a recording rule of the same group would record
)

// node is a step of an expression.
type node struct {
	kind   kind
	level  int   // above all of its inputs, from 0
	parent *node // nil at the top
	one    bool  // its elements are those of the parent that others are matched with
	group  *group

	matchers []*labels.Matcher                              // selects, records
	apply    func(x float64, now time.Time) (float64, bool) // maps
	join     func(many, one float64) (float64, bool)        // pairs
	reduce   func(inputs []*cell) (float64, bool)           // gathers
	shape    func(*labels.Builder)                          // labels of what comes out; nil if they stay

	on    bool     // names are those that must be equal, or by which is grouped
	names []string // sorted
	keyed map[uint64]*cell
	buf   []byte
}

// cell is what a node has for one label set.
type cell struct {
	node    *node
	value   float64
	present bool
	queued  bool
	role    role
	key     uint64  // among node.keyed
	lone    *cell   // what it is made of
	other   *cell   // and who it is matched with
	inputs  []*cell // of all those that share a key
	outs    []*cell // whose input it is
}

// role is which of a node's cells it is.
type role uint8

const (
	result role = iota // goes to the parent
	shared             // all elements of the one side with the same key
)

// attach takes note of a new element of a node below, of which nothing is known
// yet but its labels.
func (n *node) attach(in *cell, ls labels.Labels, lb *labels.Builder) {
	switch n.kind {
	case gathers:
		c := n.key(ls, result)
		in.feeds(c)
		if len(c.inputs) == 1 {
			n.rise(c, ls, lb)
		}
	case pairs, intersects, excepts, unites:
		if in.node.one {
			in.feeds(n.key(ls, shared))
			if n.kind == unites { // they are elements of the result as well
				n.rise(in.becomes(n, nil), ls, lb)
			}
			return
		}
		n.rise(in.becomes(n, n.key(ls, shared)), ls, lb)
	case records:
		lb.Reset(ls)
		n.shape(lb)
		if ls = lb.Labels(); !matches(ls, n.matchers) {
			return
		}
		c := in.becomes(n, nil)
		if n.parent != nil {
			n.parent.attach(c, ls, lb)
		}
	default:
		n.rise(in.becomes(n, nil), ls, lb)
	}
}

// rise passes a new element to the parent.
func (n *node) rise(c *cell, ls labels.Labels, lb *labels.Builder) {
	if n.parent == nil {
		return
	}
	if n.shape != nil {
		lb.Reset(ls)
		n.shape(lb)
		ls = lb.Labels()
	}
	n.parent.attach(c, ls, lb)
}

// key is the cell that all elements share whose labels are the same by on and
// names.
func (n *node) key(ls labels.Labels, r role) *cell {
	var hash uint64
	if n.on {
		hash, n.buf = ls.HashForLabels(n.buf, n.names...)
	} else {
		hash, n.buf = ls.HashWithoutLabels(n.buf, n.names...)
	}
	c := n.keyed[hash]
	if c == nil {
		c = &cell{node: n, role: r, key: hash}
		n.keyed[hash] = c
	}
	return c
}

// becomes makes an element of n of one element below.
func (c *cell) becomes(n *node, other *cell) *cell {
	made := &cell{node: n, lone: c, other: other}
	c.outs = append(c.outs, made)
	if other != nil {
		other.outs = append(other.outs, made)
	}
	return made
}

// feeds makes c one of those that share a cell.
func (c *cell) feeds(in *cell) {
	in.inputs = append(in.inputs, c)
	c.outs = append(c.outs, in)
}

// drop takes c and all that is made of it alone out of the tree.
func (c *cell) drop() {
	for _, out := range c.outs {
		if out.lone != c && len(out.inputs) > 0 {
			out.inputs = without(out.inputs, c)
			out.retire()
			continue
		}
		if out.other != nil {
			out.other.outs = without(out.other.outs, out)
			out.other.retire()
		}
		out.drop()
	}
	c.outs = nil
}

// retire removes a shared cell that nobody needs.
func (c *cell) retire() {
	if len(c.inputs) > 0 {
		return
	}
	if c.role == shared {
		if len(c.outs) == 0 {
			delete(c.node.keyed, c.key)
		}
		return
	}
	delete(c.node.keyed, c.key)
	c.drop()
}

// without removes one element; the order changes.
func without(list []*cell, c *cell) []*cell {
	i := slices.Index(list, c)
	if i < 0 {
		return list
	}
	last := len(list) - 1
	list[i], list[last] = list[last], nil
	return list[:last]
}

// compute is what c is now.
func (c *cell) compute(now time.Time) (v float64, present bool) {
	n := c.node
	if c.role == shared {
		return c.sharedValue()
	}
	if n.kind == gathers {
		return n.reduce(c.inputs)
	}
	v, present = c.lone.value, c.lone.present
	if !present {
		return 0, false
	}
	switch n.kind {
	case maps:
		return n.apply(v, now)
	case pairs:
		if !c.other.present {
			return 0, false
		}
		return n.join(v, c.other.value)
	case intersects:
		return v, c.other.present
	case excepts:
		return v, !c.other.present
	case unites: // the left side as it is, the right where there is no left
		return v, c.other == nil || !c.other.present
	}
	return v, true
}

// sharedValue is the only element of the one side. Arithmetic with more than one
// is an error to the engine, and so is nothing here.
func (c *cell) sharedValue() (v float64, present bool) {
	for _, in := range c.inputs {
		if !in.present {
			continue
		}
		if present && c.node.kind == pairs {
			return 0, false
		}
		v, present = in.value, true
	}
	return v, present
}

func matches(ls labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

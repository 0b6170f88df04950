package arrival

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// A Group is the rules that are evaluated together.
type Group struct {
	Rules []Rule
	// Crossed is called when the truth of an alert of the group may have changed
	// for some labels, by samples that can be queried and are of that time. It
	// must not block.
	Crossed func(at time.Time)
}

// program is what follows from the rules in force.
type program struct {
	selectors map[string][]*node // by metric
	groups    []*group
	levels    int
}

// group is a Group in force.
type group struct {
	crossed   func(at time.Time)
	announced bool // that it crossed; Detector.mu guards it
}

// Use brings groups into force in place of those before, and tells of each group
// how many of its alerts are followed. What is known of series stays known.
func (d *Detector) Use(groups []Group) (followed []int) {
	p := &program{selectors: map[string][]*node{}}
	alerts, total := 0, 0
	for _, from := range groups {
		g := &group{crossed: from.Crossed}
		p.groups = append(p.groups, g)
		n := p.add(g, from.Rules)
		followed = append(followed, n)
		for _, r := range from.Rules {
			if r.Record == "" {
				alerts++
			}
		}
		total += n
	}
	d.metrics.rules(total, alerts-total)

	d.mu.Lock()
	d.program.Store(p)
	d.queue = make([][]*cell, 2*p.levels+1)
	d.epoch.Add(1)
	d.refused = false
	for hash, l := range d.leaves {
		live := l.live
		if !d.grow(l) {
			delete(d.leaves, hash)
			continue
		}
		if live {
			d.set(l, l.value, true)
		}
	}
	crossed := d.settle(time.Now())
	d.mu.Unlock()
	announce(crossed, time.Now())
	return followed
}

// add compiles the rules of a group, and returns how many alerts are followed.
func (p *program) add(g *group, list []Rule) (followed int) {
	recorded := map[string]Rule{}
	for _, r := range list {
		if r.Record != "" {
			if _, again := recorded[r.Record]; again {
				r.Expr = nil // made of several rules: not followed
			}
			recorded[r.Record] = r
			continue
		}
		selectors, err := compiler{group: g, recorded: recorded}.alert(r.Expr)
		if err != nil {
			continue
		}
		followed++
		for _, n := range selectors {
			name := metric(n.matchers)
			p.selectors[name] = append(p.selectors[name], n)
			for top := n; top != nil; top = top.parent {
				p.levels = max(p.levels, top.level)
			}
		}
	}
	return followed
}

// wants tells whether a selector is about the series.
func (p *program) wants(ls labels.Labels) bool {
	for _, n := range p.selectors[ls.Get(model.MetricNameLabel)] {
		if matches(ls, n.matchers) {
			return true
		}
	}
	return false
}

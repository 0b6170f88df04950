package conf

import (
	"fmt"
	"strings"
)

// Inherit gives every mapping of the list at the key list what the mapping at the
// key from has and it does not, at any depth. Lists are taken as a whole. What is
// wrong with such a value is told of from, and Decode tells it once.
func (d *Doc) Inherit(from, list string) Problems {
	source, items := d.root.entry(from), d.root.entry(list)
	if source == nil || items == nil || source.value.kind != mapping {
		return nil // Decode says so
	}
	if n := len(items.value.items); d.root.size+n*source.value.size > maxNodes {
		return Problems{d.problem(source.place, from, Mistake{
			fmt.Sprintf("has too much for %d items", n), fmt.Sprintf("all told they may have %d values; split the file", maxNodes),
		})}
	}
	merged := *items.value
	merged.items = make([]*node, len(items.value.items))
	for i, item := range items.value.items {
		merged.items[i] = item
		if item.kind == mapping {
			merged.items[i] = item.over(source.value)
		}
	}
	items.value = &merged
	d.from, d.heir = from, list
	return nil
}

// over is n with what it lacks of another mapping. Nodes are shared, so it is a
// new one.
func (n *node) over(below *node) *node {
	merged := *n
	merged.entries = make([]entry, 0, len(n.entries)+len(below.entries))
	for _, e := range n.entries {
		if b := below.entry(e.key); b != nil && b.value.kind == mapping && e.value.kind == mapping {
			e.value = e.value.over(b.value)
		}
		merged.entries = append(merged.entries, e)
	}
	for _, e := range below.entries {
		if n.entry(e.key) == nil {
			e.inherited = true
			merged.entries = append(merged.entries, e)
		}
	}
	return &merged
}

// Origin is the path under which a value stands in the file: another than it is
// found at, if it was inherited.
func (d *Doc) Origin(path string) string {
	rest, below := strings.CutPrefix(path, d.heir)
	if d.from == "" || !below {
		return path
	}
	_, tail, _ := strings.Cut(rest, "]")
	for n := d.root; n != nil; {
		if n.kind == list {
			index, after, ok := cutIndex(path)
			if !ok || index >= len(n.items) {
				return d.heir + rest
			}
			n, path = n.items[index], after
			continue
		}
		e, after := n.longest(path)
		if e == nil {
			break
		}
		if e.inherited {
			return d.from + tail
		}
		n, path = e.value, after
	}
	return d.heir + rest
}

// attribute moves problems to where their values stand, each once.
func (d *Doc) attribute(all Problems) Problems {
	if d.from == "" {
		return all
	}
	for i, p := range all {
		if p.Key == "" {
			all[i].Path = d.Origin(p.Path)
		} else {
			all[i].Path = strings.TrimSuffix(strings.TrimSuffix(d.Origin(join(p.Path, p.Key)), p.Key), ".")
		}
	}
	return all.Once()
}

// Once is the problems without those that were there before.
func (ps Problems) Once() Problems {
	type mark struct {
		line, col        int
		path, what, hint string
	}
	told := map[mark]bool{}
	var kept Problems
	for _, p := range ps {
		m := mark{p.Line, p.Col, p.Path, p.What, p.Hint}
		if !told[m] {
			told[m] = true
			kept = append(kept, p)
		}
	}
	return kept
}

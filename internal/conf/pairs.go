package conf

import (
	"fmt"
	"slices"
	"strings"
)

// Pair is a value with the way to it, from a source that is no file, such as the
// labels of a container.
type Pair struct {
	// Name is what people know it by: it stands before the value where a problem
	// is shown.
	Name string
	// Steps are the keys (string) and positions (int) that lead to the value.
	Steps []any
	// Value is taken for whatever its key wants: text, a number, true or false.
	Value string
	// Flow tells that Value is YAML of its own: "[{replicas: 1, per: 60s}]".
	Flow bool
}

// FromPairs makes of pairs what Parse makes of a file, whose lines they are:
// "name=value". A mapping that one of them gives may have more keys by others.
// With problems, there is no Doc.
func FromPairs(file string, pairs []Pair) (*Doc, Problems) {
	doc := &Doc{file: file, root: &node{kind: mapping, size: 1}}
	var problems Problems
	twice := Mistake{"is given twice, or as a whole and in parts", "remove one of them"}
	fail := func(at place, path string, m Mistake) { problems = append(problems, doc.problem(at, path, m)) }
	top := &branch{}
	for i, p := range pairs {
		doc.lines = append(doc.lines, strings.ReplaceAll(p.Name+"="+p.Value, "\n", " "))
		at := place{i + 1, width(p.Name) + 2, max(1, width(p.Value))}
		b := top.reach(p.Steps, at)
		switch {
		case b.value != nil:
			fail(at, p.Name, twice)
		case !p.Flow:
			b.value = &node{kind: word, place: at, text: p.Value, size: 1}
		default:
			b.value = flowed(p.Value, at)
			if b.value == nil {
				fail(at, p.Name, Mistake{Quote(p.Value) + " is neither a list nor a mapping", "write it like [{replicas: 1, per: 60s}] or {hold: 2m}"})
				b.value = &node{kind: null, place: at, size: 1}
			}
		}
	}
	switch {
	case len(problems) > 0:
		return nil, problems
	case len(pairs) == 0:
		return doc, nil
	}
	doc.root = top.node("", twice, func(at place, path string, m Mistake) {
		if at.line > 0 {
			path = pairs[at.line-1].Name
		}
		fail(at, path, m)
	})
	if len(problems) > 0 {
		return nil, problems
	}
	return doc, nil
}

// flowed reads a value that is YAML of its own; nil if it is none.
func flowed(value string, at place) *node {
	inner, err := Parse("", []byte("v: "+value))
	if err != nil || len(inner.root.entries) != 1 || strings.Contains(value, "\n") {
		return nil
	}
	return inner.root.entries[0].value.moved(at.line, at.col-len("v: ")-1)
}

// branch is a node that is not finished.
type branch struct {
	place
	step  any   // that leads to it
	value *node // nil if it has only what is below
	below []*branch
}

// reach is the branch that the steps lead to.
func (b *branch) reach(steps []any, at place) *branch {
	for _, step := range steps {
		i := slices.IndexFunc(b.below, func(c *branch) bool { return c.step == step })
		if i < 0 {
			i = len(b.below)
			b.below = append(b.below, &branch{place: at, step: step})
		}
		b = b.below[i]
	}
	return b
}

// node finishes a branch, which is found at path.
func (b *branch) node(path string, twice Mistake, fail func(place, string, Mistake)) *node {
	if len(b.below) == 0 {
		return b.value
	}
	n := &node{kind: mapping, place: b.place, size: 1}
	_, items := b.below[0].step.(int)
	if items {
		n.kind = list
		slices.SortFunc(b.below, func(x, y *branch) int { return x.position() - y.position() })
	}
	if whole := b.value; whole != nil {
		if whole.kind != mapping || items {
			at := b.below[0].place
			if whole.line > at.line {
				at = whole.place
			}
			fail(at, path, twice)
			return n
		}
		more := *whole
		more.entries = slices.Clone(whole.entries)
		n = &more
	}
	for i, c := range b.below {
		if items {
			at := fmt.Sprintf("%s[%d]", path, i)
			if c.position() != i {
				fail(place{}, at, Mistake{"is missing, though there are other items", "count them from 0"})
				return n
			}
			n.items = append(n.items, c.node(at, twice, fail))
			n.size += n.items[i].size
			continue
		}
		key := fmt.Sprint(c.step)
		if n.entry(key) != nil {
			fail(c.place, path, twice)
			continue
		}
		below := c.node(join(path, key), twice, fail)
		n.entries = append(n.entries, entry{key: key, place: c.place, value: below})
		n.size += below.size
	}
	return n
}

// position is that of an item; -1 for what is none.
func (b *branch) position() int {
	if i, ok := b.step.(int); ok {
		return i
	}
	return -1
}

// moved is n on another line, by so many characters to the right.
func (n *node) moved(line, right int) *node {
	m := *n
	m.place.line, m.place.col = line, n.col+right
	m.items, m.entries = nil, nil
	for _, item := range n.items {
		m.items = append(m.items, item.moved(line, right))
	}
	for _, e := range n.entries {
		e.place.line, e.place.col = line, e.place.col+right
		e.value = e.value.moved(line, right)
		m.entries = append(m.entries, e)
	}
	return &m
}

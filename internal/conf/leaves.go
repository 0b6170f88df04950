package conf

import "fmt"

// Leaf is a single value of a file, or a list of single values, under its
// dotted path: what a flag of that name would be given.
type Leaf struct {
	Path      string   // "storage.tsdb.path"
	Values    []string // one, or as many as the list has
	Line, Col int      // of the value
}

// Leaves lists the values of a file in its order. Nesting and dots are the same
// to it: "a: {b: 1}" and "a.b: 1" both give a.b. What no flag can hold, such as
// a list of mappings, is a problem, and so is a path that is given twice.
func (d *Doc) Leaves() ([]Leaf, Problems) {
	w := walker{decoder: decoder{doc: d}, lines: map[string]int{}}
	w.walk(d.root, "")
	w.problems.Sort()
	return w.leaves, w.problems
}

type walker struct {
	decoder
	leaves []Leaf
	lines  map[string]int // path → line it was first given on
}

func (w *walker) walk(n *node, path string) {
	for _, e := range n.entries {
		path := join(path, e.key)
		if e.value.kind == mapping {
			w.walk(e.value, path)
			continue
		}
		if line, again := w.lines[path]; again {
			w.fail(e.place, path, Mistake{"is given twice", fmt.Sprintf("it is also on line %d; remove one", line)})
			continue
		}
		w.lines[path] = e.line
		w.leaf(e.value, path)
	}
}

func (w *walker) leaf(n *node, path string) {
	values := []*node{n}
	if n.kind == list {
		values = n.items
	}
	leaf := Leaf{Path: path, Line: n.line, Col: n.col}
	for _, v := range values {
		switch v.kind {
		case null:
			w.fail(v.place, path, Mistake{"has no value", "give it one, or remove the key"})
		case list, mapping:
			w.want(v, path, "a single value or a list of them", "")
		default:
			leaf.Values = append(leaf.Values, v.text)
		}
	}
	w.leaves = append(w.leaves, leaf)
}

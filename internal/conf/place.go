package conf

import (
	"strconv"
	"strings"
)

// At makes a Problem of a mistake in the meaning of the value at path, such as
// "apps[0].signals[1].target", and shows it in its place. If there is no such
// value, because it is the lack of it that is wrong, the place is that of the
// nearest value around it.
func (d *Doc) At(path string, m Mistake) Problem {
	at, _ := d.find(path)
	return d.problem(at, d.Origin(path), m)
}

// Has tells whether the file gives a value at path.
func (d *Doc) Has(path string) bool {
	_, found := d.find(path)
	return found
}

// find is where path stands: a single value's own place, and for lists and
// mappings the key they belong to. If there is no such value, the place is that
// of the nearest around it.
func (d *Doc) find(path string) (at place, found bool) {
	if len(d.root.entries) > 0 {
		at = d.root.place
	}
	n := d.root
	for path != "" {
		switch n.kind {
		case mapping:
			e, rest := n.longest(path)
			if e == nil {
				return at, false
			}
			n, path, at = e.value, rest, e.place
		case list:
			index, rest, ok := cutIndex(path)
			if !ok || index >= len(n.items) {
				return at, false
			}
			n, path = n.items[index], rest
			at = n.place
		default:
			return at, false
		}
		if n.kind != mapping && n.kind != list && n.kind != null {
			at = n.place
		}
	}
	return at, true
}

// longest is the entry that path starts with, and the rest of the path. Keys
// may have dots, so the longest that fits is meant.
func (n *node) longest(path string) (found *entry, rest string) {
	for i, e := range n.entries {
		tail, ok := strings.CutPrefix(path, e.key)
		if !ok || (tail != "" && tail[0] != '.' && tail[0] != '[') {
			continue
		}
		if found == nil || len(e.key) > len(found.key) {
			found, rest = &n.entries[i], strings.TrimPrefix(tail, ".")
		}
	}
	return found, rest
}

// cutIndex takes "[3].max" apart.
func cutIndex(path string) (index int, rest string, ok bool) {
	inside, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
	index, err := strconv.Atoi(inside)
	return index, strings.TrimPrefix(rest, "."), ok && err == nil && index >= 0
}

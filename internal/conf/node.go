package conf

import "unicode/utf8"

// kind is what a node is.
type kind int

const (
	null kind = iota
	boolean
	number
	text // a scalar that is none of the above, or quoted
	word // a scalar of a source without types: whatever its key wants
	list
	mapping
)

// place is where something stands in a file.
type place struct {
	line, col int // from 1
	width     int // in characters
}

// node is a value of a file, with aliases and merge keys already followed.
// Aliases share nodes, so a node never changes once it is built.
type node struct {
	kind kind
	place
	text    string  // of a scalar, without quotes
	quoted  bool    // whether it had any
	items   []*node // of a list
	entries []entry // of a mapping, in the order of the file
	size    int     // number of nodes below and including this one
}

// entry is a key of a mapping and its value.
type entry struct {
	key string
	place
	value     *node
	inherited bool // from elsewhere in the file
}

// entry is the one of a key; nil if there is none.
func (n *node) entry(key string) *entry {
	for i := range n.entries {
		if n.entries[i].key == key {
			return &n.entries[i]
		}
	}
	return nil
}

// String describes the node as messages do: "number 5", "a list".
func (n *node) String() string {
	switch n.kind {
	case null:
		return "nothing"
	case boolean:
		return n.text
	case number:
		return "the number " + n.text
	case list:
		return "a list"
	case mapping:
		return "a mapping"
	}
	return Quote(n.text)
}

// numeric tells whether the node may be taken for a number.
func (n *node) numeric() bool { return n.kind == number || n.kind == word }

func width(s string) int { return utf8.RuneCountInString(s) }

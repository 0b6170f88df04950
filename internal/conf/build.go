package conf

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxNodes is how many values a file may have once its aliases are followed.
// Nine lists of nine aliases each, nine deep, would be 387 million.
const maxNodes = 100_000

// builder turns the library's tree into nodes.
type builder struct {
	doc      *Doc
	anchors  map[string]*node // those above the present line
	problems Problems
	spent    int  // nodes so far
	full     bool // whether spending more has been refused
}

// fail notes a mistake and stands in for the value it spoiled.
func (b *builder) fail(at place, m Mistake) *node {
	b.problems = append(b.problems, b.doc.problem(at, "", m))
	return &node{kind: null, place: at, size: 1}
}

func (b *builder) build(n ast.Node) *node {
	at := placeOf(n)
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(at, n.Values)
	case *ast.MappingValueNode:
		return b.mapping(at, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		return b.list(at, n.Values)
	case *ast.AnchorNode:
		value := b.build(n.Value)
		b.anchors[n.Name.GetToken().Value] = value
		return value
	case *ast.AliasNode:
		return b.alias(at, n.Value.GetToken().Value)
	case *ast.TagNode:
		return b.fail(at, Mistake{"has the tag " + Quote(n.Start.Value), "remove it; types follow from the key"})
	}
	b.spent++
	return scalar(at, n)
}

// scalar is the node of a single value.
func scalar(at place, n ast.Node) *node {
	word := n.GetToken().Value
	s := &node{kind: text, place: at, text: word, size: 1}
	switch n := n.(type) {
	case *ast.NullNode:
		s.kind, s.width = null, 1
	case *ast.BoolNode:
		s.kind = boolean
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		s.kind = number
	case *ast.StringNode:
		s.text = n.Value
		s.quoted = n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		s.text, s.quoted = n.Value.Value, true
	}
	return s
}

func (b *builder) list(at place, values []ast.Node) *node {
	n := &node{kind: list, place: at, size: 1}
	b.spent++
	for _, v := range values {
		item := b.build(v)
		n.items = append(n.items, item)
		n.size += item.size
	}
	return n
}

func (b *builder) mapping(at place, values []*ast.MappingValueNode) *node {
	n := &node{kind: mapping, place: at, size: 1}
	b.spent++
	first := make(map[string]int, len(values)) // key → line
	var merged []*node
	for _, v := range values {
		at := placeOf(v.Key)
		if v.Key.IsMergeKey() {
			merged = append(merged, b.merge(at, b.build(v.Value))...)
			continue
		}
		if _, plain := v.Key.(ast.ScalarNode); !plain {
			b.fail(at, Mistake{"has a key that is not a word", "write it like key: value"})
			continue
		}
		key := v.Key.GetToken().Value
		if line, again := first[key]; again {
			b.fail(at, Mistake{
				What: "duplicate key " + Quote(key), Hint: fmt.Sprintf("it is also on line %d; remove one", line),
			})
			continue
		}
		first[key] = at.line
		value := b.build(v.Value)
		if value.kind == null {
			value = &node{kind: null, place: at, size: 1} // nothing stands nowhere: show the key
		}
		n.entries = append(n.entries, entry{key: key, place: at, value: value})
		n.size += value.size
	}
	for _, m := range merged { // what the mapping says itself counts more
		for _, e := range m.entries {
			if _, own := first[e.key]; !own {
				first[e.key] = e.line
				n.entries = append(n.entries, e)
				n.size += e.value.size
			}
		}
	}
	return n
}

// merge is what "<<: value" brings in: one mapping or a list of them.
func (b *builder) merge(at place, value *node) []*node {
	sources := []*node{value}
	if value.kind == list {
		sources = value.items
	}
	for _, s := range sources {
		if s.kind != mapping {
			b.fail(at, Mistake{"<< takes a mapping, not " + s.String(), "give it an alias of one, like <<: *name"})
			return nil
		}
	}
	return sources
}

// alias follows "*name". Anchors count from where they end, so a value cannot
// contain itself.
func (b *builder) alias(at place, name string) *node {
	at.width = width(name) + 1
	value := b.anchors[name]
	if value == nil {
		return b.fail(at, Mistake{"no anchor " + Quote(name) + " above", fmt.Sprintf("define it with &%s", name)})
	}
	if b.spent+value.size > maxNodes {
		if !b.full {
			b.full = true
			b.fail(at, Mistake{"aliases expand to too much", fmt.Sprintf("more than %d values", maxNodes)})
		}
		return &node{kind: null, place: at, size: 1}
	}
	b.spent += value.size
	return value
}

// placeOf is where a value starts: not at the colon or dash that the library
// hangs it on.
func placeOf(n ast.Node) place {
	t := n.GetToken()
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return placeOf(n.Values[0].Key)
		}
		t = n.Start
	case *ast.MappingValueNode:
		return placeOf(n.Key)
	}
	word := firstLine(strings.TrimSpace(t.Origin))
	return place{t.Position.Line, t.Position.Column, max(1, width(word))}
}

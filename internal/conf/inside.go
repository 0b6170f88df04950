package conf

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Inside is At for a mistake within the text of the value at path, such as a
// query: offset is in bytes of that text. Folded lines, escapes and blocks are
// followed back to where they stand; where that fails, the place is the value's.
func (d *Doc) Inside(path string, offset int, m Mistake) Problem {
	p := d.At(path, m)
	n := d.node(path)
	if n == nil || n.kind != text && n.kind != word || p.Line != n.line || offset < 0 || offset > len(n.text) {
		return p
	}
	if at, ok := d.within(n, offset); ok {
		return d.problem(at, p.Path, m)
	}
	return p
}

// node is the value at path; nil if there is none.
func (d *Doc) node(path string) *node {
	n := d.root
	for path != "" {
		var rest string
		switch n.kind {
		case mapping:
			e, tail := n.longest(path)
			if e == nil {
				return nil
			}
			n, rest = e.value, tail
		case list:
			index, tail, ok := cutIndex(path)
			if !ok || index >= len(n.items) {
				return nil
			}
			n, rest = n.items[index], tail
		default:
			return nil
		}
		path = rest
	}
	return n
}

// within is where a byte of a scalar's text stands. White space may have been
// folded, so it is the other characters that are counted off, one of the text for
// one of the file.
func (d *Doc) within(n *node, offset int) (at place, ok bool) {
	if n.kind == word { // as it is
		return place{n.line, n.col + width(n.text[:offset]), 1}, true
	}
	s := source{lines: d.lines}
	s.turn(n.line-1, n.col-1)
	switch s.rune() {
	case '|', '>':
		s.turn(s.line+1, 0)
	case '"', '\'':
		s.quote = s.rune()
		s.col++
	}
	at = place{s.line + 1, s.col + 1, 1}
	for i, want := range n.text {
		if unicode.IsSpace(want) {
			if i >= offset {
				return at, true
			}
			continue
		}
		got, where, ok := s.next()
		if !ok || got != want {
			return at, false
		}
		if i >= offset {
			return where, true
		}
		at = place{where.line, where.col + 1, 1}
	}
	return at, true
}

// source reads the characters of a scalar as the file has them.
type source struct {
	lines     []string
	line, col int    // from 0; col is in characters
	text      []rune // of the line
	quote     rune   // that the scalar is in; 0 for none
}

// turn goes to another line.
func (s *source) turn(line, col int) {
	s.line, s.col, s.text = line, col, nil
	if line < len(s.lines) {
		s.text = []rune(s.lines[line])
	}
}

// rune is the one that is next; 0 at the end of a line.
func (s *source) rune() rune {
	if s.col >= len(s.text) {
		return 0
	}
	return s.text[s.col]
}

// next is the next character that is no white space, and where it stands.
func (s *source) next() (r rune, at place, ok bool) {
	for s.line < len(s.lines) {
		r = s.rune()
		at = place{s.line + 1, s.col + 1, 1}
		switch {
		case r == 0:
			s.turn(s.line+1, 0)
		case unicode.IsSpace(r):
			s.col++
		case r == '\\' && s.quote == '"':
			if r = s.escape(); r != 0 {
				return r, at, true
			}
		case r == '\'' && s.quote == '\'':
			s.col += 2 // it stands for one
			return r, at, true
		default:
			s.col++
			return r, at, true
		}
	}
	return 0, at, false
}

// escape reads one of double quotes; 0 if it stands for white space.
func (s *source) escape() rune {
	s.col++
	r := s.rune()
	s.col++
	digits := map[rune]int{'x': 2, 'u': 4, 'U': 8}[r]
	if digits == 0 {
		if strings.ContainsRune("ntrvf Lbea0PN_", r) || r == 0 {
			return 0
		}
		return r
	}
	code := rune(0)
	for range digits {
		code = code<<4 | rune(max(0, strings.IndexRune("0123456789abcdef", unicode.ToLower(s.rune()))))
		s.col++
	}
	if unicode.IsSpace(code) || !utf8.ValidRune(code) {
		return 0
	}
	return code
}

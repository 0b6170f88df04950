package conf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The limits of a file. The library parses the keys of a mapping recursively
// and in quadratic time, so these stand before it: a file at all of them is
// read in well under a second.
const (
	maxBytes  = 1 << 20
	maxTokens = 100_000
	maxDepth  = 64
	maxKeys   = 2_000 // of one mapping
)

// Parse reads a file. The error is of type Problems and tells of everything
// that keeps the file from being YAML, or YAML as this package takes it.
func Parse(file string, data []byte) (*Doc, error) {
	doc := &Doc{file: file, root: &node{kind: mapping}}
	if len(data) > maxBytes {
		return nil, doc.fail(place{}, Mistake{
			What: fmt.Sprintf("has %d bytes, more than the %d a configuration may have", len(data), maxBytes),
			Hint: "is this the right file?",
		})
	}
	source := string(bytes.TrimPrefix(data, []byte("\ufeff")))
	source = strings.ReplaceAll(source, "\r\n", "\n")
	doc.lines = strings.Split(source, "\n")

	if err := doc.checkText(); err != nil {
		return nil, err
	}
	body, err := doc.parse(source)
	if err != nil {
		return nil, err
	}
	if body == nil {
		return doc, nil // empty, or only comments
	}
	b := builder{doc: doc, anchors: map[string]*node{}}
	root := b.build(body)
	switch {
	case len(b.problems) > 0:
		b.problems.Sort()
		return nil, b.problems
	case root.kind == null:
		return doc, nil
	case root.kind != mapping:
		return nil, doc.fail(root.place, Mistake{
			What: "is not a mapping but " + root.String(), Hint: `write keys and values, like "key: value"`,
		})
	}
	doc.root = root
	return doc, nil
}

// checkText refuses bytes that no text has. They are the mark of a binary file
// or of a file in another encoding, and would otherwise hide in a value.
func (d *Doc) checkText() error {
	for i, line := range d.lines {
		if !utf8.ValidString(line) {
			col := width(line[:validPrefix(line)]) + 1
			return d.fail(place{i + 1, col, 1}, Mistake{"is not UTF-8", "save it as UTF-8"})
		}
		col := strings.IndexFunc(line, func(r rune) bool {
			return r != '\t' && r < ' ' || r == 0x7f || r == '\ufeff'
		})
		if col >= 0 {
			r, _ := utf8.DecodeRuneInString(line[col:])
			return d.fail(place{i + 1, width(line[:col]) + 1, 1}, Mistake{
				What: fmt.Sprintf("has the control character %U", r), Hint: "remove it, or write it as an escape in double quotes",
			})
		}
	}
	return nil
}

// validPrefix is the length of the part of s that is UTF-8.
func validPrefix(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size <= 1 {
				return i
			}
		}
	}
	return len(s)
}

// parse hands the source to the library, in bounds. A file that makes the
// library panic is a bad file, not the end of the process.
func (d *Doc) parse(source string) (body ast.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			body, err = nil, d.fail(place{}, Mistake{"cannot be read as YAML", "look for unusual syntax, such as a key that is itself a list"})
		}
	}()
	tokens := lexer.Tokenize(source)
	if err := d.checkTokens(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, d.syntax(err)
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			return doc.Body, nil // checkTokens has seen that there is only one
		}
	}
	return nil, nil
}

// checkTokens refuses what the library would take too long over or too deep
// into, and the parts of YAML that configuration does without.
func (d *Doc) checkTokens(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return d.fail(place{}, Mistake{"is too large", fmt.Sprintf("more than %d words and signs; split it", maxTokens)})
	}
	var n nesting
	content, ended := false, false
	for _, t := range tokens {
		at := place{t.Position.Line, t.Position.Column, 1}
		switch {
		case t.Type == token.CommentType:
			continue
		case t.Type == token.DirectiveType:
			return d.fail(at, Mistake{"has a directive", "remove the line that starts with %, or quote the value"})
		case t.Type == token.DocumentHeaderType && (content || ended):
			return d.fail(at, Mistake{"has a second document", "remove ---, or put each document in a file of its own"})
		case t.Type == token.DocumentEndType:
			ended = true
			continue
		case ended:
			return d.fail(at, Mistake{"goes on after its end", "remove the line ..."})
		}
		content = true
		if m := n.enter(t); m.What != "" {
			return d.fail(at, m)
		}
	}
	return nil
}

// nesting follows how deep a file goes, by its brackets and columns.
type nesting struct {
	flow   int     // brackets and braces that are open
	blocks []level // each further to the right than the last
}

// level is a block of the file: what starts at one column.
type level struct{ col, keys int }

// enter takes the next token, and complains once a limit is passed.
func (n *nesting) enter(t *token.Token) Mistake {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		n.flow++
	case token.MappingEndType, token.SequenceEndType:
		n.flow--
	case token.SequenceEntryType:
		if n.flow == 0 {
			n.block(t.Position.Column).keys = 0 // the mappings of a list start anew
		}
	case token.MappingKeyType, token.MappingValueType:
		if n.flow > 0 {
			break
		}
		col := t.Position.Column
		if t.Type == token.MappingValueType && t.Prev != nil {
			col = t.Prev.Position.Column // the key, not its colon
		}
		b := n.block(col)
		if b.keys++; b.keys > maxKeys {
			return Mistake{"has a mapping that is too large", fmt.Sprintf("more than %d keys; split it", maxKeys)}
		}
	}
	if len(n.blocks)+n.flow > maxDepth {
		return Mistake{"is nested too deep", fmt.Sprintf("more than %d levels", maxDepth)}
	}
	return Mistake{}
}

// block is the one that starts at col; those further to the right have ended.
func (n *nesting) block(col int) *level {
	for len(n.blocks) > 0 && n.blocks[len(n.blocks)-1].col > col {
		n.blocks = n.blocks[:len(n.blocks)-1]
	}
	if len(n.blocks) == 0 || n.blocks[len(n.blocks)-1].col < col {
		n.blocks = append(n.blocks, level{col: col})
	}
	return &n.blocks[len(n.blocks)-1]
}

// syntax makes a Problem of an error of the library.
func (d *Doc) syntax(err error) error {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) || syntax.Token == nil || syntax.Token.Position == nil {
		return d.fail(place{}, Mistake{What: firstLine(err.Error())})
	}
	at := place{syntax.Token.Position.Line, syntax.Token.Position.Column, 1}
	if strings.Contains(syntax.Message, "\t") {
		return d.fail(at, Mistake{"a tab cannot indent", "use spaces"})
	}
	m := Mistake{What: firstLine(syntax.Message)}
	if strings.Contains(m.What, "context") || strings.Contains(m.What, "non-map value") {
		m.Hint = "look at the indentation here and on the line above"
	}
	return d.fail(at, m)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// fail is a file that cannot be read, for one reason.
func (d *Doc) fail(at place, m Mistake) Problems {
	return Problems{d.problem(at, "", m)}
}

// problem shows a mistake in its place.
func (d *Doc) problem(at place, path string, m Mistake) Problem {
	p := Problem{File: d.file, Path: path, What: m.What, Hint: m.Hint}
	if at.line > 0 && at.line <= len(d.lines) {
		p.Line, p.Col, p.width = at.line, max(at.col, 1), at.width
		p.source = d.lines[at.line-1]
	}
	return p
}

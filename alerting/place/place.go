// Package place finds where things stand in a YAML file, so that a mistake is
// reported as file, line and column even where the library that judges the
// file says less. It reads with the parser that Prometheus reads rules with.
package place

import (
	"cmp"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// File is a YAML file with the place of everything in it. The zero File has
// neither name nor content.
type File struct {
	Name  string
	lines []string
	root  *yaml.Node // nil if the file is empty or no YAML
	// secret are the lines that no problem shows.
	secret map[int]bool
}

// Parse reads a file. What is no YAML at all gives a problem and a File that
// knows its name.
func Parse(name string, data []byte) (File, conf.Problems) {
	f := File{Name: name, lines: strings.Split(string(data), "\n")}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return f, f.Refused(err)
	}
	if len(doc.Content) > 0 {
		f.root = doc.Content[0]
	}
	f.secret = f.secrets()
	return f, nil
}

// Node is a value in a file and the way to it. The zero Node stands for
// something that is not there.
type Node struct {
	Path  string // "route.routes[2].receiver"
	Text  string // of a scalar
	key   *yaml.Node
	node  *yaml.Node
	alias bool // node stands elsewhere in the file, too
}

// Exists tells whether the node is in the file.
func (n Node) Exists() bool { return n.node != nil }

// At follows keys (string) and positions (int) from the top of the file.
func (f File) At(steps ...any) Node {
	return Node{node: f.root}.At(steps...)
}

// At follows keys and positions from n down.
func (n Node) At(steps ...any) Node {
	for _, step := range steps {
		n = n.step(step)
	}
	return n
}

func (n Node) step(step any) Node {
	switch step := step.(type) {
	case string:
		for child := range n.Children() {
			if child.key != nil && child.key.Value == step {
				return child
			}
		}
	case int:
		if n.node != nil && n.node.Kind == yaml.SequenceNode && step >= 0 && step < len(n.node.Content) {
			return n.item(step)
		}
	}
	return Node{}
}

func (n Node) item(i int) Node {
	return newNode(fmt.Sprintf("%s[%d]", n.Path, i), nil, n.node.Content[i])
}

// Children are the values of a mapping or the items of a list.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if n.node == nil {
			return
		}
		switch n.node.Kind {
		case yaml.MappingNode:
			for pair := range slices.Chunk(n.node.Content, 2) {
				path := strings.TrimPrefix(n.Path+"."+pair[0].Value, ".")
				if !yield(newNode(path, pair[0], pair[1])) {
					return
				}
			}
		case yaml.SequenceNode:
			for i := range n.node.Content {
				if !yield(n.item(i)) {
					return
				}
			}
		}
	}
}

// All is the node and everything below it, in the order of the file. What an
// alias stands for is met once, where it stands: it may even contain itself.
func (n Node) All() iter.Seq[Node] {
	return func(yield func(Node) bool) { n.walk(yield) }
}

func (n Node) walk(yield func(Node) bool) bool {
	if n.node == nil {
		return true
	}
	if !yield(n) {
		return false
	}
	if n.alias {
		return true
	}
	for child := range n.Children() {
		if !child.walk(yield) {
			return false
		}
	}
	return true
}

func newNode(path string, key, node *yaml.Node) Node {
	n := Node{Path: path, key: key, node: node}
	if node.Kind == yaml.AliasNode {
		n.node, n.alias = node.Alias, true
	}
	n.Text = n.node.Value
	return n
}

// Problem says what is wrong with a node.
func (f File) Problem(n Node, what, hint string) conf.Problem {
	p := conf.Problem{File: f.Name, Path: n.Path, What: what, Hint: hint}
	if n.node != nil {
		p.Line, p.Col = n.node.Line, n.node.Column
		first, _, _ := strings.Cut(n.node.Value, "\n")
		p = p.In(f.shown(p.Line), utf8.RuneCountInString(first))
	}
	return p
}

// MissingFrom is Problem for what a mapping lacks: it points at its first key.
func (f File) MissingFrom(n Node, what, hint string) conf.Problem {
	for child := range n.Children() {
		p := f.Problem(n, what, hint)
		if child.key != nil {
			p.Line, p.Col = child.key.Line, child.key.Column
			p = p.In(f.shown(p.Line), utf8.RuneCountInString(child.key.Value))
		}
		return p
	}
	return f.Problem(n, what, hint)
}

// OfKey is Problem for a mistake in the key of a node rather than its value.
func (f File) OfKey(n Node, what, hint string) conf.Problem {
	p := f.Problem(n, what, hint)
	if n.key != nil {
		p.Line, p.Col = n.key.Line, n.key.Column
		p = p.In(f.shown(p.Line), utf8.RuneCountInString(n.key.Value))
	}
	return p
}

// Moved is a problem of a file that says the same on other lines, placed by its
// path in this one.
func (f File) Moved(p conf.Problem) conf.Problem {
	line := p.Line
	p.Line, p.Col = 0, 0
	p = p.In("", 0)
	if line == 0 || p.Path == "" {
		return p
	}
	for n := range f.At().All() {
		if n.Path == p.Path {
			return f.OfKey(n, p.What, p.Hint)
		}
	}
	return p
}

// InText is Problem for a mistake at an offset in bytes inside a scalar, such
// as a query. The place is exact for text that stands in the file as it is, on
// one line or as a literal block ("|"); else it is where the scalar begins.
func (f File) InText(n Node, offset int, what, hint string) conf.Problem {
	p := f.Problem(n, what, hint)
	if n.node == nil || offset < 0 || offset > len(n.Text) {
		return p
	}
	line, col, text := p.Line, p.Col, n.Text
	switch n.node.Style &^ yaml.TaggedStyle {
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		col++
	case yaml.LiteralStyle: // from the next line on
		start := strings.LastIndexByte(text[:offset], '\n') + 1
		line += 1 + strings.Count(text[:start], "\n")
		text, _, _ = strings.Cut(text[start:], "\n")
		offset -= start
		col = 1 + utf8.RuneCountInString(f.line(line)) - utf8.RuneCountInString(text)
	}
	if strings.HasPrefix(from(f.line(line), col), text) {
		p.Line, p.Col = line, col+utf8.RuneCountInString(text[:offset])
		p = p.In(f.shown(line), 1)
	}
	return p
}

// line is a line of the file, from 1, or "" beyond its end.
func (f File) line(n int) string {
	if n < 1 || n > len(f.lines) {
		return ""
	}
	return strings.TrimSuffix(f.lines[n-1], "\r")
}

// shown is a line for a problem to show, or "" if it has a secret in it.
func (f File) shown(n int) string {
	if f.secret[n] {
		return ""
	}
	return f.line(n)
}

// secretKey matches the keys of an alertmanager.yml whose values are secrets;
// those that end in _file are none.
var secretKey = regexp.MustCompile(`(?:^|_)(?:url|secret|password|token|key|credentials)$`)

// secrets are the lines with secrets.
func (f File) secrets() map[int]bool {
	lines := map[int]bool{}
	for n := range f.At().All() {
		if n.key == nil || !secretKey.MatchString(n.key.Value) {
			continue
		}
		for in := range n.All() {
			for i := range strings.Count(in.node.Value, "\n") + 2 { // a block begins on the line after
				lines[in.node.Line+i] = true
			}
		}
	}
	return lines
}

// from is a line from a column on, counted in characters from 1.
func from(line string, col int) string {
	for ; col > 1 && line != ""; col-- {
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
	}
	return line
}

// atLine matches what both YAML libraries say: "line 3: field x not found".
var (
	atLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	field  = regexp.MustCompile(`^field (\S+) (not found|already set) in type \S+$`)
	twice  = regexp.MustCompile(`^(?:mapping )?key "?([^"]*?)"? already (?:defined at line \d+|set in map)$`)
)

// Refused turns the error of a YAML decoder into problems, one for each line
// of it that names a line of the file.
func (f File) Refused(err error) conf.Problems {
	var all conf.Problems
	for text := range strings.Lines(err.Error()) {
		m := atLine.FindStringSubmatch(strings.TrimSpace(text))
		if m == nil {
			continue
		}
		line, _ := strconv.Atoi(m[1])
		all = append(all, f.refusedAt(line, m[2]))
	}
	if what, ok := strings.CutPrefix(err.Error(), "yaml: "); ok && len(all) == 0 {
		all = append(all, f.refusedAt(1, what)) // the library never says "line 1"
	}
	if len(all) == 0 {
		all = append(all, f.Guess(err))
	}
	return all
}

func (f File) refusedAt(line int, what string) conf.Problem {
	p := conf.Problem{File: f.Name, Line: line, Col: 1, What: what}
	key := ""
	if m := field.FindStringSubmatch(what); m != nil && m[2] == "not found" {
		key, p.What, p.Hint = m[1], "unknown key", "correct its spelling or remove it"
	} else if m != nil {
		key, p.What, p.Hint = m[1], "the key is there twice", "remove one of them"
	} else if m := twice.FindStringSubmatch(what); m != nil {
		key, p.What, p.Hint = m[1], "the key is there twice", "remove one of them"
	}
	for n := range f.At().All() {
		if n.key != nil && n.key.Line == line && (key == "" || n.key.Value == key) {
			p.Path, p.Col = n.Path, n.key.Column
			return p.In(f.shown(line), utf8.RuneCountInString(n.key.Value))
		}
	}
	return p
}

var (
	quoted = regexp.MustCompile(`"([^"]+)"`)
	word   = regexp.MustCompile(`[a-z]+(?:_[a-z]+)+`)
)

// Guess places a message that names no line: at the value that it quotes, else
// at the first key that it names.
func (f File) Guess(err error) conf.Problem {
	what := err.Error()
	for _, m := range quoted.FindAllStringSubmatch(what, -1) {
		for n := range f.At().All() {
			if n.Text == m[1] {
				return f.Problem(n, what, "")
			}
		}
	}
	for _, name := range word.FindAllString(what, -1) {
		for n := range f.At().All() {
			if n.key != nil && n.key.Value == name {
				return f.Problem(n, what, "")
			}
		}
	}
	return conf.Problem{File: f.Name, What: what}
}

// Sorted puts problems in the order in which a person reads the files, each
// once.
func Sorted(all conf.Problems) conf.Problems {
	slices.SortStableFunc(all, func(a, b conf.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.What, b.What))
	})
	return slices.Compact(all)
}

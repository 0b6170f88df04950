package conf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// shown is how many problems of a file are spelled out; a file with more is
// most likely not meant for us.
const shown = 50

// Problem is one mistake in a file.
type Problem struct {
	File      string
	Line, Col int    // from 1, in characters; 0 if the problem has no place
	Path      string // "apps[0].signals[1].target", empty for the file as a whole
	What      string // "must be above 0, got -5"
	Hint      string // what to do about it; may be empty
	Key       string // if it is an unknown key that is wrong, and not what Path is; else empty

	source string // the line it is in
	width  int    // how many characters of it are meant
}

// Error is the problem in one line: "file:line:col: path: problem, hint".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.What)
	if p.Hint != "" {
		b.WriteString(", " + p.Hint)
	}
	return b.String()
}

// In is p with the line of the file that it is in, and how many characters of
// that are meant, for Render.
func (p Problem) In(line string, width int) Problem {
	p.source, p.width = line, max(1, width)
	return p
}

// Problems are the mistakes of a file. Empty, they are no error: use Err.
type Problems []Problem

// Err is nil if there are no problems.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Error lists the problems, a line each.
func (ps Problems) Error() string {
	return ps.list(Problem.Error)
}

// Render lists the problems, each with its line of the file and a caret.
func (ps Problems) Render() string {
	return ps.list(Problem.Render)
}

func (ps Problems) list(text func(Problem) string) string {
	var lines []string
	for _, p := range ps[:min(len(ps), shown)] {
		lines = append(lines, text(p))
	}
	if more := len(ps) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Sort puts the problems in the order of the file.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

// mistake takes an error of a Setter apart.
func mistake(err error) Mistake {
	var m Mistake
	if errors.As(err, &m) {
		return m
	}
	return Mistake{What: err.Error()}
}

package explain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lineWidth is how many columns a terminal is taken to have: more than half of
// them does, and a line of twice as many is hard to read.
const lineWidth = 100

// table lines up the cells of its rows. The last cell of a row goes on below
// itself if it is too long.
type table struct {
	indent int // of all rows
	rows   [][]string
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = plain(cell)
	}
	t.rows = append(t.rows, cells)
}

func (t *table) String() string {
	var width []int
	for _, cells := range t.rows {
		for i, cell := range cells[:len(cells)-1] {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, cells := range t.rows {
		var line strings.Builder
		line.WriteString(strings.Repeat(" ", t.indent))
		column := t.indent
		for i, cell := range cells[:len(cells)-1] {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			column += width[i] + 2
		}
		for i, part := range wrap(cells[len(cells)-1], max(lineWidth-column, 40)) {
			if i > 0 {
				line.WriteString("\n" + strings.Repeat(" ", column))
			}
			line.WriteString(part)
		}
		for part := range strings.Lines(line.String() + "\n") {
			b.WriteString(strings.TrimRight(part, " \n") + "\n")
		}
	}
	return b.String()
}

// wrap breaks text between words into lines of a width. A word that is longer
// stays whole: people copy it.
func wrap(text string, width int) (lines []string) {
	line, length := "", 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if line != "" && length+1+n > width {
			lines, line, length = append(lines, line), "", 0
		}
		if line != "" {
			line, length = line+" ", length+1
		}
		line, length = line+word, length+n
	}
	return append(lines, line)
}

// plain is text without line breaks and other control characters: errors quote
// what strangers wrote, and a terminal obeys some of it.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

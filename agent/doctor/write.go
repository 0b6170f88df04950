package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// width of a line in columns; only a word that is longer makes it wider.
const width = 100

// Write prints a table of findings for people, and below each that is not ok what
// was seen and what to do, which is said once.
func Write(w io.Writer, findings []Finding) error {
	var b strings.Builder
	row := func(source, status, text string) { wrap(&b, fmt.Sprintf("%-19s %-8s ", source, status), text) }
	row("SOURCE", "STATUS", "WHAT YOU LOSE")
	first := map[string]string{} // who had a remedy first
	for _, f := range findings {
		source := f.Source + " " + f.Check
		if !f.Found() {
			row(source, string(f.Status), "nothing: "+f.Detail)
		} else {
			row(source, string(f.Status), f.Loss)
			wrap(&b, "    seen: ", f.Detail)
		}
		if other, said := first[f.Remedy]; said && f.Remedy != "" {
			wrap(&b, "    fix:  ", "as for "+other)
			continue
		}
		first[f.Remedy] = source
		for line := range strings.Lines(f.Remedy) {
			wrap(&b, "    fix:  ", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap writes a text behind a lead, and below itself where it is long.
func wrap(b *strings.Builder, lead, text string) {
	b.WriteString(lead)
	indent := utf8.RuneCountInString(lead)
	column := indent
	for i, word := range strings.Fields(text) {
		word = plain(word)
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}

// plain takes out what would do something to a terminal: part of a text may be
// what an engine or a container is called.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

package conf

import (
	"fmt"
	"strings"
	"unicode"
)

// widest is how much of a line is shown, in characters.
const widest = 120

// Render is the problem with its line of the file and a caret below:
//
//	policies.yaml:7:3: apps[0]: unknown key "maxx", did you mean "max"?
//	   7 |   maxx: 5
//	     |   ^^^^
func (p Problem) Render() string {
	if p.Line == 0 || p.source == "" {
		return p.Error()
	}
	text, col := crop([]rune(p.source), p.Col-1)
	width := max(1, min(p.width, len(text)-col))
	return fmt.Sprintf("%s\n%5d | %s\n      | %s%s",
		p.Error(), p.Line, printable(text), padding(text[:min(col, len(text))]), strings.Repeat("^", width))
}

// crop cuts a long line to the part around col, and moves col with it.
func crop(text []rune, col int) ([]rune, int) {
	col = max(col, 0)
	if start := col - widest/2; len(text) > widest && start > 0 {
		text = append([]rune{'…'}, text[min(start, len(text)):]...)
		col -= start - 1
	}
	if len(text) > widest {
		text = append(text[:widest:widest], '…')
	}
	return text, col
}

// printable keeps what a file says from steering the terminal it is shown on.
func printable(text []rune) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, string(text))
}

// padding is white space as wide as text: tabs stay tabs, and the characters
// of East Asian scripts take two columns.
func padding(text []rune) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\t':
			b.WriteByte('\t')
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana):
			b.WriteString("  ")
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Write prints a table of findings for people, and below each that is not ok what
// was seen and what to do, which is said once.
func Write(w io.Writer, findings []Finding) error {
	const row = "%-19s %-8s %s\n"
	var b strings.Builder
	fmt.Fprintf(&b, row, "SOURCE", "STATUS", "WHAT YOU LOSE")
	first := map[string]string{} // who had a remedy first
	for _, f := range findings {
		source := f.Source + " " + f.Check
		if !f.Found() {
			fmt.Fprintf(&b, row, source, f.Status, "nothing: "+plain(f.Detail))
		} else {
			fmt.Fprintf(&b, row, source, f.Status, f.Loss)
			fmt.Fprintf(&b, "    seen: %s\n", plain(f.Detail))
		}
		if other, said := first[f.Remedy]; said && f.Remedy != "" {
			fmt.Fprintf(&b, "    fix:  as for %s\n", other)
			continue
		}
		first[f.Remedy] = source
		for line := range strings.Lines(f.Remedy) {
			fmt.Fprintf(&b, "    fix:  %s\n", plain(strings.TrimSpace(line)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
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

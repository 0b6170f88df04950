package agent

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func (a *catalogueArea) table() string {
	head := []string{"Metric", "Type", "Unit", "Labels", "Lane", "Source", "Meaning"}
	if a.versions {
		head = []string{"Metric", "Type", "Unit", "Labels", "Lane", "Source, v1 and hybrid", "Source, v2", "Meaning"}
	}
	hidden, same := a.labels, ""
	if job := a.job(); job != "" && !slices.Contains(hidden, "job") {
		hidden, same = append(slices.Clone(hidden), "job"), "All have `job=\""+job+"\"`.\n\n"
	}
	var rows [][]string
	for _, l := range a.lines {
		if l.pattern {
			rows = append(rows, catalogueRow(l, hidden, l.metrics...))
			continue
		}
		for _, m := range l.metrics {
			rows = append(rows, catalogueRow(l, hidden, m))
		}
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(strings.Trim(a[0], "`"), strings.Trim(b[0], "`")) })
	return same + catalogueMarkdown(head, rows)
}

// job is the one that all series have, empty if they have several.
func (a *catalogueArea) job() string {
	jobs := make(map[string]bool)
	for _, l := range a.lines {
		for _, m := range l.metrics {
			maps.Copy(jobs, m.labels["job"])
		}
	}
	if len(jobs) != 1 {
		return ""
	}
	return slices.Collect(maps.Keys(jobs))[0]
}

// catalogueRow is that of a metric, or of all that share a pattern.
func catalogueRow(l *catalogueLine, hidden []string, metrics ...*catalogued) []string {
	all := &catalogued{metrics[0].Metric, nil, map[string]map[string]bool{}, map[uint64]bool{}, nil}
	for _, m := range metrics {
		maps.Copy(all.labels, m.labels)
		maps.Copy(all.lanes, m.lanes)
	}
	name := all.Name
	if l.pattern {
		name = l.name
	}
	in := cmp.Or(l.unit, catalogueUnit(all.Metric))
	cells := []string{"`" + name + "`", all.Type.String(), in, labelsCell(all, hidden), lanesCell(all.lanes)}
	return append(append(cells, l.sources...), cmp.Or(l.meaning, all.Help))
}

// catalogueListed are labels whose values are a fixed list, which rows tell.
var catalogueListed = []string{"cause", "failure_type", "ip", "job", "mode", "operation", "policy", "queue", "reason", "result", "scope", "state", "ulimit"}

func labelsCell(m *catalogued, leftOut []string) string {
	var cells []string
	for _, name := range slices.Sorted(maps.Keys(m.labels)) {
		if slices.Contains(leftOut, name) {
			continue
		}
		values := slices.Sorted(maps.Keys(m.labels[name]))
		cell := "`" + name + "`"
		if len(values) > 0 && (slices.Contains(catalogueListed, name) || slices.Equal(values, []string{"total"})) {
			cell += ": " + strings.Join(values, ", ")
		}
		cells = append(cells, cell)
	}
	return strings.Join(cells, "; ")
}

func lanesCell(lanes map[uint64]bool) string {
	l := DefaultLanes()
	names := map[uint64]string{l.First: "first", l.Second: "second", l.Third: "third", l.Fourth: "fourth"}
	var cells []string
	for _, ticks := range slices.Sorted(maps.Keys(lanes)) {
		if name := names[ticks]; name != "" {
			cells = append(cells, name)
		} else {
			cells = append(cells, "its own")
		}
	}
	return strings.Join(cells, ", ")
}

// catalogueMarkdown is a table without the columns that are empty in all rows.
func catalogueMarkdown(head []string, rows [][]string) string {
	var out strings.Builder
	write := func(cells []string) {
		for i, cell := range cells {
			if slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" }) {
				out.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
			}
		}
		out.WriteString("|\n")
	}
	write(head)
	write(slices.Repeat([]string{"---"}, len(head)))
	for _, row := range rows {
		write(row)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// catalogueOmission is what other exporters have and we do not.
type catalogueOmission struct {
	names []string
	where string // of which series that is so; empty if of all
	why   string
}

func readCatalogueLeftOut(t *testing.T) map[string][]catalogueOmission {
	t.Helper()
	all := make(map[string][]catalogueOmission)
	whose := ""
	catalogueSections(t, "catalogue_left_out.txt", func(name, _ string) { whose = name }, func(columns []string) {
		if len(columns) != 3 {
			t.Fatalf("testdata/catalogue_left_out.txt: %q has %d columns", columns, len(columns))
		}
		all[whose] = append(all[whose], catalogueOmission{strings.Fields(columns[0]), columns[1], columns[2]})
	})
	return all
}

// lacks complains of what is said to be left out and is not.
func (c catalogue) lacks(t *testing.T, leftOut map[string][]catalogueOmission) {
	t.Helper()
	labelled := regexp.MustCompile("^`(\\w+)=\"(.*)\"`$")
	for _, list := range leftOut {
		for _, o := range list {
			with := labelled.FindStringSubmatch(o.where)
			for _, name := range o.names {
				fits := catalogueNames(name)
				for given, m := range c {
					if fits.MatchString(given) && (o.where == "" || with != nil && m.labels[with[1]][with[2]]) {
						t.Errorf("%s is said to be left out, and is given %s", given, o.where)
					}
				}
			}
		}
	}
}

func catalogueOmissions(list []catalogueOmission) string {
	var rows [][]string
	for _, o := range list {
		cell := "`" + strings.Join(o.names, "` `") + "`"
		rows = append(rows, []string{cell, o.where, o.why})
	}
	return catalogueMarkdown([]string{"Metric", "Where", "Why not"}, rows)
}

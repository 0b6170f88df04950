package agent

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// catalogueArea is a table of the page.
type catalogueArea struct {
	name     string
	labels   []string // that its rows do not name
	lines    []*catalogueLine
	versions bool // lines tell of version 1 and version 2
}

// catalogueLine is one of testdata/catalogue.txt, and what fits it.
type catalogueLine struct {
	name    string
	fits    *regexp.Regexp
	pattern bool // one row for all
	unit    string
	sources []string
	meaning string // instead of the help
	metrics []*catalogued
}

// catalogueSections are the parts of a file of testdata: what follows [name], and
// the columns of the lines below it.
func catalogueSections(t *testing.T, file string, begin func(name, rest string), add func(columns []string)) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(data)) {
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		if name, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "]"); ok && text[0] == '[' {
			begin(name, strings.TrimSpace(rest))
			continue
		}
		columns := strings.Split(text, "|")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		add(columns)
	}
}

func readCatalogue(t *testing.T) (areas []*catalogueArea) {
	t.Helper()
	catalogueSections(t, "catalogue.txt", func(name, labels string) {
		labels = strings.ReplaceAll(labels, "@container", "id image name container namespace pod container_label_<label>")
		areas = append(areas, &catalogueArea{name: name, labels: strings.Fields(labels)})
	}, func(columns []string) {
		if len(columns) < 3 || len(columns) > 5 {
			t.Fatalf("testdata/catalogue.txt: %q has %d columns", columns, len(columns))
		}
		columns = append(columns, "", "")
		l := &catalogueLine{name: columns[0], fits: catalogueNames(columns[0]), pattern: strings.Contains(columns[0], "<"), unit: columns[1]}
		l.sources, l.meaning = columns[2:4], columns[4]
		if columns[3] == "" {
			l.sources = columns[2:3]
		}
		a := areas[len(areas)-1]
		a.lines = append(a.lines, l)
		a.versions = a.versions || len(l.sources) == 2
	})
	return areas
}

// catalogueNames is a name in which a * or a <key> stands for anything.
func catalogueNames(name string) *regexp.Regexp {
	text := strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, ".+")
	return regexp.MustCompile("^" + regexp.MustCompile(`<\w+>`).ReplaceAllString(text, ".+") + "$")
}

// place gives each metric its line, and complains of what is not true of it.
func (c catalogue) place(t *testing.T, areas []*catalogueArea) {
	t.Helper()
	known := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(c)) {
		m := c[name]
		for label := range m.labels {
			known[label] = true
		}
		if l := catalogueLineOf(areas, name); l == nil {
			t.Errorf("%s is in no line of testdata/catalogue.txt", name)
		} else {
			l.metrics = append(l.metrics, m)
		}
	}
	for _, a := range areas {
		for _, label := range a.labels {
			if !known[label] {
				t.Errorf("[%s]: no series has the label %s", a.name, label)
			}
		}
		for _, l := range a.lines {
			if len(l.metrics) == 0 {
				t.Errorf("%s is in testdata/catalogue.txt, and nothing gives it", l.name)
			}
			for _, m := range l.metrics {
				l.agrees(t, m)
			}
		}
	}
}

func catalogueLineOf(areas []*catalogueArea, name string) *catalogueLine {
	for _, a := range areas {
		for _, l := range a.lines {
			if l.fits.MatchString(name) {
				return l
			}
		}
	}
	return nil
}

func (l *catalogueLine) agrees(t *testing.T, m *catalogued) {
	t.Helper()
	if own := catalogueUnit(m.Metric); own != "" && l.unit == own {
		t.Errorf("%s: the code says that it is in %s", l.name, own)
	}
	if len(m.helps) > 1 && l.meaning == "" {
		t.Errorf("%s is several things, of which one has to be made: %q", m.Name, m.helps)
	}
	if len(l.sources) != 2 {
		return
	}
	absent1, absent2 := l.sources[0] == "—", l.sources[1] == "—"
	switch {
	case absent1 && (m.trees["v1"] || m.trees["hybrid"]), absent2 && m.trees["v2"], strings.HasPrefix(l.sources[0], "hybrid:") && m.trees["v1"]:
		t.Errorf("%s has values on %v", m.Name, slices.Sorted(maps.Keys(m.trees)))
	}
}

// catalogueUnit is what the code says, or the end of the name.
func catalogueUnit(m *sample.Metric) string {
	if m.Unit != "" {
		return m.Unit
	}
	for _, unit := range []string{"bytes", "seconds", "ratio", "celsius", "hertz", "bits", "rpm"} {
		if strings.HasSuffix(strings.TrimSuffix(m.Name, "_total"), "_"+unit) {
			return unit
		}
	}
	return ""
}

// renderCatalogue fills in testdata/catalogue.md.tmpl, in which each table stands
// once.
func renderCatalogue(t *testing.T, areas []*catalogueArea, leftOut map[string][]catalogueOmission) string {
	t.Helper()
	shown := make(map[string]bool)
	page, err := template.New("catalogue.md.tmpl").Funcs(template.FuncMap{
		"table": func(name string) (string, error) {
			i := slices.IndexFunc(areas, func(a *catalogueArea) bool { return a.name == name })
			if i < 0 || shown[name] {
				return "", fmt.Errorf("no table %q, or a second time", name)
			}
			shown[name] = true
			return areas[i].table(), nil
		},
		"missing": func(name string) (string, error) {
			if leftOut[name] == nil || shown[name] {
				return "", fmt.Errorf("nothing that %q has is left out, or a second time", name)
			}
			shown[name] = true
			return catalogueOmissions(leftOut[name]), nil
		},
	}).ParseFiles("testdata/catalogue.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := page.Execute(&out, nil); err != nil {
		t.Fatal(err)
	}
	if len(shown) != len(areas)+len(leftOut) {
		t.Errorf("testdata/catalogue.md.tmpl shows %d tables of %d", len(shown), len(areas)+len(leftOut))
	}
	return out.String()
}

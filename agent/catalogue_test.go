package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// cataloguePage is the document that is made of the catalogue.
const cataloguePage = "../docs/metrics.md"

// TestMetricsAreDocumented keeps docs/metrics.md true: types, units, labels and
// lanes are those of the code, and what no code knows, the file of the kernel
// that a metric comes from, must be in testdata/catalogue.txt for each.
func TestMetricsAreDocumented(t *testing.T) {
	c := make(catalogue)
	for _, s := range catalogueSources {
		t.Run(s.name, func(t *testing.T) { s.add(t, c) })
	}
	if t.Failed() {
		return
	}
	for _, name := range catalogueLiterals(t) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(c)), func(known string) bool { return strings.HasPrefix(known, name) }) {
			t.Errorf("%s is in the code, and nothing in catalogueSources shows it", name)
		}
	}
	areas, leftOut := readCatalogue(t), readCatalogueLeftOut(t)
	c.place(t, areas)
	c.lacks(t, leftOut)
	if t.Failed() {
		return
	}
	got := renderCatalogue(t, areas, leftOut)
	if *update {
		if err := os.WriteFile(cataloguePage, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(cataloguePage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the code says (make generate writes it anew):\n%s", cataloguePage, diff)
	}
}

// catalogue is every metric that sources give, by name.
type catalogue map[string]*catalogued

type catalogued struct {
	*sample.Metric
	helps  []string
	labels map[string]map[string]bool // values by name
	lanes  map[uint64]bool
	trees  map[string]bool // kinds of cgroup tree in which a container has a value
}

// batch takes in all series of the groups in b, also those without a value: some
// are there on other machines only.
func (c catalogue) batch(t *testing.T, b *sample.Batch) {
	t.Helper()
	for _, column := range b.Columns {
		c.group(t, column.Group)
	}
}

// tree is batch for a tree of cgroups of some kind.
func (c catalogue) tree(t *testing.T, kind string, b *sample.Batch) {
	t.Helper()
	c.batch(t, b)
	for _, column := range b.Columns {
		if slices.Contains(column.Group.Labels, sample.Label{Name: "id", Value: "/"}) {
			continue // it is not read from cgroups alone
		}
		for i, v := range column.Values {
			if !sample.IsAbsent(v) {
				c[column.Group.Series[i].Metric.Name].trees[kind] = true
			}
		}
	}
}

func (c catalogue) group(t *testing.T, g *sample.Group) {
	t.Helper()
	if g.Every == 0 {
		t.Errorf("the group of %s does not say its lane", g.Series[0].Metric.Name)
	}
	for _, s := range g.Series {
		m := c.metric(t, s.Metric)
		m.lanes[g.Every] = true
		for _, l := range slices.Concat(g.Labels, s.Labels) {
			m.label(l.Name, l.Value)
		}
	}
}

func (c catalogue) metric(t *testing.T, m *sample.Metric) *catalogued {
	t.Helper()
	known := c[m.Name]
	if known == nil {
		known = &catalogued{m, nil, map[string]map[string]bool{}, map[uint64]bool{}, map[string]bool{}}
		c[m.Name] = known
	}
	if known.Type != m.Type || known.Unit != m.Unit {
		t.Errorf("%s is two things: %+v and %+v", m.Name, *known.Metric, *m)
	}
	if !slices.Contains(known.helps, m.Help) {
		known.helps = append(known.helps, m.Help)
	}
	return known
}

func (m *catalogued) label(name string, values ...string) {
	if strings.HasPrefix(name, "container_label_") {
		name = "container_label_<label>"
	}
	if m.labels[name] == nil {
		m.labels[name] = make(map[string]bool)
	}
	for _, v := range values {
		m.labels[name][v] = true
	}
}

// catalogueLiterals are the names of metrics, or how they begin, that stand in the
// code. A source that nobody put into catalogueSources gives itself away by them.
func catalogueLiterals(t *testing.T) (names []string) {
	t.Helper()
	metric := regexp.MustCompile(`^(container|machine|node|plimsoll|DCGM_FI)_[a-zA-Z0-9_]+$`)
	label := regexp.MustCompile(`^(container_id|container_label_.*|machine_id|DCGM_FI_DRIVER_VERSION)$`)
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(sources, "push/report.go", "stream/metrics.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err == nil && metric.MatchString(text) && !label.MatchString(text) {
				names = append(names, text)
			}
			return true
		})
	}
	return names
}

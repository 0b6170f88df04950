package agent

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file in testdata, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = "testdata/" + file
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-update writes it anew):\n%s", file, diff)
	}
}

// exposition is a batch as text: the type of each metric, and its samples,
// sorted. What is absent is not there, and what was measured by a clock is 0.
func exposition(b *sample.Batch) string {
	samples := make(map[string][]string) // by name
	types := make(map[string]string)
	for _, c := range b.Columns {
		for i, v := range c.Values {
			if sample.IsAbsent(v) {
				continue
			}
			s := c.Group.Series[i]
			name := s.Metric.Name
			if name == "node_scrape_collector_duration_seconds" {
				v = 0
			}
			types[name] = s.Metric.Type.String()
			samples[name] = append(samples[name], name+labels(c.Group.Labels, s.Labels)+" "+strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		slices.Sort(samples[name])
		fmt.Fprintf(&out, "# TYPE %s %s\n%s\n", name, types[name], strings.Join(samples[name], "\n"))
	}
	return out.String()
}

func labels(of ...[]sample.Label) string {
	var pairs []string
	for _, l := range slices.Concat(of...) {
		pairs = append(pairs, l.Name+"="+strconv.Quote(l.Value))
	}
	if len(pairs) == 0 {
		return ""
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

// values is the exposition by series, for tests that are about a few of them.
func values(b *sample.Batch) map[string]string {
	found := make(map[string]string)
	for line := range strings.Lines(exposition(b)) {
		if at := strings.LastIndexByte(line, ' '); line[0] != '#' {
			found[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return found
}

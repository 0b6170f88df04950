//go:build e2e

package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

var tags = regexp.MustCompile(`<[^>]*>`)

func TestThePageShowsNodesAndContainers(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "c1", "--memory", "64m", "--cpus", "0.5", engine.Image, "sh", "-c", burn)
	e.Docker("run", "-d", "--name", "free", engine.Image, "sleep", "600")
	p := up(t, "--docker.host="+e.Host(), "--node.name=rack7")
	p.eventually(patience, `count_over_time(container_cpu_usage_seconds_total{name="c1"}[30s]) > 10`, some)

	rows := map[string]string{} // by the name in their first cell
	for row := range strings.SplitSeq(p.text("/"), "<tr") {
		text := strings.Join(strings.Fields(tags.ReplaceAllString("<tr"+row, " ")), " ")
		name, _, _ := strings.Cut(text, " ")
		rows[name] = text
	}
	t.Logf("%s\n%s\n%s", rows["rack7"], rows["c1"], rows["free"])
	for name, parts := range map[string][]string{
		"rack7": {"0.1.0"},
		"c1":    {"rack7", engine.Image, "KiB", "%"},
		"free":  {"rack7", engine.Image, "–"}, // no limit is no number
	} {
		for _, part := range parts {
			if !strings.Contains(rows[name], part) {
				t.Errorf("row %s: %q has no %q", name, rows[name], part)
			}
		}
	}
}

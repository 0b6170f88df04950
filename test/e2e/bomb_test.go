//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// A container that exports a million series costs its own metrics alone: what
// the kernel tells of it and of its neighbours goes on.
func TestAMillionSeriesOfAContainerCostItsOwnMetricsAlone(t *testing.T) {
	pages := t.TempDir()
	f, err := os.Create(filepath.Join(pages, "metrics"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for n := range 1_000_000 {
		fmt.Fprintf(w, "bomb{n=\"%d\"} %d\n", n, n)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "neighbour", engine.Image, "sleep", "600")
	s := newSite(t, t.TempDir())
	c := s.start()
	a := alone(t, nil, "--data.path="+t.TempDir(), "--collector.address="+s.grpc, "--docker.host="+e.Host(), "--no-gpu", "--no-disk", "--node.name=n1")
	cpu := func(name string) string { return fmt.Sprintf(`container_cpu_usage_seconds_total{name=%q}`, name) }
	c.eventually(patience, cpu("neighbour"), some)
	before := residentMiB(t, a.cmd.Process.Pid)

	e.Docker("run", "-d", "--name", "bomb", "--label", "prometheus.io/scrape=true", "--label", "prometheus.io/port=80", "--label", "plimsoll.scrape.interval=5s",
		"-v", pages+":/www:ro", engine.Image, "httpd", "-f", "-p", "80", "-h", "/www")
	c.eventually(patience, `up{name="bomb"} == 0`, some) // and so it is named
	c.eventually(time.Minute, `count_over_time(up{name="bomb"}[1m]) >= 3`, some)
	for _, name := range []string{"neighbour", "bomb"} {
		c.eventually(patience, `count_over_time(`+cpu(name)+`[15s]) >= 13`, some)
	}
	if v := c.query(`count(bomb)`); len(v) != 0 {
		t.Errorf("%v of its series are stored", v)
	}
	grown := residentMiB(t, a.cmd.Process.Pid) - before
	t.Logf("the agent takes %.0f MiB more", grown)
	if grown > 64 {
		t.Errorf("the agent takes %.0f MiB more", grown)
	}
}

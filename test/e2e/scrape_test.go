//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// An agent that nobody collects from still serves a Prometheus that scrapes.
func TestAnAgentAloneCanBeScraped(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "c1", engine.Image, "sleep", "600")
	p := start(t, "agent", "--docker.host="+e.Host(), "--collector.address=127.0.0.1:1", "--web.listen-address="+port.Free(t))
	p.url = strings.TrimSuffix(p.waitLine(patience, "http://"), "/metrics")

	has := func(path string, parts ...string) string {
		var missing string
		if wait(patience, func() bool {
			body, err := p.read(path)
			missing = path + " cannot be read"
			for line := range strings.Lines(string(body)) {
				found := err == nil
				for _, part := range parts {
					found = found && strings.Contains(line, part)
				}
				if found {
					return true
				}
			}
			if err == nil {
				missing = path + " has no line with " + strings.Join(parts, " and ")
			}
			return false
		}) < 0 {
			return missing
		}
		return ""
	}
	for _, missing := range []string{
		has("/metrics?job=cadvisor", "container_memory_working_set_bytes{", `name="c1"`),
		has("/metrics?job=node-exporter", "node_filesystem_avail_bytes{", `mountpoint="/"`),
		has("/metrics/process", "plimsoll_agent_stream_connected{", "} 0\n"),
	} {
		if missing != "" {
			t.Error(missing)
		}
	}
	if body := p.text("/metrics?job=cadvisor"); strings.Contains(body, "job=") || strings.Contains(body, "node_load1") {
		t.Error("one exporter's share has the label job or another exporter's series")
	}
	// The process that looks for GPUs is the same program, started anew: it must
	// find out that there is none, not fall over.
	if log := p.logged(); strings.Contains(log, "gpu helper failed") {
		t.Errorf("the GPU helper failed:\n%s", log)
	}
}

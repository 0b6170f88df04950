package alerting

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// rule is what all peers evaluate.
const rule = `groups:
  - name: bench
    rules:
      - alert: High
        expr: bench_load > 90
        labels: {severity: critical}
        annotations: {summary: '{{ $labels.name }} is at {{ $value }}'}
`

func escape(s string) string { return url.QueryEscape(s) }

// plimsoll is the path of our binary.
func plimsoll(b *testing.B) string {
	b.Helper()
	if *built != "" {
		return *built
	}
	path := filepath.Join(b.TempDir(), "plimsoll")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/plimsoll")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build plimsoll: %v\n%s", err, out)
	}
	return path
}

// collector is ours.
type collector struct {
	*process
	web, agents string
}

func newCollector(b *testing.B, bin, rules, config string, flags ...string) *collector {
	b.Helper()
	dir := b.TempDir()
	c := &collector{web: port.Free(b), agents: port.Free(b)}
	args := []string{
		bin, "collector", "--data.path", filepath.Join(dir, "data"), "--web.listen-address", c.web, "--grpc.listen-address", c.agents,
		"--alerting.config.file", write(b, dir, "alertmanager.yml", config),
	}
	if rules != "" {
		args = append(args, "--rules.file", write(b, dir, "rules.yml", rules))
	}
	c.process = start(b, append(args, flags...)...)
	c.ready(c.web)
	return c
}

// query is the result of an instant query.
func (c *collector) query(b *testing.B, promql string) []struct {
	Value  [2]any
	Values [][2]any
} {
	b.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Value  [2]any
				Values [][2]any
			}
		}
	}
	must(b, json.Unmarshal(c.get(b, "/api/v1/query?query="+escape(promql)), &answer))
	return answer.Data.Result
}

func (c *collector) get(b *testing.B, path string) []byte {
	b.Helper()
	resp, err := http.Get("http://" + c.web + path)
	must(b, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(b, err)
	if resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s: %s", path, resp.Status, data)
	}
	return data
}

// eventually waits until a query has a result; else it tells what was said.
func (c *collector) eventually(b *testing.B, what, promql string, who ...*process) {
	b.Helper()
	for late := time.After(time.Minute); len(c.query(b, promql)) == 0; <-time.After(200 * time.Millisecond) {
		select {
		case <-late:
			for _, p := range who {
				b.Logf("%s says: %s", p.cmd.Args[1], p.said.String())
			}
			b.Fatalf("not within a minute: %s", what)
		default:
		}
	}
}

// crossed is the time of the first sample above the threshold.
func (c *collector) crossed(b *testing.B, name string) time.Time {
	b.Helper()
	for _, series := range c.query(b, fmt.Sprintf("bench_load{name=%q}[20m]", name)) {
		for _, v := range series.Values {
			if load, err := strconv.ParseFloat(v[1].(string), 64); err == nil && load > 90 {
				return time.UnixMicro(int64(v[0].(float64) * 1e6))
			}
		}
	}
	b.Fatalf("no sample of %s above the threshold", name)
	return time.Time{}
}

// spent are the figures by which a collector accounts for its alerting.
func (c *collector) spent(b *testing.B) string {
	b.Helper()
	var lines []string
	for line := range strings.Lines(string(c.get(b, "/metrics"))) {
		if strings.HasPrefix(line, "plimsoll_alerting_arrival_") || strings.HasPrefix(line, "prometheus_rule_group_last_duration_seconds") ||
			strings.HasPrefix(line, "prometheus_rule_group_iterations_total") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// agent is ours, that reads a file with as many series as wanted.
type agent struct {
	*process
	web, file string
	loads     []int
}

func newAgent(b *testing.B, bin, to string, series int) *agent {
	b.Helper()
	dir := b.TempDir()
	texts := filepath.Join(dir, "texts")
	must(b, os.Mkdir(texts, 0o777))
	a := &agent{web: port.Free(b), file: filepath.Join(texts, "bench.prom"), loads: make([]int, series)}
	for i := range a.loads {
		a.loads[i] = 50
	}
	a.write(b)
	// Files are read in the third lane, every 15 s by default.
	a.process = start(b, bin, "agent", "--data.path", filepath.Join(dir, "data"), "--collector.address", to, "--node.name", "n1",
		"--web.listen-address", a.web, "--textfile.directory", texts, "--lane.second", "1", "--lane.third", "1", "--docker.host", "", "--no-gpu")
	return a
}

func (a *agent) write(b *testing.B) {
	b.Helper()
	var text strings.Builder
	fmt.Fprintln(&text, "# TYPE bench_load gauge")
	for i, load := range a.loads {
		fmt.Fprintf(&text, "bench_load{name=%q} %d\n", name(i), load)
	}
	must(b, os.WriteFile(a.file+".new", []byte(text.String()), 0o666))
	must(b, os.Rename(a.file+".new", a.file))
}

// raise has a series cross, and tells since when.
func (a *agent) raise(i int) time.Time {
	a.loads[i] = 95
	a.write(a.b)
	return time.Now()
}

// newPair is Prometheus and Alertmanager, that scrape target and evaluate every
// so many seconds.
func newPair(b *testing.B, target, rules string, seconds int, config string) {
	b.Helper()
	dir := b.TempDir()
	am, prom := port.Free(b), port.Free(b)
	a := start(b, "prometheus-alertmanager", "--config.file", write(b, dir, "alertmanager.yml", config), "--storage.path", filepath.Join(dir, "am"),
		"--web.listen-address", am, "--cluster.listen-address", "")
	a.ready(am)
	p := start(b, "prometheus", "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", prom,
		"--config.file", write(b, dir, "prometheus.yml", fmt.Sprintf(`global: {scrape_interval: %ds, evaluation_interval: %ds}
rule_files: [%s]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: agent, static_configs: [{targets: [%q]}]}]
`, seconds, seconds, write(b, dir, "rules.yml", rules), am, target)))
	p.ready(prom)
}

func write(b *testing.B, dir, name, text string) string {
	b.Helper()
	path := filepath.Join(dir, name)
	must(b, os.WriteFile(path, []byte(text), 0o666))
	return path
}

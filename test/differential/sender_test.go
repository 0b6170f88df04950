//go:build e2e

package differential

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A Prometheus that scrapes and writes to us has the same samples as we have,
// also after we have taken nothing in for a while.
func TestPrometheusWritesToUsAllThatItScrapes(t *testing.T) {
	for _, message := range []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"} {
		t.Run(message, func(t *testing.T) { writesAll(t, message) })
	}
}

func writesAll(t *testing.T, message string) {
	us := startOurs(t, filepath.Join(t.TempDir(), "ours"))
	var scrapes atomic.Int64
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		fmt.Fprintf(w, "# HELP ticks_total Scrapes.\n# TYPE ticks_total counter\nticks_total %d\n", n)
		fmt.Fprintf(w, "# TYPE wave gauge\nwave{l=\"a b\"} %g\nwave{l=\"ü\"} NaN\n", float64(n%7)/3)
	}))
	t.Cleanup(exporter.Close)
	config := fmt.Sprintf(`
global: {scrape_interval: 1s}
scrape_configs:
- job_name: ours
  static_configs: [{targets: [%q]}]
remote_write:
- url: %s/api/v1/write
  queue_config: {batch_send_deadline: 500ms}
  protobuf_message: %s
`, strings.TrimPrefix(exporter.URL, "http://"), us.url, message)
	peer := startPeer(t, filepath.Join(t.TempDir(), "theirs"), spoken(t, config))

	have := func(least int) func() bool {
		return func() bool {
			got := ask(t, us.url+"/api/v1/query?"+url.Values{"query": {fmt.Sprintf("count_over_time(ticks_total[5m]) >= %d", least)}}.Encode())
			return string(got.Data.Result) != "[]"
		}
	}
	until(t, time.Minute, "five samples have come", have(5))
	us.closed.Store(true)
	before := scrapes.Load()
	until(t, time.Minute, "five more were scraped", func() bool { return scrapes.Load() >= before+5 })
	us.closed.Store(false)
	until(t, time.Minute, "fifteen samples have come", have(15))

	at := fmt.Sprintf("%.3f", float64(time.Now().UnixMilli())/1000)
	for _, q := range []string{"ticks_total[5m]", "wave[5m]", `up{job="ours"}[5m]`, "scrape_samples_scraped[5m]"} {
		path := "/api/v1/query?" + url.Values{"query": {q}, "time": {at}}.Encode()
		until(t, time.Minute, "both have the same samples of "+q, func() bool { // what was scraped last is still on its way
			return compare(ask(t, us.url+path), ask(t, peer+path), false) == ""
		})
	}
}

// spoken is a configuration without the message that remote write is to speak,
// for a Prometheus that speaks but the first; of the second it then skips the
// test.
func spoken(t *testing.T, config string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program(t, "promtool"), "check", "config", file).CombinedOutput()
	switch {
	case err == nil:
		return config
	case !strings.Contains(string(out), "protobuf_message"):
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(config, "v2.Request"):
		t.Skip("the installed Prometheus speaks remote write 1.0 alone; Prometheus 3 speaks 2.0")
	}
	before, _, _ := strings.Cut(config, "  protobuf_message:")
	return before
}

// What people copy from the documents, Prometheus takes.
func TestPrometheusTakesTheConfigurationOfTheDocuments(t *testing.T) {
	promtool := program(t, "promtool")
	text, err := os.ReadFile("../../docs/protocols.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, block := range strings.Split(string(text), "```yml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if !strings.HasPrefix(block, "# prometheus.yml\n") {
			continue
		}
		blocks++
		dir := t.TempDir()
		password := filepath.Join(dir, "password")
		block = strings.ReplaceAll(block, "/etc/prometheus/plimsoll.password", password)
		block = strings.ReplaceAll(block, "  protobuf_message:", "  # protobuf_message:") // younger than the distribution's
		for file, content := range map[string]string{password: "x", filepath.Join(dir, "prometheus.yml"): block} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		run(t, promtool, "check", "config", filepath.Join(dir, "prometheus.yml"))
	}
	if blocks != 2 {
		t.Errorf("%d blocks found", blocks)
	}
}

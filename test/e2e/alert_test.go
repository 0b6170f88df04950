//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// message is what Alertmanager's webhook receivers get.
type message struct {
	Version, Status, GroupKey, Receiver, ExternalURL string

	Alerts []struct {
		Status       string
		Labels       map[string]string
		Annotations  map[string]string
		StartsAt     time.Time
		EndsAt       time.Time
		GeneratorURL string
	}
}

const nearLimit = `groups:
- name: test
  interval: 1s
  rules:
  - alert: MemoryHigh
    expr: container_memory_rss{name="hungry"} / (container_spec_memory_limit_bytes{name="hungry"} > 0) > 0.5
    labels: {severity: warning}
    annotations: {summary: "{{ $labels.name }} uses {{ $value | humanizePercentage }} of its memory"}
`

// sink is a webhook that keeps what it is told.
func sink(t *testing.T) (url string, got chan message) {
	t.Helper()
	got = make(chan message, 64)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("webhook: %v", err)
		}
		got <- m
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func alertingFiles(t *testing.T, webhook string) (rules, alertmanager string) {
	t.Helper()
	dir := t.TempDir()
	rules, alertmanager = filepath.Join(dir, "rules.yml"), filepath.Join(dir, "alertmanager.yml")
	config := `route:
  receiver: sink
  group_by: [alertname, name]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
- name: sink
  webhook_configs:
  - url: ` + webhook + `
`
	for file, text := range map[string]string{rules: nearLimit, alertmanager: config} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return rules, alertmanager
}

// eater starts the container hungry and returns what makes it hold 40 of its
// 64 MiB, which in turn returns what makes it give them back.
func eater(t *testing.T, e *engine.Engine) func() (stop func()) {
	t.Helper()
	e.Docker("run", "-d", "--name", "hungry", "--memory", "64m", engine.Image, "sleep", "600")
	return func() func() {
		// dd holds one buffer of the block size and writes it to a pipe that
		// nobody reads.
		e.Docker("exec", "-d", "hungry", "sh", "-c", "dd if=/dev/zero bs=40M count=1 | sleep 600")
		return func() { e.Docker("exec", "hungry", "sh", "-c", "killall dd sleep 2>/dev/null; true") }
	}
}

func TestACrossingBecomesOneWebhookAndOneResolvedNotice(t *testing.T) {
	e := engine.Start(t)
	eat := eater(t, e)
	webhook, got := sink(t)
	rules, config := alertingFiles(t, webhook)
	p := up(t, "--docker.host="+e.Host(), "--rules.file="+rules, "--alerting.config.file="+config)
	p.eventually(patience, `container_memory_rss{name="hungry"}`, some)

	stop := eat()
	m := next(t, got, patience)
	if m.Version != "4" || m.Status != "firing" || len(m.Alerts) != 1 || m.GroupKey == "" {
		t.Fatalf("first message: %+v", m)
	}
	a := m.Alerts[0]
	if a.Labels["alertname"] != "MemoryHigh" || a.Labels["name"] != "hungry" || a.StartsAt.IsZero() || !a.EndsAt.IsZero() || a.GeneratorURL == "" {
		t.Errorf("alert: %+v", a)
	}
	stop()
	m = next(t, got, patience)
	if m.Status != "resolved" || len(m.Alerts) != 1 || m.Alerts[0].EndsAt.IsZero() {
		t.Errorf("second message: %+v", m)
	}
	quiet(t, got, 5*time.Second)
}

func TestASilenceOfAmtoolMutes(t *testing.T) {
	e := engine.Start(t)
	eat := eater(t, e)
	webhook, got := sink(t)
	rules, config := alertingFiles(t, webhook)
	p := up(t, "--docker.host="+e.Host(), "--rules.file="+rules, "--alerting.config.file="+config)
	p.eventually(patience, `container_memory_rss{name="hungry"}`, some)
	id := amtool(t, p, "silence", "add", "--comment", "test", "--duration", "1h", "alertname=MemoryHigh")
	defer eat()()
	p.eventually(patience, `ALERTS{alertname="MemoryHigh", alertstate="firing"}`, some)
	quiet(t, got, 5*time.Second)
	if list := amtool(t, p, "alert", "query", "--silenced"); !strings.Contains(list, "MemoryHigh") {
		t.Errorf("amtool does not list the silenced alert:\n%s", list)
	}
	amtool(t, p, "silence", "expire", id)
	if m := next(t, got, patience); m.Status != "firing" {
		t.Errorf("after the silence: %+v", m)
	}
}

func amtool(t *testing.T, p *process, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("amtool")
	if err != nil {
		t.Fatalf("%v: install Debian's prometheus-alertmanager", err)
	}
	out, err := exec.Command(path, append([]string{"--alertmanager.url=" + p.url}, args...)...).Output()
	if err != nil {
		t.Fatalf("amtool %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

func next(t *testing.T, got chan message, limit time.Duration) message {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-time.After(limit):
		t.Fatalf("no webhook within %v", limit)
		return message{}
	}
}

func quiet(t *testing.T, got chan message, while time.Duration) {
	t.Helper()
	select {
	case m := <-got:
		t.Errorf("a message that nobody wanted: %+v", m)
	case <-time.After(while):
	}
}

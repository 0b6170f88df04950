//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// Two collectors with one agent and one webhook. What fires is told once, also
// what fires as one of them is killed.
func TestOfAPairOneTellsAndEitherCanBeLost(t *testing.T) {
	webhook, got := sink(t)
	first, second := time.Unix(time.Now().Unix()+60, 0), time.Unix(time.Now().Unix()+90, 0)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	rules := write("rules.yml", fmt.Sprintf(`groups:
- name: test
  interval: 1s
  rules:
  - {alert: First, expr: 'up{job="plimsoll-agent"} == 1 and on () vector(time()) > %d'}
  - {alert: Second, expr: 'up{job="plimsoll-agent"} == 1 and on () vector(time()) > %d'}
`, first.Unix(), second.Unix()))
	config := write("alertmanager.yml", `route: {receiver: sink, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: sink, webhook_configs: [{url: '`+webhook+`'}]}]
`)
	secret := write("secret", "0123456789abcdef0123456789abcdef\n")
	addresses := map[string]string{"a": port.Free(t), "b": port.Free(t)}
	dirs := map[*process]string{}
	run := func(name, other string) *process {
		data := t.TempDir()
		p := start(t, "collector", "--pair.name="+name, "--pair.peer="+addresses[other], "--pair.secret-file="+secret, "--grpc.tls=on",
			"--data.path="+data, "--web.listen-address="+port.Free(t), "--grpc.listen-address="+addresses[name],
			"--no-rules.bundled", "--rules.file="+rules, "--alerting.config.file="+config)
		p.url = p.waitLine(patience, "http://")
		dirs[p] = data
		return p
	}
	a, b := run("a", "b"), run("b", "a")
	var join string
	for _, c := range []*process{a, b} {
		out, err := exec.Command(c.cmd.Path, "token", "create", "--data.path="+dirs[c]).Output()
		if err != nil {
			t.Fatalf("token create: %v", err)
		}
		join += strings.TrimSpace(string(out)) + "\n"
	}
	alone(t, nil, "--node.name=n1", "--data.path="+t.TempDir(), "--no-gpu", "--no-disk", "--docker.host=unix:///nonexistent", "--join-file="+write("join", join))
	for _, c := range []*process{a, b} {
		c.eventually(time.Minute, `up{job="plimsoll-agent"} == 1`, some)
		if wait(time.Minute, func() bool { return c.sum("plimsoll_alerting_peer_connected") == 2 }) < 0 {
			t.Fatal("they do not talk")
		}
	}
	leader := func() (leads, other *process) {
		if wait(time.Minute, func() bool { return a.sum("plimsoll_lease_held")+b.sum("plimsoll_lease_held") == 1 }) < 0 {
			t.Fatal("nobody leads")
		}
		if b.sum("plimsoll_lease_held") == 1 {
			return b, a
		}
		return a, b
	}
	leads, other := leader()
	if time.Now().After(first) {
		t.Fatal("the machine was too slow for this test: what was to come has")
	}

	m := next(t, got, time.Minute)
	if m.Alerts[0].Labels["alertname"] != "First" || m.Status != "firing" || !strings.HasPrefix(m.ExternalURL, leads.url) {
		t.Errorf("told: %+v, want First from %s", m, leads.url)
	}
	quiet(t, got, 8*time.Second)

	// Early enough that a busy machine does not let it evaluate once more.
	pause(time.Until(second) - 500*time.Millisecond)
	leads.kill()
	killed := time.Now()
	m = next(t, got, patience)
	t.Logf("what fires as one is killed is told %v after that; it fires %v after that", time.Since(killed).Round(10*time.Millisecond), m.Alerts[0].StartsAt.Sub(killed).Round(10*time.Millisecond))
	if m.Alerts[0].Labels["alertname"] != "Second" || m.Status != "firing" || !strings.HasPrefix(m.ExternalURL, other.url) {
		t.Errorf("told: %+v, want Second from %s", m, other.url)
	}
	quiet(t, got, 8*time.Second)
}

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// policyFor is a policy for the service web: 1 to 3 replicas that hold 35 % of
// their CPU limit.
const policyFor = `version: plimsoll.scaler/v1
apps:
- name: web
  mode: MODE
  target: {driver: swarm, service: web}
  interval: 1s
  min: 1
  max: 3
  signals:
  - {name: cpu, type: track, source: cpu, kind: utilization, of: limit, target: 35%, window: 3s}
  in: {window: 10s, settle: off, rate: [{replicas: 2, per: 10s}]}
`

func TestASwarmServiceFollowsItsLoad(t *testing.T) {
	e := engine.Start(t)
	e.Swarm()
	// Each task burns while the file /load exists on the host.
	load := filepath.Join(t.TempDir(), "load")
	e.Service("web", []string{
		"--limit-cpu", "0.2", "--replicas", "1",
		"--mount", "type=bind,src=" + filepath.Dir(load) + ",dst=/load,readonly",
	},
		"sh", "-c", "while :; do if [ -e /load/load ]; then :; else sleep 0.05; fi; done")
	p := up(t, "--docker.host="+e.Host(), "--scaler.policy.file="+policy(t, "active"))
	p.eventually(time.Minute, `rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name="web"}[5s])`, some)
	first := tasks(e)

	// A busy machine lets a task have less than its limit, so that it takes two
	// replicas first: each is timed from the load that takes it, to when the engine
	// has it.
	since := time.Now()
	burnUntil := touch(t, load)
	loaded := func(above float64) time.Time {
		p.eventually(time.Minute,
			fmt.Sprintf(`sum(rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name="web"}[3s])) / 0.2 > %v`, above), some)
		return time.Now()
	}
	begin := loaded(0.35)
	most := loaded(0.8)
	if wait(time.Minute, func() bool { return replicas(e) == "3" }) < 0 {
		t.Fatalf("%s replicas after a minute, want 3: %s", replicas(e), p.explain("web"))
	}
	steps := writes(t, e, since)
	t.Logf("overloaded at %s, enough for 3 at %s: %v", begin.Format("15:04:05.0"), most.Format("15:04:05.0"), steps)
	last := slices.IndexFunc(steps, func(w write) bool { return w.to == 3 })
	if last < 0 || steps[0].at.Sub(begin) > 5*time.Second || steps[last].at.Sub(most) > 5*time.Second {
		t.Errorf("not 3 replicas within 5 s of the first overloaded sample: %v; %s", steps, p.explain("web"))
	}
	if wait(time.Minute, func() bool { return len(tasks(e)) == 3 }) < 0 {
		t.Fatalf("tasks: %v", tasks(e))
	}
	for _, id := range first {
		if !slices.Contains(tasks(e), id) {
			t.Errorf("task %s was replaced by the scale-out", id)
		}
	}
	t.Logf("explain:\n%s", p.explain("web"))

	burnUntil()
	if wait(2*time.Minute, func() bool { return replicas(e) == "1" }) < 0 {
		t.Fatalf("still %s replicas two minutes after the load: %s", replicas(e), p.explain("web"))
	}
	text := p.explain("web")
	for _, number := range []string{"35%", "1"} {
		if !strings.Contains(text, number) {
			t.Errorf("explain does not name %s:\n%s", number, text)
		}
	}
}

func TestAdviceWritesNothing(t *testing.T) {
	e := engine.Start(t)
	e.Swarm()
	e.Service("web", []string{"--limit-cpu", "0.2", "--replicas", "1"}, "sh", "-c", burn)
	version := e.Docker("service", "inspect", "-f", "{{.Version.Index}} {{.UpdatedAt}}", "web")
	p := up(t, "--docker.host="+e.Host(), "--scaler.policy.file="+policy(t, "advise"))
	if wait(60*time.Second, func() bool { return slices.Equal(p.metrics("plimsoll_scaler_replicas_wanted"), []float64{3}) }) < 0 {
		t.Fatalf("3 replicas are not wanted within a minute: %s", p.explain("web"))
	}
	if now := e.Docker("service", "inspect", "-f", "{{.Version.Index}} {{.UpdatedAt}}", "web"); now != version {
		t.Errorf("the engine saw a write in advise mode: %s before, %s after", version, now)
	}
	if text := p.explain("web"); !strings.Contains(text, "advise") {
		t.Errorf("explain does not say that this is only advice:\n%s", text)
	}
}

func policy(t *testing.T, mode string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policies.yml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(policyFor, "MODE", mode)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// touch makes a file and returns what removes it.
func touch(t *testing.T, file string) func() {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func replicas(e *engine.Engine) string {
	return e.Docker("service", "inspect", "-f", "{{.Spec.Mode.Replicated.Replicas}}", "web")
}

// tasks are the ids of the running tasks of the service web.
func tasks(e *engine.Engine) []string {
	return strings.Fields(e.Docker("service", "ps", "-q", "--filter", "desired-state=running", "web"))
}

// explain runs plimsoll explain against the process.
func (p *process) explain(policy string) string {
	p.t.Helper()
	out, err := exec.Command(p.cmd.Path, "explain", "--url="+p.url, policy).CombinedOutput()
	if err != nil {
		p.t.Errorf("plimsoll explain: %v\n%s", err, out)
	}
	return string(out)
}

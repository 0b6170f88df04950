//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// An agent is killed while an alert of its container fires. That it is down is
// told, and nothing is told resolved until it is back and has seen that it is.
func TestAnAlertOfAKilledAgentResolvesWhenTheAgentHasSeenIt(t *testing.T) {
	e := engine.Start(t)
	eat := eater(t, e)
	webhook, got := sink(t)
	rules, config := alertingFiles(t, webhook)
	spool := t.TempDir()
	c := serve(t, "collector", "--data.path="+t.TempDir(), "--rules.file="+rules, "--alerting.config.file="+config)
	agent := func() *process {
		return alone(t, nil, "--node.name=n1", "--data.path="+spool, "--no-gpu", "--no-disk",
			"--docker.host="+e.Host(), "--collector.address="+c.grpc)
	}
	a := agent()
	c.eventually(time.Minute, `container_memory_rss{name="hungry"}`, some)
	stop := eat()
	of := func(name, status string, limit time.Duration) time.Duration {
		t.Helper()
		began := time.Now()
		for {
			m := next(t, got, limit)
			if m.Alerts[0].Labels["alertname"] == name && m.Status == status {
				return time.Since(began)
			}
			if m.Alerts[0].Labels["alertname"] == "MemoryHigh" {
				t.Fatalf("told of the memory while waiting for %s %s: %+v", name, status, m)
			}
		}
	}
	of("MemoryHigh", "firing", time.Minute)

	a.kill()
	t.Logf("AgentDown is told %v after its end", of("AgentDown", "firing", 2*time.Minute).Round(time.Second))
	c.eventually(time.Minute, `absent(container_memory_rss{name="hungry"})`, some)
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		select {
		case m := <-got:
			if m.Alerts[0].Labels["alertname"] == "MemoryHigh" {
				t.Fatalf("told of the memory while nobody could see it: %+v", m)
			}
		case <-time.After(time.Until(until)):
		}
	}
	if c.sum("plimsoll_alerting_held_alerts") < 1 {
		t.Error("no alert is said to be held")
	}

	stop()
	agent()
	t.Logf("resolved is told %v after the agent's return", of("MemoryHigh", "resolved", 3*time.Minute).Round(time.Second))
}

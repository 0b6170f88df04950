//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// listed asks the inventory for all of a kind.
func (p *process) listed(kind string) (items []map[string]any, err error) {
	var answer struct {
		Data struct {
			AsOf    *time.Time `json:"as_of"`
			Trouble []string
			Items   []map[string]any
		}
	}
	if err := p.get("/api/plimsoll/v1/inventory/"+kind, &answer); err != nil {
		return nil, err
	}
	if answer.Data.AsOf == nil || len(answer.Data.Trouble) > 0 {
		return nil, fmt.Errorf("as of %v, trouble %v", answer.Data.AsOf, answer.Data.Trouble)
	}
	return answer.Data.Items, nil
}

// eventuallyListed waits until one item of a kind has these fields.
func (p *process) eventuallyListed(kind string, fields map[string]any) map[string]any {
	p.t.Helper()
	var last string
	var found map[string]any
	if wait(time.Minute, func() bool {
		items, err := p.listed(kind)
		last = fmt.Sprint(items, err)
	item:
		for _, item := range items {
			for field, want := range fields {
				if fmt.Sprint(item[field]) != fmt.Sprint(want) {
					continue item
				}
			}
			found = item
			return true
		}
		return false
	}) < 0 {
		p.t.Fatalf("none of %s has %v; last answer: %s", kind, fields, last)
	}
	return found
}

func TestTheInventoryTellsWhatRunsWhatWasAskedForAndWhatCannotBeSeen(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "alone", engine.Image, "sleep", "1000")
	c := serve(t, "collector", "--data.path="+t.TempDir(), "--scaler.swarm-host="+e.Host())
	a := start(t, "agent", "--node.name=n1", "--data.path="+t.TempDir(), "--collector.address="+c.grpc, "--docker.host="+e.Host(), "--no-gpu", "--no-disk")
	n := c.eventuallyListed("nodes", map[string]any{"name": "n1", "state": "connected", "interval_seconds": 1})
	if sources, _ := n["sources"].([]any); len(sources) < 3 {
		t.Errorf("sources of the agent: %v", n["sources"])
	}
	c.eventuallyListed("containers", map[string]any{"name": "alone", "node": "n1", "state": "running", "image": engine.Image})

	e.Swarm() // only now, so that an engine without one was no trouble
	e.Service("web", []string{"--replicas", "2"}, "sleep", "1000")
	c.eventuallyListed("services", map[string]any{"platform": "swarm", "name": "web", "desired": 2, "running": 2, "ready": 2, "outdated": false})

	e.Docker("rm", "--force", "alone")
	c.eventuallyListed("containers", map[string]any{"name": "alone", "state": "ended"})

	a.kill()
	c.eventuallyListed("nodes", map[string]any{"name": "n1", "state": "lost"})
	s := c.eventuallyListed("services", map[string]any{"name": "web", "running": 0, "stale": 2, "desired": 2})
	t.Logf("node %v, service %v", n, s)
}

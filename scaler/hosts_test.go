package scaler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// spread is a workload whose replicas are heard on nodes, and its hosts.
type spread struct {
	hosts
	now  time.Time
	away []string
}

// see hears a replica on each of some nodes, while a number is ready.
func (s *spread) see(ready int, nodes ...string) []string {
	s.now = s.now.Add(time.Minute)
	heard := make([]Sample, len(nodes))
	for i, node := range nodes {
		heard[i].Labels = map[string]string{"node": node}
	}
	app := policy.App{Signals: []policy.Signal{{Source: policy.CPU}}}
	return s.lost(app, s.now, [][]Sample{heard}, ready, func(node string) bool { return slices.Contains(s.away, node) })
}

func (s *spread) expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("lost %v, want %v", got, want)
	}
}

func TestANodeThatIsHeardNoMoreWithItsReplicasIsLost(t *testing.T) {
	s := &spread{now: noon}
	s.expect(t, s.see(3, "a", "b", "c"))
	s.expect(t, s.see(3, "a", "b")) // c is late, but its agent is there
	s.away = []string{"c"}
	s.expect(t, s.see(3, "a", "b"), "c")
	s.expect(t, s.see(2, "a", "b")) // the platform has noticed
	s.expect(t, s.see(3, "a", "b")) // and starts one, which is not heard yet
}

func TestNodesAreRememberedOverARestart(t *testing.T) {
	s := &spread{hosts: hosts{nodes: []string{"a", "b", "c"}}, now: noon, away: []string{"c"}}
	s.expect(t, s.see(3, "a", "b"), "c")
}

// TestNodesThatComeAndGoAreForgotten has one replica always on a node without an
// agent, while the others move from node to node.
func TestNodesThatComeAndGoAreForgotten(t *testing.T) {
	s := &spread{now: noon}
	for i := range 200 {
		node := fmt.Sprint("n", i)
		s.see(2, node)
		s.away = append(s.away, node)
		if len(s.nodes) > 2 {
			t.Fatalf("remembers %v with two replicas", s.nodes)
		}
	}
	s.see(2, "last")
	if lost := s.see(2, "last"); len(lost) != 1 {
		t.Errorf("lost %v, want the one it was on before", lost)
	}
	for s.now.Before(noon.Add(201*time.Minute + hostMemory)) {
		s.see(2, "last")
	}
	s.expect(t, s.see(2, "last"))
}

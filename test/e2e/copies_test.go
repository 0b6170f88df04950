//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A machine is copied together with its agent: two agents think that they are
// one.
func TestCopiesOfAnAgentAreBothStoredAndComplainedOf(t *testing.T) {
	for name, end := range map[string]func(*process){"of a machine that was stopped": (*process).terminate, "of a machine that ran": (*process).kill} {
		t.Run(name, func(t *testing.T) {
			y, s := newYard(t), newSite(t, t.TempDir())
			c := s.start()
			original := t.TempDir()
			a := s.quickly(y, nil, "--data.path="+original, "--node.name=n1")
			c.eventually(patience, `plimsoll_agent_ticks_total{node="n1"} > 20`, some)
			end(a)
			before := 0
			for _, list := range c.frames("n1") {
				before = len(list)
			}
			clone := filepath.Join(t.TempDir(), "clone")
			if err := os.CopyFS(clone, os.DirFS(original)); err != nil {
				t.Fatal(err)
			}
			boot := filepath.Join(t.TempDir(), "boot")
			if err := os.WriteFile(boot, []byte("6d2c9a5e-7b1f-4e0a-9c59-0f4f0a3b7d10\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			a = s.quickly(y, nil, "--data.path="+original, "--node.name=n1")
			b := s.quickly(y, []string{"unshare", "--mount", "sh", "-c", "mount --bind " + boot + " /proc/sys/kernel/random/boot_id && exec \"$@\"", "sh"},
				"--data.path="+clone, "--node.name=n1")
			for _, p := range []*process{a, b} {
				if wait(time.Minute, func() bool {
					return p.own("plimsoll_agent_ticks_total") > 100 && p.own("plimsoll_agent_unacknowledged_batches") < 20
				}) < 0 {
					t.Errorf("%v of %v frames wait", p.own("plimsoll_agent_unacknowledged_batches"), p.own("plimsoll_agent_ticks_total"))
				}
			}
			// The past comes after the present, which may leave a hole for a moment.
			var spools map[string][]int
			var holes error
			if wait(patience, func() bool {
				spools, holes = c.frames("n1"), nil
				for id, list := range spools {
					for i, n := range list {
						if n != list[0]+i {
							holes = fmt.Errorf("%s: frame %d follows %d", id, n, list[i-1])
						}
					}
				}
				return holes == nil && len(spools) == 2
			}) < 0 {
				t.Errorf("frames of %d spools, want 2; %v", len(spools), holes)
			}
			for id, list := range spools {
				t.Logf("%s: %d frames from %d on", id, len(list), list[0])
				if list[0] > before+1 || len(list) < 80 {
					t.Errorf("%s: %d frames from %d on; %d were stored before there was a copy", id, len(list), list[0], before)
				}
			}
			if c.sum("plimsoll_collector_ingest_node_conflicts_total") == 0 || !strings.Contains(c.logged(), "give one of them another name") {
				t.Error("nobody is told that there are two")
			}
		})
	}
}

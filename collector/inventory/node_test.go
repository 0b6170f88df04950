package inventory_test

import (
	"testing"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
)

func TestANodeSaysHowItsAgentFares(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(0, "a", "1.0")
	for tick := range 60 {
		f.seconds(1, "a", "1.0")
		f.put(float64(tick), "plimsoll_agent_ticks_total", "node", "a")
		f.put(float64(tick/2), "plimsoll_agent_source_errors_total", "node", "a", "source", "gpu")
		f.put(0, "plimsoll_agent_source_errors_total", "node", "a", "source", "cgroup")
	}
	f.put(3, "plimsoll_agent_unacknowledged_batches", "node", "a")
	f.put(0.25, "plimsoll_collector_ingest_lag_seconds", "node", "a", "instance", "collector:9900")
	f.put(-1.5, "plimsoll_agent_clock_skew_seconds", "node", "a", "instance", "collector:9900")
	f.put(0, "plimsoll_agent_source_available", "node", "a", "file", "cgroup/pids.peak")
	f.put(1, "plimsoll_agent_source_available", "node", "a", "file", "cgroup/cpu.stat")
	f.refresh()
	n := f.inv.Nodes()[0]
	if *n.Interval != 1 || *n.Lag != 0.25 || *n.ClockOffset != -1.5 || *n.Backlog != 3 || !n.At.Equal(f.now) {
		t.Errorf("%+v", n)
	}
	expect(t, n.Missing, []string{"cgroup/pids.peak"})
	if len(n.Sources) != 2 || n.Sources[0].Name != "cgroup" || *n.Sources[0].Failing != 0 || *n.Sources[1].Failing < 0.4 || *n.Sources[1].Failing > 0.6 {
		t.Errorf("sources %+v", n.Sources)
	}
}

func TestWhatIsNotKnownOfANodeIsNull(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.inv.NodeSeen("a", "1.0", f.now)
	f.refresh()
	_, a := f.get(inventory.NodesPath)
	if len(a.Data.Items) != 1 {
		t.Fatalf("%+v", a.Data)
	}
	for _, field := range []string{"lag_seconds", "clock_offset_seconds", "unconfirmed_batches", "interval_seconds", "lost_at", "sources", "missing_files"} {
		if value, there := a.Data.Items[0][field]; !there || value != nil {
			t.Errorf("%s: %v, there %t; want null", field, value, there)
		}
	}
}

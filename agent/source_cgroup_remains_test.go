package agent

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

func TestEndOfAContainer(t *testing.T) {
	const usage, seen, ooms = "container_cpu_usage_seconds_total", "container_last_seen", "container_oom_events_total"
	t.Run("found by its removed group", func(t *testing.T) {
		h := newHarbour(t, "hybrid", web(), cron())
		h.skip(3)
		h.remove(web().Cgroup)
		want(t, h.sail(), "", usage, "web")
		if !slices.Contains(h.endedNames(), usage) || slices.Contains(h.endedNames(), seen) {
			t.Errorf("ended: %v", h.endedNames())
		}
		want(t, h.sail(), "0", usage, "cron")
	})
	t.Run("told, with a last reading", func(t *testing.T) {
		h := newHarbour(t, "hybrid", web())
		h.skip(3)
		h.write("unified/docker/"+busyID+"/cpu.stat", "usage_usec 999000000\n")
		h.there()
		got := h.sail()
		want(t, got, "999", usage, "web")
		want(t, got, "1", ooms, "web")
		want(t, h.sail(), "", usage, "web")
		if !slices.Contains(h.endedNames(), usage) {
			t.Errorf("ended: %v", h.endedNames())
		}
	})
	t.Run("leaves for five minutes when it was seen and what killed it", func(t *testing.T) {
		h := newHarbour(t, "hybrid", web())
		h.skip(4) // last seen 3 s after the start
		h.remove(web().Cgroup)
		h.there()
		for second := 4; second < 304; second++ {
			for _, value := range of(h.sail(), seen, "web") {
				if value != "1800000003" {
					t.Fatalf("second %d: last seen %s", second, value)
				}
			}
		}
		if got := h.sail(); len(of(got, seen, "web")) != 0 || !slices.Contains(h.endedNames(), ooms) {
			t.Errorf("after 5 minutes %v is left, %v ended", of(got, seen, "web"), h.endedNames())
		}
		if h.sail(); len(h.source.remains.list) != 0 {
			t.Error("still remembered")
		}
	})
	t.Run("by lack of memory is known from the engine", func(t *testing.T) {
		h := newHarbour(t, "hybrid", cron())
		want(t, h.sail(), "0", ooms, "cron")
		h.remove(cron().Cgroup)
		h.there()
		h.sail()
		h.ooms = []string{idleID, "somebody else"} // later than the end
		want(t, h.sail(), "1", ooms, "cron")
	})
	t.Run("of a child by lack of memory is told at once and counted once", func(t *testing.T) {
		h := newHarbour(t, "hybrid", cron())
		h.skip(2)
		h.write("memory/docker/"+idleID+"/memory.oom_control", "oom_kill 1\n")
		h.ooms = []string{idleID, idleID, idleID} // the same kill
		want(t, h.sail(), "1", ooms, "cron")
		h.ooms = []string{idleID} // late
		var last []string
		for range 15 {
			if v := of(h.sail(), ooms, "cron"); len(v) > 0 {
				last = v
			}
		}
		if len(last) != 1 || last[0] != "1" {
			t.Errorf("counted %v", last)
		}
	})
}

func TestRestartedContainerGoesOnWithItsCount(t *testing.T) {
	h := newHarbour(t, "v1", web())
	want(t, h.sail(), "1", "container_oom_events_total", "web")
	back := h.remove(web().Cgroup)
	h.sail()
	back()
	h.write("memory/docker/"+busyID+"/memory.oom_control", "oom_kill 2\n")
	seen := 0
	for range 4 {
		got := h.sail()
		seen += len(of(got, "container_cpu_usage_seconds_total", "web"))
		for _, n := range of(got, "container_oom_events_total", "web") {
			if n != "1" && n != "3" {
				t.Errorf("kills before and after the restart: %s, want 1 and then 3", n)
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d of 4 ticks after the restart have it", seen)
	}
	if n := len(h.source.remains.list); n != 0 {
		t.Errorf("%d remain beside it", n)
	}
}

// A container that is killed and restarted at once is listed all the time, and
// its group is another by the next tick.
func TestAKillThatRestartsAContainerIsCountedOnce(t *testing.T) {
	const ooms = "container_oom_events_total"
	for name, late := range map[string]int{"told before the end is seen": 0, "told while it ends": 1} {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, "v1", cron())
			want(t, h.sail(), "0", ooms, "cron")
			var last []string
			for kills := 1; kills <= 4; kills++ {
				back := h.remove(cron().Cgroup)
				for tick := range 20 {
					if tick == late {
						h.ooms = []string{idleID, idleID} // one kill, as version 1 has it told
					}
					if tick == 1 {
						back()
					}
					if v := of(h.sail(), ooms, "cron"); len(v) > 0 {
						last = v
					}
				}
				if len(last) != 1 || last[0] != strconv.Itoa(kills) {
					t.Fatalf("after %d kills counted %v", kills, last)
				}
			}
		})
	}
}

func TestKernelWithoutACountOfKillsLeavesItToTheEngine(t *testing.T) {
	const ooms = "container_oom_events_total"
	h := newHarbour(t, "v1", cron())
	h.write("memory/docker/"+idleID+"/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n")
	want(t, h.sail(), "", ooms, "cron")
	for _, kills := range []string{"1", "2"} {
		h.ooms = []string{idleID, idleID}
		want(t, h.sail(), kills, ooms, "cron")
	}
}

func TestContainerListedAgainAtOnceDoesNotRunIntoItsOwnEnd(t *testing.T) {
	h := newHarbour(t, "hybrid", web())
	h.sail()
	for range 10 { // harbour.collect checks the rest
		h.there()
		h.sail()
		h.there(web())
		h.sail()
	}
	h.skip(2)
	want(t, h.sail(), "0.12337", "container_cpu_usage_seconds_total", "web")
}

func TestOnlySoManyRemain(t *testing.T) {
	h := newHarbour(t, "v1")
	const n = maxRemains + 10
	for i := range n {
		c := discover.Container{Cgroup: fmt.Sprintf("/docker/%04d", i), Known: true}
		h.write("cpu,cpuacct"+c.Cgroup+"/cpuacct.usage", "1\n")
		h.list = append(h.list, c)
	}
	h.sail()
	h.there()
	h.skip(20)
	if len(h.source.remains.list) != maxRemains || h.source.remains.dropped != n-maxRemains {
		t.Errorf("%d remain, %d were dropped", len(h.source.remains.list), h.source.remains.dropped)
	}
}

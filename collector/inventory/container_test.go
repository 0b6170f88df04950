package inventory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
)

func expect(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

type states = map[string]inventory.State

func TestAContainerThatEndsIsListedForAWhileAsEnded(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(10, "a", "1.0", "web", "db")
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Running, "db": inventory.Running})

	f.ended("a", "db")
	f.seconds(20, "a", "1.0", "web")
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Running, "db": inventory.Ended})

	f.seconds(5*60, "a", "1.0", "web")
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Running})
}

func TestAContainerThatStartsAgainRuns(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(5, "a", "1.0", "web")
	f.refresh()
	f.ended("a", "web")
	f.seconds(30, "a", "1.0")
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Ended})
	f.seconds(2, "a", "1.0", "web")
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Running})
}

// What cannot be seen is not gone.
func TestTheContainersOfALostNodeAreStaleAndTheirAgeIsTold(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(10, "a", "1.0", "web")
	f.seconds(0, "b", "1.0")
	f.refresh()
	lost := f.now
	f.ended("a", "web") // as ingest ends all series of a node that it gives up
	f.inv.NodeLost("a", f.now)
	f.seconds(30*60, "b", "1.0")
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Stale})
	_, a := f.get(inventory.ContainersPath)
	if len(a.Data.Items) != 1 || a.Data.Items[0]["age_seconds"] != f.now.Sub(lost).Seconds() {
		t.Errorf("of %v ago: %v", f.now.Sub(lost), a.Data.Items)
	}

	f.pass(inventoryRemembers)
	f.refresh()
	expect(t, f.states(), states{})
}

const inventoryRemembers = 6 * time.Hour // by default

// The first that an agent tells when it is back may be of itself alone.
func TestTheContainersOfANodeThatIsBackHaveNotEndedBeforeItHadTimeToReadThem(t *testing.T) {
	for name, collectorToo := range map[string]bool{"only the agent was away": false, "the collector as well": true} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, inventory.Options{})
			f.seconds(10, "a", "1.0", "web", "db")
			f.refresh()
			f.ended("a", "web") // as ingest ends all series of a node that it gives up
			f.ended("a", "db")
			f.end("plimsoll_agent_build_info", "node", "a", "version", "1.0", "job", "plimsoll-agent")
			f.inv.NodeLost("a", f.now)
			f.pass(7 * time.Minute)
			if collectorToo {
				f.restart()
			}
			f.refresh()
			f.seconds(1, "a", "1.0")
			f.refresh()
			expect(t, f.states(), states{"web": inventory.Stale, "db": inventory.Stale})
			f.seconds(1, "a", "1.0", "web")
			f.refresh()
			expect(t, f.states(), states{"web": inventory.Running, "db": inventory.Stale})
			for range 15 {
				f.seconds(2, "a", "1.0", "web")
				f.refresh()
			}
			expect(t, f.states(), states{"web": inventory.Running})
		})
	}
}

func TestAnAgentThatIsConnectedAndSilentHasStaleContainers(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(10, "a", "1.0", "web")
	f.refresh()
	f.pass(20 * time.Second)
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Stale})
}

func TestARestartOfTheCollectorForgetsNothingThatTheStoreHas(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(60, "lost", "1.0", "web", "brief")
	f.ended("lost", "brief")
	f.seconds(8*60, "lost", "1.0", "web")
	f.ended("lost", "web")
	f.end("plimsoll_agent_build_info", "node", "lost", "version", "1.0", "job", "plimsoll-agent")
	silent := f.now
	f.seconds(40*60, "there", "1.1", "db")

	f.restart()
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Stale, "db": inventory.Running})
	nodes := map[string]inventory.Node{}
	for _, n := range f.inv.Nodes() {
		nodes[n.Name] = n
	}
	for name, version := range map[string]string{"lost": "1.0", "there": "1.1"} {
		if n := nodes[name]; !n.Recalled || n.Connected() || n.Version != version {
			t.Errorf("%s: %+v", name, n)
		}
	}
	if off := silent.Sub(nodes["lost"].Seen); off < 0 || off > 5*time.Minute {
		t.Errorf("last seen %v before the node fell silent", off)
	}

	// The agent that is back is connected, the other is given up.
	f.inv.NodeSeen("there", "1.2", f.now)
	f.inv.NodeLost("lost", f.now)
	f.refresh()
	_, a := f.get(inventory.NodesPath)
	got := map[string]any{}
	for _, n := range a.Data.Items {
		got[n["name"].(string)] = n["state"]
	}
	expect(t, got, map[string]any{"lost": "lost", "there": "connected"})
	expect(t, f.states(), states{"web": inventory.Stale, "db": inventory.Running})
}

// Whoever waits for the nodes, say to scale, does not wait for the rest.
func TestNodesAreRecalledThoughThereAreTooManyContainers(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(10, "a", "1.0", "web")
	answer, asked := f.opts.Query, 0
	f.opts.Query = func(ctx context.Context, promql string, at time.Time) ([]query.Sample, error) {
		if strings.Contains(promql, "max_over_time") {
			asked++
		}
		if strings.Contains(promql, "max_over_time((container_last_seen") {
			return nil, errors.New("too many samples")
		}
		return answer(ctx, promql, at)
	}
	f.restart()
	for range 2 {
		asked = 0
		if err := f.inv.Refresh(t.Context(), f.now); err == nil {
			t.Error("nobody tells that containers are not known")
		}
	}
	if !f.inv.Recalled() || len(f.inv.Nodes()) != 1 {
		t.Errorf("recalled: %v, %d nodes", f.inv.Recalled(), len(f.inv.Nodes()))
	}
	expect(t, f.states(), states{"web": inventory.Running})
	if asked != 1 {
		t.Errorf("%d questions about the past, want the one that was not answered", asked)
	}
}

func TestWhatTheStoreDoesNotAnswerStaysAndGetsOlder(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	_, a := f.get(inventory.ContainersPath)
	if a.Data.AsOf != nil || a.Data.Items == nil {
		t.Errorf("before the first reading: as of %v, items %v", a.Data.AsOf, a.Data.Items)
	}
	f.seconds(10, "a", "1.0", "web")
	f.refresh()
	read := f.now
	f.away = true
	f.pass(time.Minute)
	if err := f.inv.Refresh(t.Context(), f.now); err == nil {
		t.Error("no error from a store that does not answer")
	}
	expect(t, f.states(), states{"web": inventory.Stale})
	_, a = f.get(inventory.ContainersPath)
	if a.Data.AsOf == nil || !a.Data.AsOf.Equal(read) || len(a.Data.Trouble) == 0 {
		t.Errorf("as of %v, want %v; trouble %v", a.Data.AsOf, read, a.Data.Trouble)
	}
	f.away = false
	f.seconds(1, "a", "1.0", "web")
	f.refresh()
	expect(t, f.states(), states{"web": inventory.Running})
}

func TestPastTheBoundThoseThatRunAreListedAndTheOthersCounted(t *testing.T) {
	f := newFleet(t, inventory.Options{Containers: 3})
	f.seconds(10, "a", "1.0", "old1", "old2")
	f.refresh()
	f.ended("a", "old1")
	f.ended("a", "old2")
	f.seconds(20, "a", "1.0", "new1", "new2")
	f.refresh()
	if s := f.states(); len(s) != 3 || s["new1"] != inventory.Running || s["new2"] != inventory.Running {
		t.Errorf("listed: %v", s)
	}
	if _, a := f.get(inventory.ContainersPath); a.Data.LeftOut != 1 {
		t.Errorf("%d left out, want 1", a.Data.LeftOut)
	}
}

func TestPodsAndSandboxesAreNoContainers(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	const pod = "/kubepods/burstable/pod0b5c2a4e-6d0f-4f6b-9a51-1f2d3c4b5a69"
	f.pass(time.Second)
	f.report("a", "1.0")
	f.inv.NodeSeen("a", "1.0", f.now)
	for _, l := range [][]string{
		{"id", "/"},
		{"id", pod, "namespace", "shop", "pod", "web-0"},
		{"id", pod + "/sandbox", "namespace", "shop", "pod", "web-0", "image", "pause:3.10"},
		{"id", pod + "/app", "namespace", "shop", "pod", "web-0", "container", "app", "image", "shop/web:1"},
	} {
		l = append(l, "node", "a")
		f.put(float64(f.now.Unix()), "container_last_seen", l...)
		f.put(1, "container_cpu_usage_seconds_total", append(l, "cpu", "total")...)
	}
	f.put(1, "container_health_state", "id", pod+"/app", "node", "a", "namespace", "shop", "pod", "web-0", "container", "app", "image", "shop/web:1")
	f.refresh()
	list := f.inv.Containers()
	if len(list) != 1 || list[0].Name != "app" || list[0].Namespace != "shop" || list[0].Pod != "web-0" || list[0].Healthy == nil || !*list[0].Healthy {
		t.Errorf("%+v", list)
	}
}

func TestARequestSelectsAndLimits(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	for i := range 3 {
		f.seconds(1, fmt.Sprint("n", i), "1.0", fmt.Sprint("web", i), fmt.Sprint("db", i))
	}
	f.refresh()
	for path, want := range map[string][2]int{ // items, total
		"":                         {6, 6},
		"?node=n1":                 {2, 2},
		"?state=running&limit=4":   {4, 6},
		"?state=ended":             {0, 0},
		"?service=nothing&node=n1": {0, 0},
	} {
		code, a := f.get(inventory.ContainersPath + path)
		if code != 200 || a.Status != "success" || len(a.Data.Items) != want[0] || a.Data.Total != want[1] {
			t.Errorf("%s: %d, %d of %d; want %v", path, code, len(a.Data.Items), a.Data.Total, want)
		}
	}
	for _, path := range []string{"?limit=0", "?limit=x", "?limit=20001", "?nodes=n1"} {
		if code, a := f.get(inventory.ContainersPath + path); code != 400 || a.ErrorType != "bad_data" || a.Error == "" {
			t.Errorf("%s: %d, %+v", path, code, a)
		}
	}
}

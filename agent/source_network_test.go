package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func TestNetworkSourceNeedsToBeToldOfContainers(t *testing.T) {
	if _, err := NetworkSource(NetworkOptions{}); err == nil {
		t.Error("no error")
	}
}

func TestNetworkExposition(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0", "eth1", "docker0", "veth12345678")
	l.network("empty", 2000)
	l.process(100, 50, "shop")
	l.process(101, 60, "shop")
	l.process(102, 61, "node")
	l.process(103, 62, "empty")
	l.container("a-sidecar", 101)
	l.container("web", 100)
	l.container("exporter", 102)
	l.container("batch", 103)
	golden(t, "golden_network.prom", exposition(func() *sample.Batch { l.pass(); return &l.batch }()))
}

func TestANetworkCountsForTheContainerThatStartedFirst(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0")
	l.process(101, 60, "shop")
	l.process(100, 50, "shop")
	l.container("a", 101)
	l.container("b", 100)
	wantNetworkCarriers(t, l.lane(5), "b")
}

func TestANetworkStaysWithItsContainerUntilThatEnds(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0")
	for pid, started := range map[int]int{100: 50, 101: 60, 102: 40} {
		l.process(pid, started, "shop")
	}
	l.container("b", 100)
	l.container("c", 101)
	l.pass()
	l.container("a", 102)
	l.list[0], l.list[2] = l.list[2], l.list[0] // whatever the order, and what its process says: it came later
	wantNetworkCarriers(t, l.lane(21), "b")

	l.exit(100)
	l.remove("b")
	got := l.lane(2) // whatever its lane
	wantNetworkCarriers(t, got, "a")
	want(t, got, "1000", "container_network_receive_bytes_total", `name="a"`)
}

// The control group may outlive the process, and the word of its end be late.
func TestANetworkPassesOnWithTheLastProcess(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0")
	l.process(100, 50, "shop")
	l.process(101, 60, "shop")
	l.container("a", 100)
	l.container("b", 101)
	wantNetworkCarriers(t, l.lane(5), "a")
	l.exit(100)
	l.has("a")
	l.lane(6)
	wantNetworkCarriers(t, l.lane(5), "b")
}

func TestTheNetworkOfAPodIsItsSandboxes(t *testing.T) {
	l := newNetworkTree(t)
	l.network("pod", 1000, "eth0")
	for pid := range 3 {
		l.process(100+pid, 50+pid, "pod")
	}
	l.container("app", 100)
	wantNetworkCarriers(t, l.lane(5), "app")
	l.container("pause", 101).Kind = discover.Sandbox
	l.container("the pod", 102).Kind = discover.Pod
	wantNetworkCarriers(t, l.pass(), "pause")
	if len(l.ended) != 1 {
		t.Errorf("%d groups ended, want the traffic of the app", len(l.ended))
	}

	l.list = slices.Clone(l.list) // what it is becomes known later
	l.list[0].Kind, l.list[1].Kind = discover.Sandbox, discover.Workload
	l.version++
	l.pass()
	wantNetworkCarriers(t, l.lane(5), "app")
}

func TestAProcessThatEndsIsReplacedByAnotherOfItsContainer(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0")
	l.network("nested", 2000, "eth0")
	l.process(100, 50, "shop")
	l.process(101, 60, "shop")
	l.process(102, 70, "nested")
	l.container("web", 102, 101, 100)
	l.pass()
	l.exit(100)
	l.has("web", 102, 101)
	got := l.lane(5)
	want(t, got, "1000", "container_network_receive_bytes_total")
	if len(l.batch.Ended) > 0 {
		t.Error("its series ended")
	}
}

// It starts again in a control group of the same path.
func TestAContainerThatStartsAgainKeepsItsSeries(t *testing.T) {
	l := newNetworkTree(t)
	l.network("old", 1000, "eth0")
	l.network("new", 2000, "eth0")
	l.process(100, 50, "old")
	l.container("web", 100)
	l.pass()
	l.exit(100)
	l.process(101, 60, "new")
	l.has("web", 101)
	want(t, l.lane(5), "2000", "container_network_receive_bytes_total")
	if len(l.ended) > 0 {
		t.Errorf("%d groups ended", len(l.ended))
	}
}

func TestAnInterfaceEndsWithItself(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0", "eth1")
	l.process(100, 50, "shop")
	l.container("web", 100)
	l.pass()
	l.network("shop", 1000, "eth0", "eth2")
	want(t, l.lane(5), "1100", "container_network_receive_bytes_total", `interface="eth2"`)
	if len(l.ended) != 1 {
		t.Errorf("%d groups ended, want that of eth1", len(l.ended))
	}
}

func TestWhatCannotBeReadIsUnknownAndEndsNothing(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0")
	l.process(100, 50, "shop")
	l.process(101, 60, "shop")
	l.container("web", 100)
	l.container("sidecar", 101)
	l.lane(20)
	l.put(filepath.Join(l.proc, "networks/shop/dev"), "eth0: what\n")
	failed, told := false, false
	for range 5 {
		got, err := l.try()
		failed = failed || err != nil
		wantNetworkCarriers(t, got)
		for _, c := range l.batch.Columns {
			told = told || c.Group.Series[0].Metric.Name == "container_network_receive_bytes_total"
		}
	}
	if !failed || !told {
		t.Error("nobody says so")
	}
	l.network("shop", 1000, "eth0")
	wantNetworkCarriers(t, l.lane(5), "web")
	if len(l.ended) > 0 {
		t.Errorf("%d groups ended", len(l.ended))
	}
}

func TestContainersWithoutProcessesAreSeldomSearched(t *testing.T) {
	l := newNetworkTree(t)
	l.container("web")
	for range 600 {
		_, _ = l.try()
	}
	if n := l.member("web").misses; n > mostMisses+600/60+1 {
		t.Errorf("%d searches in 600 ticks", n)
	}
	l.network("shop", 1000, "eth0")
	l.process(100, 50, "shop")
	l.has("web", 100)
	for range 60 {
		_, _ = l.try()
	}
	wantNetworkCarriers(t, l.lane(5), "web") // in its lane again
}

func TestHiddenProcessesHaveAReason(t *testing.T) {
	const available = `plimsoll_agent_source_available{file="proc/PID/net/dev",job="plimsoll-agent"}`
	tests := map[string]struct {
		pids  []int
		want  string
		fails bool
	}{
		"of another pid namespace":  {[]int{0}, "0", true},
		"not in this /proc":         {[]int{100}, "0", true},
		"there is one":              {[]int{1}, "1", false},
		"there is one among others": {[]int{0, 100, 1}, "1", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newNetworkTree(t)
			l.container("web", tt.pids...)
			var last error
			got := ""
			for range 31 {
				told, err := l.try()
				if v, ok := told[available]; ok {
					got, last = v, err
				}
			}
			if got != tt.want || tt.fails != errors.Is(last, ErrNetworkHidden) {
				t.Errorf("available %q, %v, want %s", got, last, tt.want)
			}
		})
	}
	t.Run("without containers nobody knows", func(t *testing.T) {
		if got := newNetworkTree(t).lane(31); got[available] != "" {
			t.Errorf("available %s", got[available])
		}
	})
}

func TestTheNodesNetworkHasToBeKnown(t *testing.T) {
	l := newNetworkTree(t)
	l.exit(1)
	l.network("shop", 1000, "eth0")
	l.process(100, 50, "shop")
	l.container("web", 100)
	got, err := l.try()
	wantNetworkCarriers(t, got)
	if err == nil {
		t.Error("no error")
	}
	l.process(1, 1, "node")
	wantNetworkCarriers(t, l.pass(), "web")
}

func TestNamesOfInterfacesAreTextAndStayDifferent(t *testing.T) {
	l := newNetworkTree(t)
	l.network("odd", 1000, "a\xff", "a\xfe", `a\xff`, "a\x01", `a"b`, "ü", "😀")
	l.process(100, 50, "odd")
	l.container("web", 100)
	got := of(l.pass(), "container_network_receive_bytes_total")
	if len(got) != 7 {
		t.Errorf("%d interfaces, want 7", len(got))
	}
	for _, c := range l.batch.Columns {
		for _, label := range c.Group.Labels {
			if !utf8.ValidString(label.Value) || strings.ContainsRune(label.Value, 1) {
				t.Errorf("%s=%q", label.Name, label.Value)
			}
		}
	}
}

func TestInterfacesLeftOutAreCounted(t *testing.T) {
	l := newNetworkTree(t)
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("eth%d", i))
	}
	l.network("many", 0, names...)
	l.process(100, 50, "many")
	l.container("web", 100)
	got := l.lane(16)
	want(t, got, "36", "plimsoll_agent_container_interfaces_left_out")
	if n := len(of(got, "container_network_receive_bytes_total")); n != 64 {
		t.Errorf("%d interfaces, want 64", n)
	}
}

func TestAContainerWithAnotherNameHasOtherSeries(t *testing.T) {
	l := newNetworkTree(t)
	l.network("shop", 1000, "eth0")
	l.process(100, 50, "shop")
	l.process(101, 40, "shop")
	l.container("web", 100)
	l.pass()
	l.container("sidecar", 101)
	l.pass()
	l.list = slices.Clone(l.list)
	l.list[0].Name = "shop"
	l.version++
	wantNetworkCarriers(t, l.lane(6), "shop")
}

func TestDescriptorsAreBoundedAndGivenBack(t *testing.T) {
	before := networkDescriptors(t)
	l := newNetworkTree(t)
	const most, containers = 3, 8
	l.source.Close()
	l.open(NetworkOptions{Proc: l.proc, MaxOpen: most})
	for i := range containers {
		l.network(strconv.Itoa(i), 1000, "eth0")
		l.process(100+i, 50, strconv.Itoa(i))
		l.container("web"+strconv.Itoa(i), 100+i)
	}
	for range 20 {
		l.pass()
		if l.source.held > most {
			t.Fatalf("%d descriptors", l.source.held)
		}
	}
	got := l.lane(15)
	if n := len(networkCarriers(got)); n != containers {
		t.Errorf("%d containers are read, want %d", n, containers)
	}
	want(t, got, strconv.Itoa(most), "plimsoll_agent_container_network_descriptors")
	l.list, l.version = l.list[:1], l.version+1
	l.lane(15)
	if l.source.held != 1 {
		t.Errorf("%d descriptors for one container", l.source.held)
	}
	l.source.Close()
	if after := networkDescriptors(t); after > before {
		t.Errorf("%d descriptors, before there were %d", after, before)
	}
}

func networkDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNetworkReadingAllocatesNothing(t *testing.T) {
	l := newNetworkTree(t)
	for i := range 6 {
		l.network(strconv.Itoa(i), 1000, "eth0", fmt.Sprintf("eth%d", i))
		l.process(100+2*i, 50, strconv.Itoa(i))
		l.process(101+2*i, 50, strconv.Itoa(i))
		l.container("web"+strconv.Itoa(i), 100+2*i)
		l.container("sidecar"+strconv.Itoa(i), 101+2*i)
	}
	ctx := context.Background()
	round := func() {
		for range 60 {
			l.batch.Reset(l.tick, time.Unix(int64(l.tick), 0))
			l.tick++
			if err := l.source.Collect(ctx, &l.batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(3, round); n != 0 {
		t.Errorf("%v allocations in 60 ticks", n)
	}
}

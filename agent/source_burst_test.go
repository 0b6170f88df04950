package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/burst"
	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// burstNode is a node as far as the source sees it: a version 2 tree of files, in
// virtual time.
type burstNode struct {
	t          *testing.T
	root       string
	version    uint64
	containers []discover.Container
	wanted     map[string]time.Duration
	used       map[string]time.Duration // CPU time
	source     *Burst
	ticks      uint64
	err        error // of the last tick
	ended      map[*sample.Group]bool
}

func inBurstBubble(t *testing.T, test func(n *burstNode)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &burstNode{
			t: t, root: t.TempDir(), wanted: map[string]time.Duration{}, used: map[string]time.Duration{},
			ended: map[*sample.Group]bool{},
		}
		n.write("cgroup.controllers", "cpu memory")
		var err error
		n.source, err = BurstSource(BurstOptions{
			Lane: burst.Options{Root: n.root, Triggers: -1, Most: 20}, Lanes: DefaultLanes(),
			Containers: func() (uint64, []discover.Container) { return n.version, n.containers },
			Wanted:     func(c *discover.Container) time.Duration { return n.wanted[c.Name] },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- n.source.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ran; err != nil {
				t.Error(err)
			}
			if err := n.source.Close(); err != nil {
				t.Error(err)
			}
		}()
		<-time.After(5 * time.Millisecond) // so that no tick falls on a reading
		test(n)
	})
}

func (n *burstNode) write(name, content string) {
	n.t.Helper()
	path := filepath.Join(n.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// start starts a container.
func (n *burstNode) start(name string, labels map[string]string) {
	n.containers = append(n.containers, discover.Container{
		Cgroup: "/" + name, Runtime: "docker", Known: true, Name: name, Image: "shop:1", Labels: labels,
	})
	n.version++
	n.use(name, 0)
}

// use has a container use CPU time at once.
func (n *burstNode) use(name string, cpu time.Duration) {
	n.used[name] += cpu
	us := n.used[name].Microseconds()
	n.write(name+"/cpu.stat", fmt.Sprintf("usage_usec %d\nnr_periods 10\nnr_throttled 1\nthrottled_usec %d\n", us, us/4))
	n.write(name+"/memory.current", fmt.Sprintln(1<<20+us))
}

// tick is a second of the agent. It returns the samples without the lane's own.
func (n *burstNode) tick() map[string]string {
	n.t.Helper()
	<-time.After(time.Second)
	b := new(sample.Batch)
	b.Reset(n.ticks, time.Now())
	n.ticks++
	for _, c := range n.containers { // as the source of containers does
		used := cgroup.Nanoseconds(n.used[c.Name])
		n.source.Saw(c.Cgroup, cgroup.Opt[cgroup.Nanoseconds]{V: used, OK: true}, cgroup.Opt[cgroup.Nanoseconds]{}, cgroup.Opt[uint64]{V: 1 << 20, OK: true})
	}
	n.err = n.source.Collect(n.t.Context(), b)
	for _, c := range b.Columns {
		if n.ended[c.Group] || c.Group.Every == 0 {
			n.t.Errorf("a group came after its end, or without a lane: %v", c.Group)
		}
	}
	for _, g := range b.Ended {
		if n.ended[g] {
			n.t.Error("a group ended twice")
		}
		n.ended[g] = true
	}
	got := values(b)
	for series := range got {
		if strings.HasPrefix(series, "plimsoll_agent_") {
			delete(got, series)
		}
	}
	return got
}

// names are the containers that have samples.
func names(samples map[string]string) (list string) {
	for _, name := range []string{"web", "db", "idle"} {
		for series := range samples {
			if strings.HasPrefix(series, "plimsoll_container_cpu_burst_max_ratio") && strings.Contains(series, `name="`+name+`"`) {
				list += name + " "
			}
		}
	}
	return strings.TrimSpace(list)
}

func TestAJumpBetweenTwoTicksBeginsABurstWhoseSeriesEndWithIt(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		n.start("web", nil)
		n.start("idle", nil)
		for range 3 {
			if got := n.tick(); len(got) > 0 {
				t.Fatalf("samples of containers with which nothing is the matter: %v", got)
			}
		}
		n.use("web", time.Second)
		if got := n.tick(); len(got) > 0 {
			t.Fatalf("samples at the moment of the jump: %v", got)
		}
		<-time.After(130 * time.Millisecond) // in the second window, the first that is whole
		n.use("web", 50*time.Millisecond)
		got := n.tick()
		const labels = `{id="/web",image="shop:1",job="plimsoll-agent",name="web"}`
		want := map[string]string{
			"plimsoll_container_cpu_burst_max_ratio" + labels:            "0.5",
			"plimsoll_container_cpu_throttled_burst_max_ratio" + labels:  "0.125",
			"plimsoll_container_memory_usage_burst_max_bytes" + labels:   fmt.Sprint(1<<20 + 1_050_000),
			"plimsoll_container_memory_usage_burst_mean_bytes" + labels:  "",
			"plimsoll_container_cpu_burst_mean_ratio" + labels:           "",
			"plimsoll_container_cpu_throttled_burst_mean_ratio" + labels: "",
		}
		for series, value := range want {
			if v, ok := got[series]; !ok || value != "" && v != value {
				t.Errorf("%s is %q, want %s", series, v, value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("got %v", got)
		}
		for range 28 {
			if got := n.tick(); names(got) != "web" {
				t.Fatalf("in burst: %v", got)
			}
		}
		n.tick()
		if got := n.tick(); len(got) > 0 || len(n.ended) != 1 {
			t.Errorf("got %v, %d groups have ended", got, len(n.ended))
		}
		n.use("web", time.Second) // and again, as another group
		n.tick()
		if got := n.tick(); names(got) != "web" {
			t.Errorf("got %v", got)
		}
	})
}

func TestAContainerThatLeavesOrIsRenamedInABurstEndsItsSeries(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		n.start("web", nil)
		n.tick()
		n.source.lane.Begin("/web", burst.CPUPressure)
		n.tick()
		n.containers[0].Name, n.used["shop"] = "shop", n.used["web"]
		n.version++
		if got := n.tick(); len(n.ended) != 1 || names(got) != "" || len(got) != 6 {
			t.Errorf("got %v, %d groups have ended", got, len(n.ended))
		}
		n.containers, n.version = nil, n.version+1
		if got := n.tick(); len(n.ended) != 2 || len(got) > 0 {
			t.Errorf("got %v, %d groups have ended", got, len(n.ended))
		}
		if s := n.source.lane.Stats(); s.Groups != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestContainersAskForTheirResolution(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		n.start("web", map[string]string{ResolutionLabel: "200ms"})
		n.start("db", map[string]string{ResolutionLabel: "50ms"})
		n.start("idle", nil)
		n.containers = append(n.containers, discover.Container{Cgroup: "/pod", Kind: discover.Pod, Labels: map[string]string{ResolutionLabel: "1s"}})
		n.tick()
		if n.err == nil || !strings.Contains(n.err.Error(), `container db: label plimsoll.resolution is "50ms": allowed are 100ms to 1s`) {
			t.Errorf("error %v", n.err)
		}
		n.tick()
		before := n.source.lane.Stats().Readings
		for range 60 {
			if got := n.tick(); names(got) != "web" || n.err != nil {
				t.Fatalf("in burst: %v, error %v", got, n.err)
			}
		}
		if readings := n.source.lane.Stats().Readings - before; readings != 5*60 {
			t.Errorf("%d readings in a minute, want five a second", readings)
		}
		// What comes back under its name is read again.
		if err := os.RemoveAll(filepath.Join(n.root, "web")); err != nil {
			t.Fatal(err)
		}
		n.source.lane.Follow(nil) // the kernel would say that it is gone
		n.tick()
		n.use("web", 0)
		n.source.followed = false
		n.tick()
		n.tick()
		if got := n.tick(); names(got) != "web" {
			t.Errorf("in burst: %v", got)
		}
	})
}

// As those of a pod do, which kubelet tells after the runtime's files have told
// its name.
func TestALabelThatComesLateIsHeeded(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		n.start("web", nil)
		n.tick()
		n.containers = slices.Clone(n.containers)
		n.containers[0].Labels = map[string]string{ResolutionLabel: "200ms"}
		n.version++
		n.tick()
		n.tick()
		if got := n.tick(); names(got) != "web" {
			t.Errorf("in burst: %v", got)
		}
		n.containers = slices.Clone(n.containers)
		n.containers[0].Labels = nil
		n.version++
		n.tick()
		n.tick()
		if got := n.tick(); names(got) != "" {
			t.Errorf("in burst: %v", got)
		}
	})
}

func TestSomebodyElseMayWantAResolutionForAWhile(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		n.start("web", map[string]string{ResolutionLabel: "1s"})
		n.start("db", nil)
		n.tick()
		n.wanted["web"], n.wanted["db"] = 500*time.Millisecond, 250*time.Millisecond
		n.tick()
		n.tick()
		before := n.source.lane.Stats().Readings
		if got := n.tick(); names(got) != "web db" {
			t.Errorf("in burst: %v", got)
		}
		if readings := n.source.lane.Stats().Readings - before; readings != 6 {
			t.Errorf("%d readings in a second, want two and four", readings)
		}
		clear(n.wanted)
		n.tick()
		n.tick()
		before = n.source.lane.Stats().Readings
		if got := n.tick(); names(got) != "web" {
			t.Errorf("in burst: %v", got)
		}
		if readings := n.source.lane.Stats().Readings - before; readings != 1 {
			t.Errorf("%d readings in a second, want one", readings)
		}
	})
}

func TestThoseForWhomThereIsNoRoomAreCounted(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		for i := range 18 {
			n.start(fmt.Sprint("c", i), map[string]string{ResolutionLabel: "100ms"})
		}
		n.tick()
		if n.source.leftOut != 2 || n.source.lane.Stats().Groups != 16 {
			t.Errorf("%d left out, %+v", n.source.leftOut, n.source.lane.Stats())
		}
		n.containers, n.version = n.containers[2:], n.version+1
		n.tick()
		n.tick()
		if n.source.leftOut != 0 {
			t.Errorf("%d left out after two have gone", n.source.leftOut)
		}
	})
}

// The kernel cannot say which of them waits, as on a tree that may only be read.
func TestUnderPressureOfTheNodeItsBusiestContainersAreLookedAt(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		for i := range 8 {
			n.start(fmt.Sprint("c", i), nil)
		}
		load := func() {
			for i := range 8 {
				n.use(fmt.Sprint("c", i), time.Duration(i)*100*time.Millisecond)
			}
			n.tick()
		}
		n.tick()
		load()
		load()
		if s := n.source.lane.Stats(); s.Groups != 0 {
			t.Fatalf("%+v while nothing is the matter", s)
		}
		n.source.pressed()
		s := n.source.lane.Stats()
		if s.Begun[burst.NodePressure] != busiest || s.Groups != busiest {
			t.Errorf("%+v", s)
		}
		for _, r := range n.source.lane.Take(nil) {
			if r.Group < "/c4" {
				t.Errorf("%s is in burst, and others are busier", r.Group)
			}
		}
	})
}

func TestTheBurstLaneReportsOnItself(t *testing.T) {
	inBurstBubble(t, func(n *burstNode) {
		n.start("web", nil)
		n.source.crew.update(new(sample.Batch))
		n.source.follow()
		n.source.lane.Begin("/web", burst.Throttling)
		<-time.After(time.Second)
		var b sample.Batch
		b.Reset(5, time.Now())
		if err := n.source.Collect(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		got := values(&b)
		for series, want := range map[string]string{
			`plimsoll_agent_burst_containers{job="plimsoll-agent"}`:                                            "1",
			`plimsoll_agent_bursts_total{cause="throttling",job="plimsoll-agent"}`:                             "1",
			`plimsoll_agent_bursts_total{cause="asked",job="plimsoll-agent"}`:                                  "0",
			`plimsoll_agent_burst_readings_total{job="plimsoll-agent"}`:                                        "11",
			`plimsoll_agent_burst_readings_late_total{job="plimsoll-agent"}`:                                   "0",
			`plimsoll_agent_burst_readings_blurred_total{job="plimsoll-agent"}`:                                "0",
			`plimsoll_agent_burst_readings_failed_total{job="plimsoll-agent"}`:                                 "0",
			`plimsoll_agent_burst_refused_total{job="plimsoll-agent"}`:                                         "0",
			`plimsoll_agent_burst_displaced_total{job="plimsoll-agent"}`:                                       "0",
			`plimsoll_agent_burst_left_out{job="plimsoll-agent"}`:                                              "0",
			`plimsoll_agent_burst_triggers{job="plimsoll-agent"}`:                                              "0",
			`plimsoll_agent_burst_triggers_left_out{job="plimsoll-agent"}`:                                     "0",
			`plimsoll_agent_bursts_total{cause="cpu_pressure",job="plimsoll-agent"}`:                           "0",
			`plimsoll_container_cpu_burst_max_ratio{id="/web",image="shop:1",job="plimsoll-agent",name="web"}`: "0",
		} {
			if got[series] != want {
				t.Errorf("%s is %q, want %s", series, got[series], want)
			}
		}
	})
}

// Without root or a kernel that has it, pressure cannot be watched; that is said.
func TestThatPressureCannotBeWatchedIsSaid(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(root+"/cgroup.controllers", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := BurstSource(BurstOptions{
		Lane: burst.Options{Root: root, Proc: root}, Containers: func() (uint64, []discover.Container) { return 0, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b sample.Batch
	s.health.collect(&b, s.lane, 0)
	if n := len(s.health.there); n != 4 {
		t.Errorf("told of %d files", n)
	}
	for series := range values(&b) {
		if strings.HasPrefix(series, "plimsoll_agent_source_available") {
			t.Errorf("%s is there, and was never tried", series)
		}
	}
}

func TestATickOfTheBurstSourceAllocatesNothing(t *testing.T) {
	n := &burstNode{t: t, root: t.TempDir(), used: map[string]time.Duration{}}
	n.write("cgroup.controllers", "cpu memory")
	for i := range 20 {
		n.start(fmt.Sprint("c", i), nil)
	}
	s, err := BurstSource(BurstOptions{
		Lane: burst.Options{Root: n.root, Triggers: -1}, Lanes: DefaultLanes(),
		Containers: func() (uint64, []discover.Container) { return n.version, n.containers },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	defer func() { cancel(); <-ran; s.Close() }()
	go func() { ran <- s.Run(ctx) }()
	b := new(sample.Batch)
	usage := cgroup.Opt[cgroup.Nanoseconds]{V: 1, OK: true}
	tick := func() {
		b.Reset(b.Tick+1, b.Time.Add(time.Second))
		for i := range n.containers {
			s.Saw(n.containers[i].Cgroup, usage, usage, cgroup.Opt[uint64]{})
		}
		if err := s.Collect(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	tick()
	for i := range n.containers {
		s.lane.Begin(n.containers[i].Cgroup, burst.CPUPressure)
	}
	deadline := time.After(time.Minute)
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for series := 0; series < 20; {
		select {
		case <-deadline:
			t.Fatal("not all are in burst")
		case <-every.C:
		}
		tick()
		series = 0
		for _, kept := range s.crew.all {
			if kept.group != nil {
				series++
			}
		}
	}
	if n := testing.AllocsPerRun(100, tick); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

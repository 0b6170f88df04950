package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/disk"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// diskNode is a node whose containers' layers are what a test says. It lives in a
// bubble: a tick is a second of virtual time.
type diskNode struct {
	t          *testing.T
	version    uint64
	containers []discover.Container
	source     *diskSource
	ticks      uint64
	batch      sample.Batch

	mu     sync.Mutex
	layers map[string]diskReading   // by container
	takes  map[string]time.Duration // how long a walk takes
	hangs  map[string]chan struct{} // it ends when that is closed
	walked map[string][]time.Time   // when walks began
}

var someUsage = disk.Usage{
	Bytes: 33_632_256, Inodes: 12, Entries: 13,
	Backing: disk.Backing{Major: 8, Minor: 1, SizeBytes: 270_000_000_000, Files: 16_000_000, FilesFree: 15_000_000},
}

func newDiskNode(t *testing.T, names ...string) *diskNode {
	n := &diskNode{
		t: t, version: 1,
		layers: make(map[string]diskReading), takes: make(map[string]time.Duration),
		hangs: make(map[string]chan struct{}), walked: make(map[string][]time.Time),
	}
	for _, name := range names {
		n.containers = append(n.containers, diskContainerNamed(name))
		n.layers["/docker/"+name] = diskReading{usage: someUsage, device: "/dev/sda1"}
	}
	n.source = newDiskSource(DiskOptions{
		Containers: func() (uint64, []discover.Container) { return n.version, n.containers },
		Lanes:      DefaultLanes(),
	}, n.measure, func() {})
	t.Cleanup(func() { n.source.Close() })
	return n
}

func diskContainerNamed(name string) discover.Container {
	return discover.Container{Cgroup: "/docker/" + name, ID: name, Runtime: "docker", Known: true, Name: name, Image: "shop:1"}
}

func (n *diskNode) measure(ctx context.Context, _ *disk.Walker, group string) diskReading {
	n.mu.Lock()
	reading, takes, hangs := n.layers[group], n.takes[group], n.hangs[group]
	n.walked[group] = append(n.walked[group], time.Now())
	n.mu.Unlock()
	if reading.device == "panic" {
		panic("no such device")
	}
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return diskReading{result: diskFailed, err: ctx.Err()}
		}
	}
	if hangs != nil {
		<-hangs
	}
	return reading
}

// set changes what the next walks through a container's layer find.
func (n *diskNode) set(name string, r diskReading) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.layers["/docker/"+name] = r
}

// tick is one tick, a second after the last, of which the walks are over that take
// no time.
func (n *diskNode) tick() (map[string]string, error) {
	n.t.Helper()
	began := time.Now()
	n.batch.Reset(n.ticks, began)
	err := n.source.Collect(n.t.Context(), &n.batch)
	if took := time.Since(began); took != 0 {
		n.t.Errorf("tick %d waited for %s", n.ticks, took)
	}
	n.ticks++
	<-time.After(time.Second)
	synctest.Wait()
	return values(&n.batch), err
}

// run ticks and returns the last value of each series that was told.
func (n *diskNode) run(ticks int) map[string]string {
	n.t.Helper()
	told := make(map[string]string)
	for range ticks {
		got, err := n.tick()
		if err != nil {
			n.t.Errorf("tick %d: %v", n.ticks-1, err)
		}
		for series, v := range got {
			told[series] = v
		}
	}
	return told
}

// diskSeriesOf are the series of a container in a tick, with short names.
func diskSeriesOf(got map[string]string, name string) map[string]string {
	short := make(map[string]string)
	for series, v := range got {
		if strings.Contains(series, `name="`+name+`"`) {
			metric, _, _ := strings.Cut(series, "{")
			short[metric] = v
		}
	}
	return short
}

func inBubble(t *testing.T, do func(t *testing.T)) { synctest.Test(t, do) }

func TestDiskUsageHasTheNamesOfCAdvisor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web", "large", "plain", "vfs", "pause")
		n.containers[4].Kind = discover.Sandbox
		n.containers = append(n.containers, discover.Container{Cgroup: "/kubepods/pod1", Kind: discover.Pod, PodUID: "1"})
		large, plain := someUsage, someUsage
		large.Bytes, plain.Backing.Files, plain.Backing.FilesFree = 1, 0, 0
		n.set("large", diskReading{result: diskPartial, usage: large, device: "/dev/sda1"})
		n.set("plain", diskReading{usage: plain, device: "tank"})
		n.set("vfs", diskReading{result: diskUnsupported})
		all := sample.Batch{}
		for range 16 {
			if _, err := n.tick(); err != nil {
				t.Fatal(err)
			}
			if n.ticks == 16 { // the third lane, as of the tick
				all.Columns = append(all.Columns, n.batch.Columns...)
				continue
			}
			for _, c := range n.batch.Columns {
				if c.Group != n.source.health {
					all.Columns = append(all.Columns, sample.Column{Group: c.Group, Values: slices.Clone(c.Values)})
				}
			}
		}
		golden(t, "golden_disk.prom", exposition(&all))
		for _, c := range all.Columns {
			if want := map[bool]uint64{false: 60, true: 15}[c.Group == n.source.health]; c.Group.Every != want {
				t.Errorf("a group comes every %d ticks, want %d", c.Group.Every, want)
			}
		}
	})
}

func TestContainersAreWalkedOneAfterTheOtherOnceInTheFourthLane(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		names := make([]string, 60)
		for i := range names {
			names[i] = fmt.Sprintf("c%d", i)
		}
		n := newDiskNode(t, names...)
		n.run(60)
		at := make(map[time.Time]int)
		for name, walks := range n.walked {
			if len(walks) != 1 {
				t.Errorf("%s was walked %d times in 60 ticks", name, len(walks))
			}
			at[walks[0]]++
		}
		for when, walks := range at {
			if walks != 1 {
				t.Errorf("%d walks began at %s", walks, when)
			}
		}
		n.run(120)
		for name, walks := range n.walked {
			if len(walks) != 3 {
				t.Errorf("%s was walked %d times in 180 ticks", name, len(walks))
			}
		}
	})
}

func TestAUsageIsToldInTheFourthLaneWithItsAge(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web")
		n.takes["/docker/web"] = 2500 * time.Millisecond // and rests for 125 s
		var ages []string
		for range 300 {
			got, err := n.tick()
			if err != nil {
				t.Fatal(err)
			}
			if age, told := diskSeriesOf(got, "web")["plimsoll_container_fs_usage_age_seconds"]; told {
				ages = append(ages, fmt.Sprintf("%d:%s", n.ticks-1, age))
			}
		}
		// Begun at tick 1, fetched at tick 4; begun again at 126, when 125 s have
		// passed, and at 251. In between it is told again.
		if want := []string{"4:3", "64:63", "124:123", "129:3", "189:63", "249:123", "254:3"}; !slices.Equal(ages, want) {
			t.Errorf("ages %q, want %q", ages, want)
		}
	})
}

func TestAUsageThatCannotBeMeasuredAnyMoreEndsAfterThreePeriods(t *testing.T) {
	for name, broken := range map[string]diskReading{
		"by an error":               {result: diskFailed},
		"as others need the disk":   {result: diskSkipped},
		"as the layer is not known": {result: diskUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				n := newDiskNode(t, "web")
				n.run(10)
				n.set("web", broken)
				last, absent := uint64(0), uint64(0)
				for range 400 {
					if _, err := n.tick(); err != nil {
						t.Fatal(err)
					}
					for _, c := range n.batch.Columns {
						switch {
						case c.Group == n.source.health:
						case sample.IsAbsent(c.Values[diskUsage]) && sample.IsAbsent(c.Values[diskLimit]):
							absent = cmp.Or(absent, n.ticks-1)
						default:
							last = n.ticks - 1
						}
					}
				}
				// Begun at tick 1, told from tick 2 on in the fourth lane.
				if last != 122 || absent != 182 {
					t.Errorf("it was told up to tick %d, absent from tick %d on", last, absent)
				}
				n.set("web", diskReading{usage: someUsage, device: "/dev/sda1"})
				if got := diskSeriesOf(n.run(301), "web"); got["container_fs_usage_bytes"] == "" {
					t.Errorf("it does not come back: %v", got)
				}
			})
		})
	}
}

func TestAUsageThatWasNotCountedInFullIsAbsent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web")
		n.run(10)
		n.set("web", diskReading{result: diskPartial, usage: someUsage, device: "/dev/sda1", err: disk.ErrLimit})
		said := 0
		var last map[string]string
		for range 60 {
			got, err := n.tick()
			if errors.Is(err, disk.ErrLimit) {
				said++
			}
			if of := diskSeriesOf(got, "web"); len(of) > 0 {
				last = of
			}
		}
		if want := []string{"container_fs_inodes_free", "container_fs_inodes_total", "container_fs_limit_bytes"}; said != 1 || !slices.Equal(sortedKeys(last), want) {
			t.Errorf("said %d times, told %v", said, last)
		}
	})
}

func sortedKeys(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestALongWalkIsRepeatedSeldom(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web", "huge")
		n.takes["/docker/huge"] = 4 * time.Minute // past an hour, which bounds it
		n.run(8000)
		if walks := len(n.walked["/docker/huge"]); walks != 3 {
			t.Errorf("the long one was walked %d times in 8000 s, want each hour", walks)
		}
		if walks := len(n.walked["/docker/web"]); walks != 134 {
			t.Errorf("its neighbour was walked %d times in 8000 s, want each minute", walks)
		}
	})
}

func TestWhileOthersNeedTheDiskAWalkIsTriedMoreOften(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web")
		n.set("web", diskReading{result: diskSkipped})
		got := n.run(62)
		if walks := len(n.walked["/docker/web"]); walks < 4 {
			t.Errorf("tried %d times in a minute", walks)
		}
		if skipped := got[`plimsoll_agent_disk_walks_total{job="plimsoll-agent",result="skipped"}`]; skipped != "4" {
			t.Errorf("%s skipped", skipped)
		}
	})
}

func TestADirectoryThatDoesNotAnswerCostsOneWorker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "dead", "web")
		server := make(chan struct{}) // closed when it is up again
		n.hangs["/docker/dead"] = server
		got := n.run(600)
		if walks := len(n.walked["/docker/dead"]); walks != 1 {
			t.Errorf("the dead one was walked %d times", walks)
		}
		if walks := len(n.walked["/docker/web"]); walks != 10 {
			t.Errorf("its neighbour was walked %d times in 600 s", walks)
		}
		if got := diskSeriesOf(got, "dead"); len(got) != 0 {
			t.Errorf("of the dead one is told %v", got)
		}
		if stuck := got[`plimsoll_agent_disk_walks_stuck{job="plimsoll-agent"}`]; stuck != "1" {
			t.Errorf("%s stuck", stuck)
		}
		close(server)
		if got := diskSeriesOf(n.run(2), "dead"); got["container_fs_usage_bytes"] == "" {
			t.Errorf("when it is up again is told %v", got)
		}
	})
}

func TestClosingDoesNotWaitForADirectoryThatDoesNotAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "dead", "web")
		released := 0
		n.source.workers.release = func() { released++ }
		server := make(chan struct{})
		n.hangs["/docker/dead"] = server
		n.run(10)
		began := time.Now()
		n.source.Close()
		if took := time.Since(began); took != leave || released != 0 {
			t.Errorf("closing took %s, released %d times", took, released)
		}
		close(server) // lest the test's own bubble wait for it
	})
}

func TestWhatDoesNotFitIntoTheQueueStaysDue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "dead", "dead2", "web")
		n.hangs["/docker/dead"], n.hangs["/docker/dead2"] = make(chan struct{}), make(chan struct{})
		n.run(3)
		for range cap(n.source.workers.todo) - len(n.source.workers.todo) {
			n.source.workers.send(diskWalk{of: &diskContainer{}, cgroup: "/other"})
		}
		if got := n.run(20)[`plimsoll_agent_disk_walks_waiting{job="plimsoll-agent"}`]; got != fmt.Sprint(maxDiskQueue) {
			t.Errorf("%s are waiting", got)
		}
		if walks := len(n.walked["/docker/web"]); walks != 0 {
			t.Errorf("walked %d times, without a worker", walks)
		}
		close(n.hangs["/docker/dead"])
		close(n.hangs["/docker/dead2"])
		if got := diskSeriesOf(n.run(3), "web"); got["container_fs_usage_bytes"] == "" {
			t.Errorf("when there is room again is told %v", got)
		}
	})
}

func TestTheSeriesOfALayerEndWithTheContainerItsNameAndItsDevice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web")
		begun := make(map[*sample.Group]bool)
		step := func(ticks, open, ended int) {
			t.Helper()
			for range ticks {
				if _, err := n.tick(); err != nil {
					t.Error(err)
				}
				for _, c := range n.batch.Columns {
					if c.Group != n.source.health {
						begun[c.Group] = true
					}
				}
				for _, g := range n.batch.Ended {
					if !begun[g] {
						t.Error("a group ends that never began, or has ended")
					}
					delete(begun, g)
					ended--
				}
			}
			if len(begun) != open || ended != 0 {
				t.Errorf("%d groups are open, want %d; %d too few ended", len(begun), open, ended)
			}
		}
		step(10, 1, 0)
		n.set("web", diskReading{usage: someUsage, device: "/dev/sdb"})
		step(60, 1, 1)
		n.version++
		n.containers[0].Name = "shop"
		step(1, 0, 1)
		step(60, 1, 0)
		n.version++
		n.containers[0].Kind = discover.Sandbox // as it turns out
		step(60, 0, 1)
		n.version++
		n.containers = nil
		step(60, 0, 0)
	})
}

func TestAContainerThatLeavesDuringItsWalkLeavesNothingBehind(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web")
		n.takes["/docker/web"] = 10 * time.Second
		n.run(5)
		n.version++
		n.containers = nil
		if got := diskSeriesOf(n.run(60), "web"); len(got) != 0 {
			t.Errorf("is told %v", got)
		}
	})
}

func TestAPanicInAWalkIsCountedAndCostsOneReading(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "bad", "web")
		n.set("bad", diskReading{device: "panic"})
		panicked := 0
		told := map[string]string{}
		for range 20 {
			got, err := n.tick()
			if err != nil && strings.Contains(err.Error(), "panicked: no such device") {
				panicked++
			}
			for k, v := range got {
				told[k] = v
			}
		}
		if panicked != 1 || diskSeriesOf(told, "web")["container_fs_usage_bytes"] == "" {
			t.Errorf("panicked %d times, the other tells %v", panicked, told)
		}
	})
}

func TestASteadyDiskTickAllocatesNothing(t *testing.T) {
	n := newDiskNode(t, "a", "b", "c")
	b := &n.batch
	for range 3 { // without the first walks, which come later
		b.Reset(0, time.Now())
		if err := n.source.Collect(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range n.source.crew.all {
		(*c).reading, (*c).next = diskReading{usage: someUsage, device: "/dev/sda1"}, 1<<40
		(*c).news = true
	}
	tick := uint64(0)
	allocated := testing.AllocsPerRun(100, func() {
		tick += 60
		b.Reset(tick, time.Now())
		if err := n.source.Collect(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	})
	if len(b.Columns) != 4 || allocated != 0 {
		t.Errorf("%v allocations for %d groups", allocated, len(b.Columns))
	}
}

package exit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// onEngine is a watcher of an engine's containers. They are put below a group of
// the test's own: what that has used in the end is what they have.
type onEngine struct {
	*engine.Engine
	*Watcher
	parent string
}

func start(t *testing.T) *onEngine {
	t.Helper()
	o := &onEngine{Engine: engine.Start(t), parent: fmt.Sprintf("/plimsoll.test.%d.%d", os.Getpid(), time.Now().UnixNano())}
	t.Cleanup(func() { removeGroups(t, o.parent) })
	found, err := discover.New(discover.Options{DockerHost: o.Host(), Appeared: func(c discover.Container) { o.Appeared(c) }})
	if err != nil {
		t.Fatal(err)
	}
	o.Watcher, err = New(Options{
		Containers: found.Containers,
		Told:       found.TakeExits,
		OOMs:       found.OOMs(),
		Log:        slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() {
		if err := found.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	loops.Go(func() {
		if err := o.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		loops.Wait()
	})
	eventually(t, "the engine is listened to", func() bool { return found.Stats().EngineConnected })
	return o
}

// run runs a container below a group of its own and returns what it printed and
// what that group has used.
func (o *onEngine) run(n int, flags []string, command ...string) (said string, used float64, err error) {
	parent := fmt.Sprintf("%s/%d", o.parent, n)
	args := append([]string{"run", "--network", "none", "--cgroup-parent", parent}, flags...)
	said, err = o.Try(append(append(args, engine.Image), command...)...)
	return said, usedBy(parent), err
}

func usedBy(group string) float64 {
	for _, path := range []string{"unified" + group + "/cpu.stat", group + "/cpu.stat"} {
		data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", path))
		if err != nil {
			continue
		}
		usec, _, _ := strings.Cut(strings.TrimPrefix(string(data), "usage_usec "), "\n")
		n, err := strconv.ParseFloat(usec, 64)
		if err == nil {
			return n / 1e6
		}
	}
	data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/cpuacct", group, "cpuacct.usage"))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
	return n / 1e9
}

// removeGroups removes a group and those in it, in all hierarchies.
func removeGroups(t *testing.T, group string) {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + group)
	if _, err := os.Stat("/sys/fs/cgroup" + group); err == nil {
		dirs = append(dirs, "/sys/fs/cgroup"+group)
	}
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.IsDir() {
				removeGroup(t, filepath.Join(dir, e.Name()))
			}
		}
		removeGroup(t, dir)
	}
}

func removeGroup(t *testing.T, dir string) {
	if err := os.Remove(dir); err != nil {
		t.Error(err)
	}
}

// records waits for those of the containers that were run as number first and
// on, by what their numbers are more than that.
func (o *onEngine) records(t *testing.T, first, n int) map[int]Record {
	t.Helper()
	ended := make(map[int]Record)
	eventually(t, fmt.Sprintf("%d records", n), func() bool {
		list, _ := o.Records(0)
		for _, r := range list {
			var number int
			if _, err := fmt.Sscanf(r.Container.Cgroup, o.parent+"/%d/", &number); err == nil && number >= first && number < first+n {
				ended[number-first] = r
			}
		}
		return len(ended) == n
	})
	return ended
}

// eventually waits until something is so, for at most 20 s.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-limit:
			t.Errorf("not within 20 s: %s", what)
			return
		case <-tick.C:
		}
	}
}

// each does something for every number below n, so many at a time.
func each(n, atOnce int, do func(int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			do(i)
			<-slots
		})
	}
	wg.Wait()
}

// loop makes a shell use about 60 ms of CPU time.
const loop = "i=0; while [ $i -lt 33000 ]; do i=$((i+1)); done"

func TestOnAnEngine(t *testing.T) {
	o := start(t)
	t.Run("the shortest containers leave a record", o.theShortestLeaveARecord)
	t.Run("two seconds of CPU are captured beside busy processes", o.twoSecondsOfCPUAreCapturedBesideBusyProcesses)
	t.Run("kills for want of memory are counted", o.killsForWantOfMemoryAreCounted)
	t.Run("a kill in a container that lives is counted", o.aKillInAContainerThatLivesIsCounted)
	t.Run("each restart is a life of its own", o.eachRestartIsALifeOfItsOwn)
}

func (o *onEngine) theShortestLeaveARecord(t *testing.T) {
	const containers = 100
	used := make([]float64, containers)
	each(containers, 2, func(i int) {
		_, cpu, err := o.run(i, []string{"--rm", "--name", fmt.Sprint("short", i), "--label", fmt.Sprint("n=", i)}, "sh", "-c", loop)
		if err != nil {
			t.Error(err)
		}
		used[i] = cpu
	})
	got := o.records(t, 0, containers)
	right, sum, truth := 0, 0.0, 0.0
	for i := range containers {
		r := got[i]
		cpu := r.CPU.Usage.V.Seconds()
		sum += cpu
		truth += used[i]
		if r.Complete && r.Container.Name == fmt.Sprint("short", i) && r.Container.Labels["n"] == fmt.Sprint(i) && r.Code.OK && r.Code.V == 0 && cpu > used[i]*.95 && cpu < used[i]*1.05 {
			right++
		} else {
			t.Logf("container %d used %.3f s, record %+v", i, used[i], r)
		}
	}
	t.Logf("%d of %d records are right; they have %.3f s of %.3f s, %.2f %%; %+v", right, containers, sum, truth, 100*sum/truth, o.Stats())
	if right < containers*99/100 {
		t.Errorf("%d of %d records are right", right, containers)
	}
}

func (o *onEngine) twoSecondsOfCPUAreCapturedBesideBusyProcesses(t *testing.T) {
	const containers = 20
	for range 2 {
		keepBusy(t)
	}
	used := make([]float64, containers)
	each(containers, 5, func(i int) {
		_, cpu, err := o.run(100+i, []string{"--rm", "--name", fmt.Sprint("burner", i)}, "sh", "-c", "while :; do :; done & sleep 2")
		if err != nil {
			t.Error(err)
		}
		used[i] = cpu
	})
	got := o.records(t, 100, containers)
	sum, truth, right := 0.0, 0.0, 0
	for i := range containers {
		r := got[i]
		sum += r.CPU.Usage.V.Seconds()
		truth += used[i]
		if r.Complete {
			right++
		}
	}
	t.Logf("%.3f s of %.3f s, %.2f %%, %d complete; %+v", sum, truth, 100*sum/truth, right, o.Stats())
	if sum < truth*.98 || sum > truth*1.02 {
		t.Errorf("the records have %.3f s of the %.3f s that were used", sum, truth)
	}
}

// keepBusy keeps a CPU busy until the test ends.
func keepBusy(t *testing.T) {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// greedy makes a process of a container that may have 16 MB want more.
const greedy = `BEGIN { s = "x"; while (1) s = s s }`

func (o *onEngine) killsForWantOfMemoryAreCounted(t *testing.T) {
	const containers = 20
	each(containers, 2, func(i int) {
		_, _, err := o.run(200+i, []string{"--rm", "--name", fmt.Sprint("greedy", i), "--memory", "16m"}, "awk", greedy)
		if err == nil {
			t.Error("the process was not killed")
		}
	})
	got := o.records(t, 200, containers)
	counted, kernel := 0, 0
	for i := range containers {
		r := got[i]
		if r.OOMKills.OK && r.OOMKills.V == 1 && (!r.Code.OK || r.Code.V == 137) {
			counted++
		} else {
			t.Logf("%d: %+v", i, r)
		}
		if !r.Complete {
			continue // what was read before its end is no peak
		}
		kernel++
		if r.PeakBytes.V < 12<<20 || r.PeakBytes.V > 16<<20 {
			t.Errorf("peak of %d bytes with a limit of 16 MB", r.PeakBytes.V)
		}
	}
	t.Logf("%d of %d kills counted, %d groups read in time; %+v", counted, containers, kernel, o.Stats())
	if counted < containers*19/20 {
		t.Errorf("%d of %d kills counted", counted, containers)
	}
}

// A child is killed and its container lives on.
func (o *onEngine) aKillInAContainerThatLivesIsCounted(t *testing.T) {
	table := t.TempDir()
	go func() {
		_, _, _ = o.run(300, []string{"--rm", "--name", "survivor", "--memory", "16m", "-v", table + ":/table"},
			"sh", "-c", "awk '"+greedy+"'; until test -e /table/told; do sleep 0.1; done")
	}()
	var kills []Kills
	eventually(t, "the kill is counted", func() bool {
		kills = slices.DeleteFunc(o.Kills(nil), func(k Kills) bool { return !strings.HasPrefix(k.Cgroup, o.parent+"/300/") })
		return len(kills) == 1 && kills[0].N == 1
	})
	if err := os.Mkdir(filepath.Join(table, "told"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := o.records(t, 300, 1)[0]
	if len(kills) != 1 || r.Life != kills[0].Life || r.OOMKills.V != 1 || r.Code.V != 0 {
		t.Errorf("kills %+v, record %+v", kills, r)
	}
}

func (o *onEngine) eachRestartIsALifeOfItsOwn(t *testing.T) {
	if _, _, err := o.run(301, []string{"-d", "--name", "again", "--restart", "on-failure:2"}, "sh", "-c", loop+"; exit 3"); err != nil {
		t.Fatal(err)
	}
	var lives []Record
	eventually(t, "three lives have ended", func() bool {
		lives, _ = o.Records(0)
		lives = slices.DeleteFunc(lives, func(r Record) bool { return r.Container.Name != "again" })
		return len(lives) == 3
	})
	sum, complete := 0.0, 0
	for i, r := range lives {
		sum += r.CPU.Usage.V.Seconds()
		if r.Complete {
			complete++
		}
		if r.Code.V != 3 || i > 0 && r.Life <= lives[i-1].Life {
			t.Errorf("life %d: %+v", i, r)
		}
	}
	if complete < 2 { // of many, one in a hundred may be gone before it is read
		t.Errorf("%d lives were read at their end: %+v", complete, lives)
	}
	if truth := usedBy(o.parent + "/301"); complete == 3 && (sum < truth*.95 || sum > truth*1.05) {
		t.Errorf("three lives used %.3f s, want %.3f s", sum, truth)
	}
}

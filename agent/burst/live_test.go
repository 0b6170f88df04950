package burst

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

const liveRoot = "/sys/fs/cgroup"

// liveGroup is a group of this test's own on the machine's own tree.
type liveGroup struct {
	path string
	dirs []string // in each hierarchy
}

// newLiveGroup needs to be root on a machine with control groups and pressure.
// Without, the test is skipped, but in CI it fails: there it is known that they
// are there.
func newLiveGroup(t testing.TB, quotaMicros int) *liveGroup {
	t.Helper()
	without := t.Skipf
	if os.Getenv("CI") == "true" {
		without = t.Fatalf
	}
	if os.Getuid() != 0 {
		without("only root may make control groups")
	}
	fs, err := cgroup.New(cgroup.Options{Root: liveRoot})
	if err != nil {
		without("no control groups here: %v", err)
	}
	defer fs.Close()
	g := &liveGroup{path: fmt.Sprintf("/plimsoll.burst.%d.%d", os.Getpid(), time.Now().UnixNano())}
	hierarchies := []string{""}
	switch fs.Mode() {
	case cgroup.V1:
		without("version 1 has no pressure")
	case cgroup.Hybrid:
		hierarchies = []string{"unified", "cpu", "cpuacct", "memory"}
	case cgroup.V2:
		if err := os.WriteFile(liveRoot+"/cgroup.subtree_control", []byte("+cpu +memory"), 0); err != nil {
			without("controllers cannot be enabled: %v", err)
		}
	}
	t.Cleanup(g.remove)
	for _, h := range hierarchies {
		dir := filepath.Join(liveRoot, h, g.path)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) { // two controllers may share a folder
			without("cannot make control groups: %v", err)
		}
		g.dirs = append(g.dirs, dir)
	}
	if quotaMicros > 0 {
		g.set(t, "cpu.cfs_quota_us", strconv.Itoa(quotaMicros))
		g.set(t, "cpu.max", fmt.Sprintf("%d 100000", quotaMicros))
	}
	return g
}

func (g *liveGroup) remove() {
	for _, dir := range g.dirs {
		os.Remove(dir) // rmdir; gone already in some tests
	}
}

// set writes a file of the group where it has one of that name.
func (g *liveGroup) set(t testing.TB, name, value string) {
	t.Helper()
	for _, dir := range g.dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// hog runs a process in the group that burns CPU time until stop is called.
func (g *liveGroup) hog(t testing.TB) (stop func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asHog+"=1", "GOMAXPROCS=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.set(t, "cgroup.procs", strconv.Itoa(cmd.Process.Pid))
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

// until polls for something that the kernel does in its own time.
func until(t testing.TB, limit time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-tick.C
	}
	return time.Since(began)
}

// start runs a lane on the machine's own tree.
func start(t testing.TB, opts Options) *Lane {
	t.Helper()
	l, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		l.Close()
	})
	return l
}

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestThePressureOfAGroupBeginsABurstThatTellsTheTruth(t *testing.T) {
	g := newLiveGroup(t, 20_000) // 0.2 CPUs
	l := start(t, Options{})
	l.Follow([]string{g.path})
	until(t, 5*time.Second, "the kernel watches the group", func() bool { return l.Armed(g.path) })
	for i, there := range l.Availability(nil)[:2] {
		if !there.V {
			t.Fatalf("%s: not available", l.Files()[i])
		}
	}
	if s := l.Stats(); s.Groups != 0 || s.Triggers != 4 || s.TriggersLeftOut != 0 {
		t.Fatalf("%+v while nothing is the matter", s)
	}

	stop := g.hog(t)
	defer g.hog(t)()
	took := until(t, 10*time.Second, "a burst begins", func() bool { return l.Stats().Begun[CPUPressure] == 1 })
	t.Logf("a burst began %s after the load", took.Round(time.Millisecond))

	// 2 s of it, window by window, against the group's own account.
	fs, err := cgroup.New(cgroup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	oracle, err := fs.Open(g.path)
	if err != nil {
		t.Fatal(err)
	}
	defer oracle.Close()
	until(t, 10*time.Second, "a window", func() bool { r := l.Take(nil); return len(r) == 1 && r[0].Windows > 0 })
	before, err := oracle.CPU()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	<-time.After(2 * time.Second)
	after, err := oracle.CPU()
	if err != nil {
		t.Fatal(err)
	}
	passed := float64(time.Since(began))
	truth, withheld := float64(after.Usage.V-before.Usage.V)/passed, float64(after.Throttled.V-before.Throttled.V)/passed
	r := l.Take(nil)[0]
	t.Logf("used %.3f CPUs, %.3f withheld; %d windows: %.3f on average, %.3f at most; %.3f withheld, %.3f at most; %+v",
		truth, withheld, r.Windows, r.CPUMean.V, r.CPUMax.V, r.ThrottledMean.V, r.ThrottledMax.V, l.Stats())
	if diff := r.CPUMean.V - truth; diff > 0.03 || diff < -0.03 {
		t.Errorf("%.3f CPUs on average, it used %.3f", r.CPUMean.V, truth)
	}
	if r.CPUMax.V < r.CPUMean.V || r.CPUMax.V > 0.6 {
		t.Errorf("%.3f CPUs in a window; the quota is 0.2, a period and a window may overlap", r.CPUMax.V)
	}
	// The kernel counts what it withheld when it stops to do so, once in 100 ms
	// for each CPU.
	if diff := r.ThrottledMean.V - withheld; !r.ThrottledMean.OK || diff > 0.15 || diff < -0.15 || r.ThrottledMax.V < r.ThrottledMean.V {
		t.Errorf("%+v withheld on average, %+v at most; it was %.3f", r.ThrottledMean, r.ThrottledMax, withheld)
	}
	if r.Windows < 10 {
		t.Errorf("%d windows in 2 s", r.Windows)
	}
	stop()
}

func TestAPeakOfATenthOfASecondIsSeen(t *testing.T) {
	g := newLiveGroup(t, 0)
	l := start(t, Options{Triggers: -1})
	l.Follow([]string{g.path})
	l.Begin(g.path, CPUUsage)
	<-time.After(300 * time.Millisecond)
	stop := g.hog(t)
	<-time.After(250 * time.Millisecond)
	stop()
	<-time.After(450 * time.Millisecond)
	r := l.Take(nil)[0]
	t.Logf("%.2f CPUs at most, %.2f on average", r.CPUMax.V, r.CPUMean.V)
	if r.CPUMax.V < 1.5*r.CPUMean.V {
		t.Errorf("%.3f CPUs at most, %.3f on average: the peak is lost in the mean", r.CPUMax.V, r.CPUMean.V)
	}
}

func TestTriggersAreGivenBack(t *testing.T) {
	before := descriptors(t)
	first, second := newLiveGroup(t, 0), newLiveGroup(t, 0)
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	l.Follow([]string{first.path, second.path})
	until(t, 5*time.Second, "both are watched", func() bool { return l.Stats().Triggers == 6 })
	second.remove()
	until(t, 5*time.Second, "a group that is gone is let go", func() bool { l.Follow([]string{first.path, second.path}); return l.Stats().Triggers == 4 })
	l.Follow(nil)
	until(t, 5*time.Second, "the node's are left", func() bool { return l.Stats().Triggers == 2 && !l.Armed(first.path) })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	l.Close()
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestTriggersAreBounded(t *testing.T) {
	var paths []string
	for range 3 {
		paths = append(paths, newLiveGroup(t, 0).path)
	}
	l := start(t, Options{Triggers: 5})
	l.Follow(paths)
	until(t, 5*time.Second, "as many as allowed", func() bool { return l.Stats().Triggers == 5 })
	if s := l.Stats(); s.TriggersLeftOut != 3 {
		t.Errorf("%+v, want 3 left out", s)
	}
	if armed := slices.Collect(func(yield func(bool) bool) {
		for _, p := range paths {
			yield(l.Armed(p))
		}
	}); !slices.Equal(armed, []bool{true, true, false}) {
		t.Errorf("watched: %v", armed)
	}
}

// A tree that may only be read is how it is mounted into most containers; a copy
// of one has files that nobody can wait for.
func TestWithoutTriggersThereAreStillBursts(t *testing.T) {
	tr := newTree(t, "/a")
	tr.write("/a/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
	tr.write("proc/pressure/cpu", "")
	l := start(t, Options{Root: tr.root, Proc: tr.root + "/proc"})
	l.Follow([]string{"/a"})
	until(t, 5*time.Second, "it was tried", func() bool { return l.Availability(nil)[1].OK && l.Stats().TriggersLeftOut == 2 })
	for i, there := range l.Availability(nil) {
		if there.V || !there.OK {
			t.Errorf("%s is available: %+v", l.Files()[i], there)
		}
	}
	if s := l.Stats(); s.Triggers != 0 || l.Armed("/a") {
		t.Errorf("%+v", s)
	}
	l.Begin("/a", Throttling)
	until(t, 5*time.Second, "it is read", func() bool { return len(l.Take(nil)) == 1 })
}

func TestVersionOneHasNoTriggersAndSaysSo(t *testing.T) {
	tr := newTree(t)
	tr.remove("cgroup.controllers")
	tr.write("cpuacct/a/cpuacct.usage", "0")
	l := start(t, Options{Root: tr.root, Proc: tr.root})
	if there := l.Availability(nil)[0]; there.V || !there.OK {
		t.Errorf("%s is available: %+v", l.Files()[0], there)
	}
}

func TestAReadingAllocatesNothing(t *testing.T) {
	g := newLiveGroup(t, 20_000)
	l, m := opened(t, g)
	taken, windows := l.Take(nil), 0
	if n := testing.AllocsPerRun(100, func() {
		l.read(m)
		taken = l.Take(taken[:0])
		windows += taken[0].Windows // none if it took too long
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(taken) != 1 || windows == 0 {
		t.Errorf("%d windows, read %+v", windows, taken)
	}
}

// opened is a lane with one group in burst, that nobody runs.
func opened(t testing.TB, g *liveGroup) (*Lane, *member) {
	t.Helper()
	l, err := New(Options{Triggers: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.release(); l.Close() })
	l.Follow([]string{g.path})
	l.Begin(g.path, CPUPressure)
	l.round(time.Now())
	return l, l.members[0]
}

func BenchmarkReading(b *testing.B) {
	l, m := opened(b, newLiveGroup(b, 20_000))
	b.ReportAllocs()
	for b.Loop() {
		l.read(m)
	}
}

// BenchmarkLane is what 32 groups in burst cost in a second, as a share of a CPU.
func BenchmarkLane(b *testing.B) {
	var paths []string
	for range 32 {
		paths = append(paths, newLiveGroup(b, 20_000).path)
	}
	l := start(b, Options{})
	l.Follow(paths)
	for _, p := range paths {
		l.Begin(p, CPUPressure)
	}
	runtime.GC()
	const watched = 5 * time.Second
	before, readings, taken := cpuTime(b), l.Stats().Readings, []Reading(nil)
	for end := time.Now().Add(watched); time.Now().Before(end); {
		<-time.After(time.Second)
		taken = l.Take(taken[:0])
	}
	used := cpuTime(b) - before
	s := l.Stats()
	b.ReportMetric(100*float64(used)/float64(watched), "%cpu")
	b.ReportMetric(float64(used.Microseconds())/float64(s.Readings-readings), "µs/reading")
	b.ReportMetric(float64(s.Late+s.Blurred)/float64(s.Readings), "late/reading")
	b.ReportMetric(0, "ns/op")
	for range b.N { // once is enough
	}
}

func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

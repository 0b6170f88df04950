package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Groups of the fixtures: one with limits and load, one idle without limits.
const (
	busyID = "1111111111111111111111111111111111111111111111111111111111111111"
	idleID = "2222222222222222222222222222222222222222222222222222222222222222"
)

// fixtures are the trees in testdata, with the names of their groups.
var fixtures = map[string]struct {
	mode       Mode
	busy, idle string
}{
	"v1":     {V1, "/docker/" + busyID, "/docker/" + idleID},
	"v2":     {V2, "/system.slice/docker-" + busyID + ".scope", "/system.slice/docker-" + idleID + ".scope"},
	"hybrid": {Hybrid, "/docker/" + busyID, "/docker/" + idleID},
}

// extract writes a fixture to disk and returns its root.
func extract(t testing.TB, fixture string) string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", fixture+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := txtar.Write(archive, root); err != nil {
		t.Fatal(err)
	}
	return root
}

// write makes files below root, and their folders.
func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func newFS(t testing.TB, opts Options) *FS {
	t.Helper()
	f, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func open(t testing.TB, f *FS, path string) *Group {
	t.Helper()
	g, err := f.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// account is everything that can be read of a group.
type account struct {
	CPU       CPU
	Local     Opt[Nanoseconds]
	Usage     Opt[uint64]
	Stat      MemoryStat
	Events    MemoryEvents
	Limits    Limits
	PIDs      PIDs
	Processes Opt[uint64]
	IO        []DeviceIO
	Pressure  Pressure
}

func readAll(t testing.TB, g *Group) account {
	t.Helper()
	a, err := tryAll(g)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryAll(g *Group) (a account, err error) {
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	var e error
	a.CPU, e = g.CPU()
	keep(e)
	a.Local, e = g.LocalThrottled()
	keep(e)
	a.Usage, e = g.MemoryUsage()
	keep(e)
	a.Stat, e = g.MemoryStat()
	keep(e)
	a.Events, e = g.MemoryEvents()
	keep(e)
	a.Limits, e = g.Limits()
	keep(e)
	a.PIDs, e = g.PIDs()
	keep(e)
	a.Processes, e = g.ProcessCount()
	keep(e)
	a.IO, e = g.IO(nil)
	keep(e)
	a.Pressure, e = g.Pressure()
	keep(e)
	return a, err
}

// absent lists the readings of a that are not there.
func (a account) absent() string {
	var names []string
	add := func(name string, ok bool) {
		if !ok {
			names = append(names, name)
		}
	}
	add("usage", a.CPU.Usage.OK)
	add("user", a.CPU.User.OK)
	add("system", a.CPU.System.OK)
	add("periods", a.CPU.Periods.OK)
	add("throttled-periods", a.CPU.ThrottledPeriods.OK)
	add("throttled", a.CPU.Throttled.OK)
	add("local-throttled", a.Local.OK)
	add("memory", a.Usage.OK)
	add("rss", a.Stat.RSSBytes.OK)
	add("cache", a.Stat.CacheBytes.OK)
	add("swap", a.Stat.SwapBytes.OK)
	add("kernel", a.Stat.KernelBytes.OK)
	add("inactive-file", a.Stat.InactiveFileBytes.OK)
	add("working-set", a.Stat.WorkingSetBytes(a.Usage).OK)
	add("peak", a.Events.PeakBytes.OK)
	add("limit-hits", a.Events.LimitHits.OK)
	add("oom", a.Events.OOMKills.OK)
	add("quota", a.Limits.CPUQuotaMicros.OK)
	add("shares", a.Limits.CPUShares.OK)
	add("memory-limit", a.Limits.MemoryBytes.OK)
	add("pids", a.PIDs.Current.OK)
	add("pids-peak", a.PIDs.Peak.OK)
	add("pids-limit", a.PIDs.Limit.OK)
	add("processes", a.Processes.OK)
	add("io", len(a.IO) > 0)
	add("pressure-cpu", a.Pressure.CPU.Some.OK)
	add("pressure-memory", a.Pressure.Memory.Some.OK)
	add("pressure-io", a.Pressure.IO.Some.OK)
	return strings.Join(names, " ")
}

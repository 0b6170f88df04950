//go:build cgo

package gpu

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeDriver compiles testdata/fake_nvml.c and has children load it as the
// driver's library. Without a C compiler the test is skipped, but in CI it
// fails: there it is known that there is one.
func fakeDriver(t *testing.T, flags ...string) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("the driver's library is compiled by the test: %v", err)
	}
	dir := t.TempDir()
	args := append([]string{"-shared", "-fPIC", "-o", filepath.Join(dir, "libnvidia-ml.so.1"), "testdata/fake_nvml.c"}, flags...)
	if out, err := exec.CommandContext(t.Context(), cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("LD_LIBRARY_PATH", dir)
}

// running starts a helper with a real child and returns it once done says so.
// What it logged is in the text when the test ends.
func running(t *testing.T, opts Options, done func(State) bool) (*Helper, func() string) {
	t.Helper()
	var log tail
	opts.Args = []string{asChild}
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	h, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	await(t, log.text, func() bool { return done(h.State()) })
	return h, log.text
}

// await looks every few milliseconds: a process can be waited for in no other way.
func await(t *testing.T, log func() string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it did not come to pass; the log:\n%s", log())
		}
	}
}

// childrenOf are the processes that a process has started and not waited for.
func childrenOf(t *testing.T, process string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/" + process + "/task/*/children")
	if err != nil || len(files) == 0 {
		t.Skip("this kernel does not list children")
	}
	var pids []int
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // the thread is gone
		}
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func children(t *testing.T) []int {
	t.Helper()
	return childrenOf(t, "self")
}

func TestAChildReadsTheDriver(t *testing.T) {
	fakeDriver(t)
	var last State
	h, _ := running(t, Options{Interval: 20 * time.Millisecond}, func(s State) bool {
		last = s
		return s.Up && s.Snapshot.Devices[0].Processes[0].SM.OK
	})
	if h.State().Starts != 1 || !last.Expected || last.Taken.IsZero() {
		t.Errorf("state %+v", last)
	}
	s := last.Snapshot
	if s.Driver != "999.1" || len(s.Devices) != 2 {
		t.Fatalf("driver %q with %d devices", s.Driver, len(s.Devices))
	}
	d := s.Devices[0]
	if d.UUID != "GPU-fake-0" || d.Name != "Fake GPU" || d.Lost || d.MIG {
		t.Errorf("device %+v", d)
	}
	if want := some(Celsius(40)); d.Temperature != want {
		t.Errorf("temperature %v, want %v", d.Temperature, want)
	}
	if want := some(Milliwatts(250500)); d.Power != want {
		t.Errorf("power %v, want %v", d.Power, want)
	}
	if s.Devices[1].Power.OK || s.Devices[1].Refused == 0 {
		t.Errorf("a power of all ones is %v, %d refused; want it refused", s.Devices[1].Power, s.Devices[1].Refused)
	}
	if d.Energy.OK || d.SMClock.OK || d.Profile.SM.OK {
		t.Error("there are readings that this driver does not give")
	}
	want := Memory{Used: 2 << 30, Free: 13 << 30, Total: 16 << 30, Reserved: some(uint64(1 << 30))}
	if d.Memory != some(want) {
		t.Errorf("memory %+v, want %+v", d.Memory, want)
	}
	if d.Busy != some(Percent(55)) {
		t.Errorf("busy %v, want the mean of the samples 50 and 60", d.Busy)
	}
	if len(d.Processes) != 3 || d.Processes[0].PID != 1000 || d.Processes[0].Memory != some(uint64(256<<20)) {
		t.Errorf("processes %+v", d.Processes)
	}
	if sm := d.Processes[0].SM; sm.V < 0.199 || sm.V > 0.201 {
		t.Errorf("share of the multiprocessors %v, want 0.2", sm)
	}
	if x := d.XIDs; !x.Watched || x.Last != 79 || !slices.Equal(x.Counts, []XIDCount{{79, 1}}) {
		t.Errorf("errors %+v, want one of code 79", x)
	}
	if s.Devices[1].XIDs.Watched {
		t.Error("a device that reports no errors is watched for them")
	}
}

func TestASymbolThatTheDriverLacksCostsItsReadingsOnly(t *testing.T) {
	fakeDriver(t, "-DWITHOUT_MEMORY_V2")
	h, _ := running(t, Options{}, func(s State) bool { return s.Up })
	d := h.State().Snapshot.Devices[0]
	want := Memory{Used: 3 << 30, Free: 13 << 30, Total: 16 << 30}
	if d.Memory != some(want) || !d.Temperature.OK {
		t.Errorf("memory %+v, want %+v; temperature %v", d.Memory, want, d.Temperature)
	}
}

func TestListsThatGrowWhileTheyAreReadAreReadAgain(t *testing.T) {
	fakeDriver(t, "-DGROWING")
	h, log := running(t, Options{Interval: 20 * time.Millisecond}, func(s State) bool {
		return s.Up && s.Snapshot.Devices[0].Processes[0].SM.OK
	})
	d := h.State().Snapshot.Devices[0]
	if len(d.Processes) != 3 || !d.Busy.OK || h.State().Starts != 1 {
		t.Errorf("processes %+v, busy %v, %d starts\n%s", d.Processes, d.Busy, h.State().Starts, log())
	}
}

func TestADriverThatHangsCostsTheReadingsAndNothingElse(t *testing.T) {
	fakeDriver(t, "-DHANG_AFTER=5")
	opts := Options{Interval: 10 * time.Millisecond, Deadline: 200 * time.Millisecond}
	h, log := running(t, opts, func(s State) bool { return s.Up })
	await(t, log, func() bool { // the tick goes on looking, and never waits
		began := time.Now()
		s := h.State()
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Fatalf("a look took %s", took)
		}
		return !s.Up
	})
	if s := h.State(); !s.Expected || s.Snapshot == nil {
		t.Errorf("state %+v, want the last snapshot and that there should be newer ones", s)
	}
	// The child ends although it is stuck, and another takes its place.
	await(t, log, func() bool { return h.State().Starts == 2 })
	if n := len(children(t)); n > 1 {
		t.Errorf("%d children at once", n)
	}
	if !strings.Contains(log(), "did not answer in time") {
		t.Errorf("the log does not say so:\n%s", log())
	}
}

func TestAChildThatEndsIsStartedAgain(t *testing.T) {
	fakeDriver(t)
	h, log := running(t, Options{Interval: 10 * time.Millisecond}, func(s State) bool { return s.Up })
	for _, pid := range children(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	await(t, log, func() bool { s := h.State(); return s.Up && s.Starts == 2 })
	// The fake tells of its error once per process; the count goes on.
	await(t, log, func() bool {
		x := h.State().Snapshot.Devices[0].XIDs
		return slices.Equal(x.Counts, []XIDCount{{79, 2}})
	})
}

func TestANodeWithoutADriverIsQuiet(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T){
		"no library":              func(t *testing.T) { t.Setenv("LD_LIBRARY_PATH", t.TempDir()) },
		"a library and no driver": func(t *testing.T) { fakeDriver(t, "-DNO_DRIVER") },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat("/dev/nvidiactl"); err == nil {
				t.Skip("this machine has a driver")
			}
			prepare(t)
			h, log := running(t, Options{}, func(s State) bool { return s.Starts == 1 })
			await(t, log, func() bool { return log() != "" })
			if s := h.State(); s.Up || s.Expected || s.Snapshot != nil {
				t.Errorf("state %+v", s)
			}
			if text := log(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "no gpu to read") {
				t.Errorf("the log is not one line that says so:\n%s", text)
			}
			await(t, log, func() bool { return len(children(t)) == 0 })
		})
	}
}

func TestAChildEndsWithItsParentEvenIfTheDriverHangs(t *testing.T) {
	fakeDriver(t, "-DHANG_AFTER=1")
	parent := exec.Command("/proc/self/exe", asParent)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	nothing := func() string { return "" }
	var pid int
	await(t, nothing, func() bool {
		pids := childrenOf(t, strconv.Itoa(parent.Process.Pid))
		if len(pids) == 1 {
			pid = pids[0]
		}
		// It has read its request, so it is with the driver.
		loaded, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
		return strings.Contains(string(loaded), "libnvidia-ml")
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	await(t, nothing, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ") // nobody may wait for it here
	})
}

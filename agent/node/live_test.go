package node

import (
	"errors"
	"io/fs"
	"math"
	"testing"

	"github.com/prometheus/procfs"
)

// These tests compare with github.com/prometheus/procfs on the machine they
// run on. Counters move between the two readings, so ours, taken in between,
// must lie between two of theirs.

func oracle(t *testing.T) (procfs.FS, *Reader) {
	t.Helper()
	theirs, err := procfs.NewDefaultFS()
	if err != nil {
		t.Skip(err)
	}
	ours := New(Roots{})
	t.Cleanup(ours.Close)
	return theirs, ours
}

func TestStatAgreesWithProcfs(t *testing.T) {
	theirs, ours := oracle(t)
	before, err := theirs.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var got Stat
	if err := ours.Stat(&got); err != nil {
		t.Fatal(err)
	}
	after, err := theirs.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.CPUs) != len(before.CPU) {
		t.Fatalf("%d CPUs, want %d", len(got.CPUs), len(before.CPU))
	}
	for _, cpu := range got.CPUs {
		low, high := before.CPU[int64(cpu.ID)], after.CPU[int64(cpu.ID)]
		between(t, "user", low.User, float64(cpu.Ticks[User])/UserHZ, high.User)
		between(t, "system", low.System, float64(cpu.Ticks[System])/UserHZ, high.System)
		between(t, "softirq", low.SoftIRQ, float64(cpu.Ticks[SoftIRQ])/UserHZ, high.SoftIRQ)
		between(t, "steal", low.Steal, float64(cpu.Ticks[Steal])/UserHZ, high.Steal)
	}
	between(t, "interrupts", float64(before.IRQTotal), float64(got.Interrupts.Value), float64(after.IRQTotal))
	between(t, "context switches", float64(before.ContextSwitches), float64(got.ContextSwitches.Value), float64(after.ContextSwitches))
	between(t, "forks", float64(before.ProcessCreated), float64(got.Forks.Value), float64(after.ProcessCreated))
	// A step of the clock moves it by a second.
	between(t, "boot time", float64(before.BootTime)-1, float64(got.BootTime.Value), float64(after.BootTime)+1)
}

func TestMemoryAgreesWithProcfs(t *testing.T) {
	theirs, ours := oracle(t)
	want, err := theirs.Meminfo()
	if err != nil {
		t.Fatal(err)
	}
	fields, err := ours.Memory(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, f := range fields {
		got[f.Key] = f.Value
	}
	if got["MemTotal"] != *want.MemTotalBytes || got["Hugepagesize"] != *want.HugepagesizeBytes {
		t.Errorf("total %d, huge page %d; want %d, %d", got["MemTotal"], got["Hugepagesize"], *want.MemTotalBytes, *want.HugepagesizeBytes)
	}
	if off := math.Abs(float64(got["MemAvailable"]) - float64(*want.MemAvailableBytes)); off > 1<<30 {
		t.Errorf("available %d, want about %d", got["MemAvailable"], *want.MemAvailableBytes)
	}
}

func TestInterfacesAgreeWithProcfs(t *testing.T) {
	theirs, ours := oracle(t)
	want, err := theirs.NetDev()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ours.Interfaces(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, dev := range got {
		if dev.Name == "lo" { // always there
			between(t, "lo received", float64(want["lo"].RxBytes), float64(dev.Counts[ReceiveBytes]), math.Inf(1))
			return
		}
	}
	t.Errorf("no lo among %d interfaces", len(got))
}

func TestPressureAgreesWithProcfs(t *testing.T) {
	theirs, ours := oracle(t)
	for _, res := range []Resource{CPUPressure, MemoryPressure, IOPressure} {
		want, err := theirs.PSIStatsForResource(res.String())
		if err != nil {
			t.Skip(err)
		}
		got, err := ours.Pressure(res)
		if err != nil {
			t.Fatal(err)
		}
		between(t, res.String(), float64(want.Some.Total), float64(got.Some.Value), math.Inf(1))
	}
}

func TestEveryFileOfThisMachineIsUnderstood(t *testing.T) {
	r := New(Roots{})
	defer r.Close()
	errs := []error{r.Stat(new(Stat))}
	add := func(err error) { errs = append(errs, err) }
	_, err := r.Memory(nil)
	add(err)
	_, err = r.Load()
	add(err)
	_, err = r.VM()
	add(err)
	_, err = r.Disks(nil)
	add(err)
	for res := range numResources {
		_, err = r.Pressure(res)
		add(err)
	}
	ifs, err := r.Interfaces(nil)
	add(err)
	for _, dev := range ifs {
		link := r.LinkFiles(dev.Name)
		_, err = r.Link(link)
		link.Close()
		add(err)
	}
	p, err := r.Self()
	add(err)
	if p.ResidentBytes == 0 || p.CPU == 0 {
		t.Errorf("this process uses %+v", p)
	}
	var u Uname
	add(ReadUname(&u))
	if u.Sysname != "Linux" || u.Release == "" {
		t.Errorf("uname %+v", u)
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	}
}

func between(t *testing.T, what string, low, got, high float64) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s %v, want %v to %v", what, got, low, high)
	}
}

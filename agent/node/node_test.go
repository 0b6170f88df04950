package node

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fixture(t *testing.T, kernel string) *Reader {
	t.Helper()
	root := filepath.Join("testdata", kernel)
	r := New(Roots{Proc: filepath.Join(root, "proc"), Sys: filepath.Join(root, "sys")})
	t.Cleanup(r.Close)
	return r
}

func known(n uint64) Number { return Number{Value: n, Known: true} }

func TestStatOfAKernelOfToday(t *testing.T) {
	var got Stat
	if err := fixture(t, "kernel-6.18").Stat(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.CPUs) != 2 || got.CPUs[1].ID != 1 || got.CPUs[0].Modes != NumModes {
		t.Errorf("CPUs %+v, want two with every mode", got.CPUs)
	}
	if !got.Blocked.Known || got.BootTime.Value < 1_700_000_000 {
		t.Errorf("got %+v", got)
	}
}

func TestColumnsThatAnOldKernelDoesNotCountAreUnknown(t *testing.T) {
	var got Stat
	if err := fixture(t, "kernel-2.6.18").Stat(&got); err != nil {
		t.Fatal(err)
	}
	want := Stat{
		CPUs: []CPU{
			{ID: 0, Ticks: [NumModes]uint64{1132, 34, 1441, 11311718, 3675, 127, 438, 0}, Modes: Guest},
			{ID: 1, Ticks: [NumModes]uint64{1123, 0, 849, 11313845, 2614, 0, 18, 0}, Modes: Guest},
		},
		Interrupts:      known(114930548),
		ContextSwitches: known(1990473),
		BootTime:        known(1062191376),
		Forks:           known(2915),
		Running:         known(1),
		Blocked:         known(0),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStatIsReadWholeHoweverLong(t *testing.T) {
	proc := t.TempDir()
	var b strings.Builder
	for i := range 4096 {
		b.WriteString("cpu" + strconv.Itoa(i) + " 1 2 3 4 5 6 7 8 9 10\n")
	}
	b.WriteString("intr 42" + strings.Repeat(" 0", 50_000) + "\nbtime 7\n")
	write(t, filepath.Join(proc, "stat"), b.String())
	r := New(Roots{Proc: proc})
	defer r.Close()
	var got Stat
	if err := r.Stat(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.CPUs) != 4096 || got.BootTime.Value != 7 || got.Interrupts.Value != 42 {
		t.Errorf("%d CPUs, boot time %v, interrupts %v", len(got.CPUs), got.BootTime, got.Interrupts)
	}
}

func TestACPUThatIsTakenOutLeavesTheReading(t *testing.T) {
	var got Stat
	for _, content := range []string{
		"cpu0 1 1 1 1\ncpu1 1 1 1 1\ncpu2 1 1 1 1\n",
		"cpu0 2 2 2 2\ncpu2 3 3 3 3\n",
	} {
		if err := parseStat([]byte(content), &got); err != nil {
			t.Fatal(err)
		}
	}
	if len(got.CPUs) != 2 || got.CPUs[1].ID != 2 || got.CPUs[1].Ticks[User] != 3 {
		t.Errorf("got %+v", got.CPUs)
	}
}

func TestIdleTimeNeverGoesBackExceptAfterHotplug(t *testing.T) {
	last := CPU{Ticks: [NumModes]uint64{User: 10, Idle: 1000, IOWait: 50}}

	back := CPU{Ticks: [NumModes]uint64{User: 11, Idle: 999, IOWait: 48}}
	back.NotBefore(&last)
	if want := [NumModes]uint64{User: 11, Idle: 1000, IOWait: 50}; back.Ticks != want {
		t.Errorf("a tick back gives %v, want %v", back.Ticks, want)
	}

	anew := CPU{Ticks: [NumModes]uint64{User: 1, Idle: 2}}
	anew.NotBefore(&last)
	if want := [NumModes]uint64{User: 1, Idle: 2}; anew.Ticks != want {
		t.Errorf("after hotplug %v, want %v", anew.Ticks, want)
	}
}

func TestMemoryInBytesAndInPages(t *testing.T) {
	got, err := parseMeminfo([]byte("MemTotal:       24684084 kB\nActive(anon):       1568 kB\nHugePages_Total:       3\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []MemoryField{
		{Key: "MemTotal", Value: 24684084 * 1024},
		{Key: "Active(anon)", Value: 1568 * 1024},
		{Key: "HugePages_Total", Value: 3, Pages: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoad(t *testing.T) {
	got, err := fixture(t, "kernel-2.6.18").Load()
	if want := (Load{0.20, 0.18, 0.12}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestNetDevWithoutASpaceAfterTheColon(t *testing.T) {
	got, err := fixture(t, "kernel-2.6.18").Interfaces(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Interface{Name: "ppp0", Counts: [NumNetCounts]uint64{
		ReceiveBytes: 15475140, ReceivePackets: 20721, ReceiveErrs: 410, ReceiveFrame: 410,
		TransmitBytes: 1375103, TransmitPackets: 17405,
	}}
	if len(got) != 3 {
		t.Fatalf("%d interfaces, want 3", len(got))
	}
	if diff := cmp.Diff(want, got[1]); diff != "" {
		t.Error(diff)
	}
}

func TestDisksOfEveryKernel(t *testing.T) {
	base := " 1 2 3 4 5 6 7 8 9 10 11"
	tests := map[string]struct {
		line  string
		known DiskCount
	}{
		"14 columns before 4.18":                {"8 0 sda" + base, DiscardsCompleted},
		"18 columns with discards":              {"8 0 sda" + base + " 12 13 14 15", FlushesCompleted},
		"20 columns with flushes":               {"8 0 sda" + base + " 12 13 14 15 16 17", NumDiskCounts},
		"more columns than anybody knows":       {"8 0 sda" + base + " 12 13 14 15 16 17 18 19", NumDiskCounts},
		"half a set counts for nothing":         {"8 0 sda" + base + " 12 13", DiscardsCompleted},
		"a partition of 2.6.18 is left out":     {"3 1 hda1 35486 38030 38030 38030", 0},
		"the largest count there is":            {"8 0 sda 18446744073709551615 2 3 4 5 6 7 8 9 10 11", DiscardsCompleted},
		"a device whose name is the number 404": {"8 0 404" + base, DiscardsCompleted},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseDiskstats([]byte(tt.line+"\n"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.known == 0 {
				if len(got) != 0 {
					t.Errorf("got %+v, want nothing", got)
				}
				return
			}
			if len(got) != 1 || got[0].Known != tt.known || got[0].Counts[WeightedTime] != 11 {
				t.Errorf("got %+v, want %d columns", got, tt.known)
			}
		})
	}
}

func TestPressure(t *testing.T) {
	r := fixture(t, "kernel-6.18")
	got, err := r.Pressure(IOPressure)
	if err != nil || got.Some.Value == 0 || got.Full.Value == 0 || got.Full.Value > got.Some.Value {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := r.Pressure(IRQPressure); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist: that kernel does not account interrupts", err)
	}
	only, err := parsePressure([]byte("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"))
	if err != nil || only.Full.Known || only.Some != known(5) {
		t.Errorf("before 5.13 got %+v, %v", only, err)
	}
}

func TestVMOfAnOldKernelKnowsNoOOMKills(t *testing.T) {
	got, err := fixture(t, "kernel-2.6.18").VM()
	if err != nil || got.OOMKills.Known || got.MajorPageFaults != known(1234) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLinkSaysWhatTheDriverKnows(t *testing.T) {
	r := fixture(t, "kernel-6.18")
	tests := map[string]Link{
		"eth0": {Up: true, Carrier: known(1), MTU: known(1400)}, // a speed of -1 is none
		"ifb0": {MTU: known(1500)},
		"lo":   {Carrier: known(1), MTU: known(65536)},
	}
	for name, want := range tests {
		l := r.LinkFiles(name)
		got, err := r.Link(l)
		l.Close()
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
	if _, err := r.Link(r.LinkFiles("gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func TestWhatTheKernelWouldNotWriteIsAnError(t *testing.T) {
	stat := func(b string) error { return parseStat([]byte(b), &Stat{}) }
	mem := func(b string) error { _, err := parseMeminfo([]byte(b), nil); return err }
	load := func(b string) error { _, err := parseLoad([]byte(b)); return err }
	disks := func(b string) error { _, err := parseDiskstats([]byte(b), nil); return err }
	net := func(b string) error { _, err := parseNetDev([]byte(b), nil); return err }
	psi := func(b string) error { _, err := parsePressure([]byte(b)); return err }
	vm := func(b string) error { _, err := parseVMStat([]byte(b)); return err }
	tests := map[string]struct {
		parse func(string) error
		input string
	}{
		"stat is empty":                    {stat, ""},
		"stat is cut off in a number":      {stat, "cpu0 1 2 3 4\nctxt 16124"},
		"a CPU with three columns":         {stat, "cpu0 1 2 3\n"},
		"a CPU without a number":           {stat, "cpux 1 2 3 4\n"},
		"a count above 64 bits":            {stat, "ctxt 18446744073709551616\n"},
		"a negative count":                 {stat, "ctxt -1\n"},
		"a count with a key and no value":  {stat, "btime\n"},
		"meminfo is empty":                 {mem, ""},
		"meminfo is cut off":               {mem, "MemTotal: 24684084 kB\nMemFree: 233"},
		"memory in another unit":           {mem, "MemTotal: 24 GB\n"},
		"memory beyond 64 bits of bytes":   {mem, "MemTotal: 18014398509481984 kB\n"},
		"a memory line without a colon":    {mem, "MemTotal 5 kB\n"},
		"load is cut off":                  {load, "0.08 0.29 0.34 1/95 203"},
		"a load that is no number":         {load, "0.08 x 0.34 1/95 20393\n"},
		"a load with one place":            {load, "0.1 0.29 0.34 1/95 20393\n"},
		"diskstats is cut off":             {disks, "8 0 sda 1 2 3 4 5 6 7 8 9 10 1"},
		"a disk without a name":            {disks, "8 0\n"},
		"a disk with a word for a count":   {disks, "8 0 sda one 2 3\n"},
		"an interface with too few counts": {net, "eth0: 1 2 3\n"},
		"an interface without a name":      {net, ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"},
		"net/dev is cut off":               {net, "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 1"},
		"pressure without a total":         {psi, "some avg10=0.00\n"},
		"pressure is cut off":              {psi, "some avg10=0.00 avg60=0.00 avg300=0.00 total=12"},
		"vmstat is cut off":                {vm, "oom_kill 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.parse(tt.input); !errors.Is(err, ErrFormat) {
				t.Errorf("error %v, want ErrFormat", err)
			}
		})
	}
}

func TestAnErrorNamesTheFileAndQuotesLittleOfIt(t *testing.T) {
	proc := t.TempDir()
	write(t, filepath.Join(proc, "loadavg"), strings.Repeat("\x1b[31m", 1000)+"\n")
	r := New(Roots{Proc: proc})
	defer r.Close()
	_, err := r.Load()
	if err == nil || !strings.Contains(err.Error(), filepath.Join(proc, "loadavg")) || len(err.Error()) > 400 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("error %q", err)
	}
}

func TestAFileThatAppearsLaterIsReadBeforeLong(t *testing.T) {
	proc := t.TempDir()
	r := New(Roots{Proc: proc})
	defer r.Close()
	for range patience {
		if _, err := r.Load(); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("error %v, want ErrNotExist", err)
		}
		write(t, filepath.Join(proc, "loadavg"), "1.00 2.00 3.00 1/2 3\n")
	}
	if got, err := r.Load(); err != nil || got.One != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLookingForWhatIsNotThereAllocatesNothing(t *testing.T) {
	r := New(Roots{Proc: t.TempDir()})
	if allocs := testing.AllocsPerRun(10*patience, func() { _, _ = r.Load() }); allocs != 0 {
		t.Errorf("%v allocations, want none on most readings", allocs)
	}
}

func TestTheMachinesInterfacesAreThoseOfItsFirstProcess(t *testing.T) {
	proc := t.TempDir()
	line := ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
	write(t, filepath.Join(proc, "net/dev"), "container0"+line)
	write(t, filepath.Join(proc, "1/net/dev"), "machine0"+line)
	r := New(Roots{Proc: proc})
	defer r.Close()
	if got, err := r.Interfaces(nil); err != nil || len(got) != 1 || got[0].Name != "machine0" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseUint(t *testing.T) {
	for digits, want := range map[string]uint64{"0": 0, "007": 7, "18446744073709551615": math.MaxUint64} {
		if got, ok := parseUint([]byte(digits)); !ok || got != want {
			t.Errorf("%s: got %d, %t", digits, got, ok)
		}
	}
	for _, digits := range []string{"", "-1", "+1", "1_0", "0x1", "18446744073709551616", "99999999999999999999", "1 "} {
		if got, ok := parseUint([]byte(digits)); ok {
			t.Errorf("%q: got %d, want none", digits, got)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

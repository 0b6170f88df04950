package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// known is some for the tables: a constant becomes what its field holds.
func known[T any](v T) Opt[T] { return some(v) }

func TestReadingsAreWhatTheFilesSay(t *testing.T) {
	n := known[uint64]
	ns := known[Nanoseconds]
	limits := Limits{
		CPUQuotaMicros: known[Limit](50000), CPUPeriodMicros: n(100000), CPUShares: n(512),
		MemoryBytes: known[Limit](16777216), SwapBytes: known(NoLimit), ReservationBytes: known[Limit](8388608),
	}
	limits2 := limits
	limits2.CPUShares = n(500)
	want := map[string]account{
		"v1": {
			CPU: CPU{
				Usage: ns(4075270514), User: ns(2.11e9), System: ns(1.95e9),
				Periods: n(84), ThrottledPeriods: n(80), Throttled: ns(7669409147),
				BurstPeriods: n(0), Burst: ns(0),
			},
			Usage: n(5459968),
			Stat: MemoryStat{
				RSSBytes: n(4136960), CacheBytes: n(1007616), SwapBytes: n(0), MappedFileBytes: n(0), KernelBytes: n(126976),
				ActiveFileBytes: n(0), InactiveFileBytes: n(1003520), DirtyBytes: n(0), WritebackBytes: n(0),
				FileRefaults: n(0), AnonRefaults: n(0),
				Faults: Faults{n(5549), n(0)}, LocalFaults: Faults{n(5549), n(0)},
			},
			Events:    MemoryEvents{PeakBytes: n(16777216), LimitHits: n(282), OOMKills: n(1)},
			Limits:    limits,
			PIDs:      PIDs{n(2), n(5), known[Limit](100)},
			Processes: n(2),
			IO: []DeviceIO{{
				Device: Device{254, 0}, ReadBytes: n(16384), WriteBytes: n(1015808), DiscardBytes: n(0), Reads: n(4), Writes: n(248),
				SyncBytes: n(1032192), AsyncBytes: n(0), TotalBytes: n(1032192),
			}},
		},
		"hybrid": {
			CPU: CPU{
				Usage: ns(123370e3), User: ns(63812e3), System: ns(59558e3),
				Periods: n(5), ThrottledPeriods: n(2), Throttled: ns(97167289),
				BurstPeriods: n(0), Burst: ns(0),
			},
			Local: ns(97167289),
			Usage: n(5935104),
			Stat: MemoryStat{
				RSSBytes: n(4259840), CacheBytes: n(1200128), SwapBytes: n(0), MappedFileBytes: n(0), KernelBytes: n(176128),
				ActiveFileBytes: n(172032), InactiveFileBytes: n(1024000), DirtyBytes: n(4096), WritebackBytes: n(0),
				FileRefaults: n(47), AnonRefaults: n(0),
				Faults: Faults{n(5804), n(2)}, LocalFaults: Faults{n(5804), n(2)},
			},
			Events:    MemoryEvents{PeakBytes: n(16777216), LimitHits: n(84), OOMKills: n(1)},
			Limits:    limits,
			PIDs:      PIDs{n(3), n(5), known[Limit](100)},
			Processes: n(2),
			IO: []DeviceIO{{
				Device: Device{254, 0}, ReadBytes: n(200704), WriteBytes: n(2605056), DiscardBytes: n(12288), Reads: n(41), Writes: n(393),
				SyncBytes: n(1814528), AsyncBytes: n(1003520), TotalBytes: n(2818048),
			}},
			Pressure: Pressure{CPU: Stall{ns(52944e3), ns(47808e3)}, Memory: Stall{ns(409e3), ns(409e3)}, IO: Stall{ns(6050e3), ns(6047e3)}},
		},
		"v2": {
			CPU: CPU{
				Usage: ns(3506773e3), User: ns(1891468e3), System: ns(1615304e3),
				Periods: n(73), ThrottledPeriods: n(70), Throttled: ns(6369560e3),
				BurstPeriods: n(0), Burst: ns(0),
			},
			Usage: n(5529600),
			Stat: MemoryStat{
				RSSBytes: n(4132864), CacheBytes: n(1007616), SwapBytes: n(0), MappedFileBytes: n(0), KernelBytes: n(139264),
				ActiveFileBytes: n(0), InactiveFileBytes: n(1003520), DirtyBytes: n(0), WritebackBytes: n(0),
				Scanned: n(0), Reclaimed: n(0), FileRefaults: n(0), AnonRefaults: n(0),
				Faults: Faults{All: n(5503), Major: n(0)},
			},
			Events:    MemoryEvents{PeakBytes: n(16777216), LimitHits: n(34), HighHits: n(0), OOMKills: n(1)},
			Limits:    limits2,
			PIDs:      PIDs{n(2), n(5), known[Limit](100)},
			Processes: n(2),
			IO: []DeviceIO{{
				Device: Device{254, 0}, ReadBytes: n(16384), WriteBytes: n(1015808), DiscardBytes: n(0), Reads: n(4), Writes: n(248),
				Cost: IOCost{ns(5803e3), ns(0), ns(0), ns(0)},
			}},
			Pressure: Pressure{CPU: Stall{ns(3352550e3), ns(3059790e3)}, Memory: Stall{ns(3142e3), ns(3142e3)}, IO: Stall{ns(3498e3), ns(3498e3)}},
		},
	}
	for name, fixture := range fixtures {
		t.Run(name, func(t *testing.T) {
			f := newFS(t, Options{Root: extract(t, name)})
			if f.Mode() != fixture.mode {
				t.Errorf("mode %v", f.Mode())
			}
			if diff := cmp.Diff(want[name], readAll(t, open(t, f, fixture.busy))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNotThereIsAbsent(t *testing.T) {
	tests := map[string]struct {
		fixture string
		remove  []string // below the group, in whichever hierarchies
		want    string
	}{
		"version 1 has no pressure": {fixture: "v1", want: "local-throttled pressure-cpu pressure-memory pressure-io"},
		"version 2 before 6.6":      {fixture: "v2", want: "local-throttled"},
		"hybrid has everything":     {fixture: "hybrid"},
		"a kernel before 5.19":      {fixture: "v2", remove: []string{"memory.peak", "pids.peak"}, want: "local-throttled peak pids-peak"},
		"a kernel without swap":     {fixture: "v2", remove: []string{"memory.swap.current"}, want: "local-throttled swap"},
		"a group that is in no hierarchy of pids": {
			fixture: "hybrid", remove: []string{"pids.*", "cgroup.procs"}, want: "pids pids-peak pids-limit processes",
		},
		"pressure accounting is off": {
			fixture: "hybrid", remove: []string{"*.pressure"}, want: "pressure-cpu pressure-memory pressure-io",
		},
		"the memory controller is off": {
			fixture: "v2", remove: []string{"memory.[cselm]*", "memory.peak"},
			want: "local-throttled memory rss cache swap kernel inactive-file working-set peak limit-hits oom memory-limit",
		},
		"kernel memory is not told apart": {fixture: "v1", remove: []string{"memory.kmem.*"}, want: "local-throttled kernel pressure-cpu pressure-memory pressure-io"},
		"only usage of the CPU is known":  {fixture: "v1", remove: []string{"cpuacct.stat", "cpu.stat"}, want: "user system periods throttled-periods throttled local-throttled pressure-cpu pressure-memory pressure-io"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root, group := extract(t, tt.fixture), fixtures[tt.fixture].busy
			for _, pattern := range tt.remove {
				for _, dir := range []string{"", "*"} {
					found, _ := filepath.Glob(filepath.Join(root, dir, group, pattern))
					for _, path := range found {
						if err := os.Remove(path); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			g := open(t, newFS(t, Options{Root: root}), group)
			if got := readAll(t, g).absent(); got != tt.want {
				t.Errorf("absent: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoLimitIsSaidInThreeWays(t *testing.T) {
	for name, fixture := range fixtures {
		t.Run(name, func(t *testing.T) {
			g := open(t, newFS(t, Options{Root: extract(t, name)}), fixture.idle)
			l := readAll(t, g).Limits
			none := known(NoLimit)
			if l.CPUQuotaMicros != none || l.MemoryBytes != none || l.SwapBytes != none {
				t.Errorf("quota %v, memory %v, swap %v; want no limits", l.CPUQuotaMicros, l.MemoryBytes, l.SwapBytes)
			}
			if got := l.MemoryBytes.V.OrZero(); got != 0 {
				t.Errorf("as a metric it is %d, want 0", got)
			}
		})
	}
}

func TestUsageOnHybrid(t *testing.T) {
	const accounts = "usage_usec 1000\nuser_usec 600\nsystem_usec 400\n"
	tests := map[string]struct {
		unified string // cpu.stat; none if empty
		cpuacct string
		want    Nanoseconds
	}{
		"is in microseconds of unified":                   {accounts, "1000999", 1000e3},
		"is of version 1 where unified has no group":      {"", "1000999", 1000999},
		"is zero where only version 1 has a group, idle":  {"", "0", 0},
		"is of version 1 where nobody was put there":      {"usage_usec 0\nuser_usec 0\nsystem_usec 0\n", "7000000999", 7000000999},
		"is zero for a container that has only just come": {"usage_usec 0\nuser_usec 0\nsystem_usec 0\n", "0", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, map[string]string{
				"unified/cgroup.controllers": "",
				"cpuacct/g/cpuacct.usage":    tt.cpuacct + "\n",
				"cpuacct/g/cpuacct.stat":     "user 0\nsystem 0\n",
			})
			if tt.unified != "" {
				write(t, root, map[string]string{"unified/g/cpu.stat": tt.unified})
			}
			g := open(t, newFS(t, Options{Root: root}), "/g")
			for range 2 { // the second time by what the first has learnt
				c, err := g.CPU()
				if err != nil || c.Usage != known(tt.want) {
					t.Errorf("usage %v, error %v; want %v", c.Usage, err, tt.want)
				}
			}
		})
	}
}

func TestWorkingSet(t *testing.T) {
	inactive := MemoryStat{InactiveFileBytes: known[uint64](30)}
	tests := map[string]struct {
		stat  MemoryStat
		usage Opt[uint64]
		want  Opt[uint64]
	}{
		"leaves out cache that has not been used for long": {inactive, known[uint64](100), known[uint64](70)},
		"is never below zero":                              {inactive, known[uint64](20), known[uint64](0)},
		"is unknown without usage":                         {inactive, Opt[uint64]{}, Opt[uint64]{}},
		"is unknown without the cache":                     {MemoryStat{}, known[uint64](100), Opt[uint64]{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.stat.WorkingSetBytes(tt.usage); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSecondsAreTheNearestFloat(t *testing.T) {
	tests := map[Nanoseconds]float64{
		0:                    0,
		1:                    1e-9,
		944731610:            0.94473161,
		1234567e3:            1.234567,
		80336717129737e3:     80336717.129737, // 2.5 years, in which whole nanoseconds do not fit a float
		18446744073709551e3:  18446744073.709551,
		18446744073709551615: 18446744073.709551615,
		300 * 365 * 86400e9:  300 * 365 * 86400, // years that a time.Duration cannot hold
	}
	for n, want := range tests {
		if got := n.Seconds(); got != want {
			t.Errorf("%d ns: %v s, want %v", uint64(n), got, want)
		}
	}
}

func TestFilesSayWhetherTheyAreThere(t *testing.T) {
	root := extract(t, "v1")
	f := newFS(t, Options{Root: root})
	if err := os.RemoveAll(filepath.Join(root, "pids", fixtures["v1"].busy, "pids.max")); err != nil {
		t.Fatal(err)
	}
	readAll(t, open(t, f, fixtures["v1"].busy))
	got := make(map[string]Opt[bool])
	there := f.Availability(nil)
	for i, name := range f.Files() {
		got[name] = there[i]
	}
	for name, want := range map[string]Opt[bool]{
		"cpu,cpuacct/cpuacct.usage":             known(true),
		"memory/memory.stat":                    known(true),
		"pids/pids.max":                         known(false),
		"cpu.pressure":                          known(false), // no hierarchy to have it
		"blkio/blkio.throttle.io_service_bytes": {},           // not needed beside the recursive one
	} {
		if g, ok := got[name]; !ok || g != want {
			t.Errorf("%s: %v (listed %v), want %v", name, g, ok, want)
		}
	}
}

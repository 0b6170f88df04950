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
	want := map[string]account{
		"v1": {
			CPU: CPU{
				Usage: known[Nanoseconds](4563464107), User: known[Nanoseconds](1.55e9), System: known[Nanoseconds](3.01e9),
				Periods: n(92), ThrottledPeriods: n(91), Throttled: known[Nanoseconds](4482584984),
				BurstPeriods: n(0), Burst: known[Nanoseconds](0),
			},
			Usage: n(5427200),
			Stat: MemoryStat{
				RSSBytes: n(4136960), CacheBytes: n(1007616), SwapBytes: n(0), MappedFileBytes: n(0), KernelBytes: n(151552),
				ActiveFileBytes: n(0), InactiveFileBytes: n(1003520),
				Faults: Faults{n(5492), n(0)}, LocalFaults: Faults{n(5492), n(0)},
			},
			Events: MemoryEvents{PeakBytes: n(16777216), LimitHits: n(138), OOMKills: n(1)},
			Limits: Limits{
				CPUQuotaMicros: known[Limit](50000), CPUPeriodMicros: n(100000), CPUShares: n(512),
				MemoryBytes: known[Limit](16777216), SwapBytes: known(NoLimit), ReservationBytes: known[Limit](8388608),
			},
			PIDs: PIDs{n(2), known[Limit](100)},
			IO:   []DeviceIO{{Device{1, 0}, n(16384), n(196608), n(4), n(48)}},
		},
		"hybrid": {
			CPU: CPU{
				Usage: known[Nanoseconds](161554e3), User: known[Nanoseconds](89280e3), System: known[Nanoseconds](72274e3),
				Periods: n(6), ThrottledPeriods: n(3), Throttled: known[Nanoseconds](123072448),
				BurstPeriods: n(0), Burst: known[Nanoseconds](0),
			},
			Usage: n(5787648),
			Stat: MemoryStat{
				RSSBytes: n(4141056), CacheBytes: n(1024000), SwapBytes: n(0), MappedFileBytes: n(0), KernelBytes: n(147456),
				ActiveFileBytes: n(16384), InactiveFileBytes: n(1007616),
				Faults: Faults{n(5475), n(0)}, LocalFaults: Faults{n(5475), n(0)},
			},
			Events: MemoryEvents{PeakBytes: n(16777216), LimitHits: n(167), OOMKills: n(1)},
			Limits: Limits{
				CPUQuotaMicros: known[Limit](50000), CPUPeriodMicros: n(100000), CPUShares: n(512),
				MemoryBytes: known[Limit](16777216), SwapBytes: known(NoLimit), ReservationBytes: known[Limit](8388608),
			},
			PIDs: PIDs{n(3), known[Limit](100)},
			IO:   []DeviceIO{{Device{254, 0}, n(20480), n(3809280), n(5), n(687)}},
			Pressure: Pressure{
				CPU:    Stall{known[Nanoseconds](149575e3), known[Nanoseconds](108495e3)},
				Memory: Stall{known[Nanoseconds](542e3), known[Nanoseconds](232e3)},
				IO:     Stall{known[Nanoseconds](1413e3), known[Nanoseconds](1413e3)},
			},
		},
		"v2": {
			CPU: CPU{
				Usage: known[Nanoseconds](2421798e3), User: known[Nanoseconds](1380384e3), System: known[Nanoseconds](1041414e3),
				Periods: n(50), ThrottledPeriods: n(48), Throttled: known[Nanoseconds](2323436e3),
				BurstPeriods: n(0), Burst: known[Nanoseconds](0),
			},
			Usage: n(5414912),
			Stat: MemoryStat{
				RSSBytes: n(4141056), CacheBytes: n(1007616), SwapBytes: n(0), MappedFileBytes: n(0), KernelBytes: n(151552),
				ActiveFileBytes: n(0), InactiveFileBytes: n(1003520),
				Faults: Faults{All: n(5488), Major: n(0)},
			},
			Events: MemoryEvents{PeakBytes: n(16777216), LimitHits: n(40), HighHits: n(0), OOMKills: n(1)},
			Limits: Limits{
				CPUQuotaMicros: known[Limit](50000), CPUPeriodMicros: n(100000), CPUShares: n(500),
				MemoryBytes: known[Limit](16777216), SwapBytes: known(NoLimit), ReservationBytes: known[Limit](8388608),
			},
			PIDs: PIDs{n(2), known[Limit](100)},
			IO:   []DeviceIO{{Device{1, 0}, n(16384), n(1015808), n(4), n(248)}},
			Pressure: Pressure{
				CPU:    Stall{known[Nanoseconds](3442632e3), known[Nanoseconds](2340757e3)},
				Memory: Stall{known[Nanoseconds](19995e3), known[Nanoseconds](6439e3)},
				IO:     Stall{known[Nanoseconds](0), known[Nanoseconds](0)},
			},
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
		"version 1 has no pressure": {fixture: "v1", want: "pressure-cpu pressure-memory pressure-io"},
		"version 2 has everything":  {fixture: "v2"},
		"hybrid has everything":     {fixture: "hybrid"},
		"a kernel before 5.19":      {fixture: "v2", remove: []string{"memory.peak"}, want: "peak"},
		"a kernel without swap":     {fixture: "v2", remove: []string{"memory.swap.current"}, want: "swap"},
		"pressure accounting is off": {
			fixture: "hybrid", remove: []string{"*.pressure"}, want: "pressure-cpu pressure-memory pressure-io",
		},
		"the memory controller is off": {
			fixture: "v2", remove: []string{"memory.[cselm]*", "memory.peak"},
			want: "memory rss cache swap kernel inactive-file working-set peak limit-hits oom memory-limit",
		},
		"kernel memory is not told apart": {fixture: "v1", remove: []string{"memory.kmem.*"}, want: "kernel pressure-cpu pressure-memory pressure-io"},
		"only usage of the CPU is known":  {fixture: "v1", remove: []string{"cpuacct.stat", "cpu.stat"}, want: "user system periods throttled-periods throttled pressure-cpu pressure-memory pressure-io"},
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

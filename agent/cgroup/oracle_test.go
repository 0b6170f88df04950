package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/google/go-cmp/cmp"
)

// What containerd/cgroups says of a live group must be what we say. The group's
// process sleeps while both look; some of what it did is still being accounted
// on the other CPUs, so they look again a few times before they disagree.
func TestLiveGroupReadsAsContainerdReadsIt(t *testing.T) {
	l := newLive(t)
	// So little that it is withheld beside many busy processes too.
	l.set(t, "cpu.cfs_quota_us", "5000")
	l.set(t, "cpu.max", "5000 100000")
	l.set(t, "memory.limit_in_bytes", "67108864")
	l.set(t, "memory.max", "67108864")
	l.set(t, "pids.max", "100")
	l.load(t)

	oracle := oracle1
	if l.fs.mode == V2 {
		oracle = oracle2
	}
	g := open(t, l.fs, l.path)
	diff := ""
	for range 20 {
		got := readAll(t, g)
		want := oracle(t, l, got)
		if diff = cmp.Diff(want, got); diff == "" {
			break
		}
	}
	if diff != "" {
		t.Error(diff)
	}
	got := readAll(t, g)
	if got.CPU.Usage.V < 1e6 || got.Usage.V < 8<<20 || got.Stat.RSSBytes.V < 8<<20 || got.CPU.ThrottledPeriods.V == 0 {
		t.Errorf("the load cannot be seen: %+v", got)
	}
}

// oracle1 is a with all that containerd reads of version 1 put in its place.
func oracle1(t *testing.T, l *live, a account) account {
	root := t.TempDir() // where every controller has its own name
	for _, controller := range controllers {
		for _, h := range l.fs.hierarchies {
			if h == l.fs.at[anyFileOf(controller)] {
				if err := os.Symlink(filepath.Join("/sys/fs/cgroup", h.name), filepath.Join(root, controller)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	group, err := cgroup1.Load(cgroup1.StaticPath(l.path), cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) {
		return []cgroup1.Subsystem{
			cgroup1.NewCpu(root), cgroup1.NewCpuacct(root), cgroup1.NewMemory(root, cgroup1.OptionalSwap()),
			cgroup1.NewPids(root), cgroup1.NewBlkio(root),
		}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := group.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if l.fs.mode == V1 { // else it counts in other units than we
		a.CPU.Usage = known(Nanoseconds(m.CPU.Usage.Total))
		a.CPU.User = known(Nanoseconds(m.CPU.Usage.User))
		a.CPU.System = known(Nanoseconds(m.CPU.Usage.Kernel))
	} else if total := Nanoseconds(m.CPU.Usage.Total); a.CPU.Usage.V/1e3 != total/1e3 {
		a.CPU.Usage = known(total)
	}
	a.CPU.Periods = known(m.CPU.Throttling.Periods)
	a.CPU.ThrottledPeriods = known(m.CPU.Throttling.ThrottledPeriods)
	a.CPU.Throttled = known(Nanoseconds(m.CPU.Throttling.ThrottledTime))
	a.Usage = known(m.Memory.Usage.Usage)
	a.Events = MemoryEvents{
		PeakBytes: known(m.Memory.Usage.Max), LimitHits: known(m.Memory.Usage.Failcnt),
		OOMKills: known(m.MemoryOomControl.OomKill),
	}
	a.Stat = MemoryStat{
		RSSBytes: known(m.Memory.TotalRSS), CacheBytes: known(m.Memory.TotalCache),
		SwapBytes:       a.Stat.SwapBytes, // it reads memory and swap together
		MappedFileBytes: known(m.Memory.TotalMappedFile), KernelBytes: known(m.Memory.Kernel.Usage),
		ActiveFileBytes: known(m.Memory.TotalActiveFile), InactiveFileBytes: known(m.Memory.TotalInactiveFile),
		DirtyBytes: known(m.Memory.TotalDirty), WritebackBytes: known(m.Memory.TotalWriteback),
		FileRefaults: a.Stat.FileRefaults, AnonRefaults: a.Stat.AnonRefaults, // it does not read them
		Faults:      Faults{known(m.Memory.TotalPgFault), known(m.Memory.TotalPgMajFault)},
		LocalFaults: Faults{known(m.Memory.PgFault), known(m.Memory.PgMajFault)},
	}
	a.Limits.MemoryBytes = known(Limit(m.Memory.Usage.Limit))
	a.PIDs.Current, a.PIDs.Limit = known(m.Pids.Current), known(Limit(m.Pids.Limit))
	bytes := make(map[Device]map[string]Opt[uint64])
	for _, e := range m.Blkio.IoServiceBytesRecursive {
		d := Device{uint32(e.Major), uint32(e.Minor)}
		if bytes[d] == nil {
			bytes[d] = make(map[string]Opt[uint64])
		}
		bytes[d][e.Op] = known(e.Value)
	}
	if len(bytes) != len(a.IO) {
		t.Errorf("I/O of devices %v and %v", bytes, a.IO)
	}
	for i := range a.IO {
		io, of := &a.IO[i], bytes[a.IO[i].Device]
		io.ReadBytes, io.WriteBytes, io.DiscardBytes = of["Read"], of["Write"], of["Discard"]
		io.SyncBytes, io.AsyncBytes, io.TotalBytes = of["Sync"], of["Async"], of["Total"]
	}
	return a
}

// anyFileOf is a file that a controller of version 1 has.
func anyFileOf(controller string) file {
	for k, f := range kernelFiles {
		if f.controller == controller && f.version != 2 {
			return file(k)
		}
	}
	return files
}

// oracle2 is a with all that containerd reads of version 2 put in its place.
func oracle2(t *testing.T, l *live, a account) account {
	group, err := cgroup2.Load(l.path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := group.Stat()
	if err != nil {
		t.Fatal(err)
	}
	micros := func(n uint64) Opt[Nanoseconds] { return known(Nanoseconds(n) * microsecond) }
	a.CPU = CPU{
		Usage: micros(m.CPU.UsageUsec), User: micros(m.CPU.UserUsec), System: micros(m.CPU.SystemUsec),
		Periods: known(m.CPU.NrPeriods), ThrottledPeriods: known(m.CPU.NrThrottled), Throttled: micros(m.CPU.ThrottledUsec),
		BurstPeriods: known(m.CPU.NrBursts), Burst: micros(m.CPU.BurstUsec),
	}
	a.Usage = known(m.Memory.Usage)
	a.Stat = MemoryStat{
		RSSBytes: known(m.Memory.Anon), CacheBytes: known(m.Memory.File), SwapBytes: known(m.Memory.SwapUsage),
		MappedFileBytes: known(m.Memory.FileMapped),
		KernelBytes:     a.Stat.KernelBytes, // it does not read it
		ActiveFileBytes: known(m.Memory.ActiveFile), InactiveFileBytes: known(m.Memory.InactiveFile),
		DirtyBytes: known(m.Memory.FileDirty), WritebackBytes: known(m.Memory.FileWriteback),
		Scanned: known(m.Memory.Pgscan), Reclaimed: known(m.Memory.Pgsteal),
		FileRefaults: a.Stat.FileRefaults, AnonRefaults: a.Stat.AnonRefaults, // it does not read them, nor these:
		ZswapBytes: a.Stat.ZswapBytes, ZswappedBytes: a.Stat.ZswappedBytes,
		Faults: Faults{known(m.Memory.Pgfault), known(m.Memory.Pgmajfault)},
	}
	a.Events = MemoryEvents{
		PeakBytes: known(m.Memory.MaxUsage), LimitHits: known(m.MemoryEvents.Max),
		HighHits: known(m.MemoryEvents.High), OOMKills: known(m.MemoryEvents.OomKill),
	}
	a.Limits.MemoryBytes = known(Limit(m.Memory.UsageLimit))
	a.PIDs.Current, a.PIDs.Limit = known(m.Pids.Current), known(Limit(m.Pids.Limit))
	if len(m.Io.Usage) != len(a.IO) {
		t.Errorf("I/O of devices %v and %v", m.Io.Usage, a.IO)
	}
	for i, e := range m.Io.Usage[:min(len(m.Io.Usage), len(a.IO))] {
		io := &a.IO[i]
		io.Device = Device{uint32(e.Major), uint32(e.Minor)}
		io.ReadBytes, io.WriteBytes, io.Reads, io.Writes = known(e.Rbytes), known(e.Wbytes), known(e.Rios), known(e.Wios)
	}
	a.Pressure = Pressure{
		CPU:    Stall{micros(m.CPU.PSI.Some.Total), micros(m.CPU.PSI.Full.Total)},
		Memory: Stall{micros(m.Memory.PSI.Some.Total), micros(m.Memory.PSI.Full.Total)},
		IO:     Stall{micros(m.Io.PSI.Some.Total), micros(m.Io.PSI.Full.Total)},
	}
	return a
}

package agent

import (
	"errors"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// container is one that is being followed.
type container struct {
	is      discover.Container
	renamed bool      // what it is has changed since its series were made
	seen    time.Time // first
	phase   uint64    // of its lanes

	group  *cgroup.Group    // nil while it is not open
	series *containerSeries // nil while it has none
	wrote  uint64           // tick of its last sample, plus 1

	quota     bool               // it has one, so that throttling means something
	used      cgroup.Nanoseconds // of CPU time, as it was last told
	statUsage uint64             // its memory usage, in bytes, when memory.stat was read
	lastSeen  time.Time
	ooms      ooms
	life      uint64 // number of the one whose final reading was its last sample
}

// learn takes in what discovery says.
func (c *container) learn(is discover.Container) { c.is, c.renamed = is, true }

// nameless tells whether c should wait for its name.
func (c *container) nameless(now time.Time) bool {
	return c.series == nil && waitsForName(&c.is, now.Sub(c.seen))
}

func (c *container) close() {
	if c.group != nil {
		c.group.Close()
		c.group = nil
	}
}

// add is room for the values of a group of c.
func (c *container) add(b *sample.Batch, g *sample.Group) []float64 {
	c.wrote = b.Tick + 1
	return b.Add(g)
}

// moved tells whether memory usage has changed so much since memory.stat was
// read that the parts should be read again, and not at the next turn.
func (c *container) moved(usageBytes cgroup.Opt[uint64]) bool {
	diff := max(usageBytes.V, c.statUsage) - min(usageBytes.V, c.statUsage)
	return usageBytes.OK && diff > 1<<20 && diff > c.statUsage/50
}

// faults are what went wrong in reading a container.
type faults []error

// fatal notes an error and tells whether the container is gone.
func (f *faults) fatal(err error) bool {
	if err == nil {
		return false
	}
	*f = append(*f, err)
	return errors.Is(err, cgroup.ErrGone)
}

// read reads what is due of a container, or everything. An error that wraps
// cgroup.ErrGone ends the container; others cost only what they are about.
func (s *cgroupSource) read(c *container, b *sample.Batch, everything bool) error {
	first := everything || due(s.opts.Lanes.First, b.Tick, c.phase)
	second := everything || due(s.opts.Lanes.Second, b.Tick, c.phase)
	third := everything || c.ooms.told || due(s.opts.Lanes.Third, b.Tick, c.phase)
	fourth := everything || due(s.opts.Lanes.Fourth, b.Tick, c.phase)
	if !first && !second && !third && !fourth {
		return nil
	}
	var f faults
	switch usage, err := c.group.MemoryUsage(); { // until one step is fatal
	case f.fatal(err):
	case third && f.fatal(c.readLimits(b)): // before the CPU, to know of a quota
	case first && f.fatal(s.readCPU(c, b, usage)):
	case (second || c.moved(usage)) && f.fatal(c.readMemory(b, usage)):
	case second && f.fatal(c.readPressure(b)):
	case third && f.fatal(s.readIO(c, b)):
	case fourth && f.fatal(s.readUlimits(c, b)):
	case third:
		c.tellLast(b)
	}
	return errors.Join(f...)
}

// readCPU adds the first lane.
func (s *cgroupSource) readCPU(c *container, b *sample.Batch, usageBytes cgroup.Opt[uint64]) error {
	cpu, err := c.group.CPU()
	if errors.Is(err, cgroup.ErrGone) {
		return err
	}
	c.lastSeen, c.used = b.Time, max(c.used, cpu.Usage.V)
	s.opts.Saw(c.is.Cgroup, cpu.Usage, cpu.Throttled, usageBytes)
	v := c.add(b, c.series.fast)
	putTime(v, cpuUsage, cpu.Usage)
	putTime(v, cpuUser, cpu.User)
	putTime(v, cpuSystem, cpu.System)
	put(v, memoryUsage, usageBytes)
	if c.quota {
		put(v, cpuPeriods, cpu.Periods)
		put(v, cpuThrottledPeriods, cpu.ThrottledPeriods)
		putTime(v, cpuThrottled, cpu.Throttled)
		put(v, cpuBurstPeriods, cpu.BurstPeriods)
		putTime(v, cpuBurst, cpu.Burst)
	}
	return err
}

// readMemory adds what the memory consists of.
func (c *container) readMemory(b *sample.Batch, usageBytes cgroup.Opt[uint64]) error {
	m, err := c.group.MemoryStat()
	if errors.Is(err, cgroup.ErrGone) {
		return err
	}
	c.statUsage = usageBytes.V
	v := c.add(b, c.series.memory)
	put(v, memoryWorkingSet, m.WorkingSetBytes(usageBytes))
	put(v, memoryRSS, m.RSSBytes)
	put(v, memoryCache, m.CacheBytes)
	put(v, memorySwap, m.SwapBytes)
	put(v, memoryMapped, m.MappedFileBytes)
	put(v, memoryActiveFile, m.ActiveFileBytes)
	put(v, memoryInactiveFile, m.InactiveFileBytes)
	put(v, memoryDirty, m.DirtyBytes)
	put(v, memoryWriteback, m.WritebackBytes)
	put(v, memoryKernel, m.KernelBytes)
	put(v, memoryZswap, m.ZswapBytes)
	put(v, memoryZswapped, m.ZswappedBytes)
	put(v, pagesScanned, m.Scanned)
	put(v, pagesReclaimed, m.Reclaimed)
	put(v, refaultsFile, m.FileRefaults)
	put(v, refaultsAnon, m.AnonRefaults)
	local := m.LocalFaults
	if local == (cgroup.Faults{}) {
		local = m.Faults // version 2 does not tell them apart
	}
	put(v, faultsLocal, local.All)
	put(v, faultsLocalMajor, local.Major)
	put(v, faultsAll, m.Faults.All)
	put(v, faultsAllMajor, m.Faults.Major)
	return err
}

// readPressure adds the stalls, once there were any files to tell of them.
func (c *container) readPressure(b *sample.Batch) error {
	p, err := c.group.Pressure()
	if errors.Is(err, cgroup.ErrGone) {
		return err
	}
	c.series.hasPressure = c.series.hasPressure || p != cgroup.Pressure{}
	if !c.series.hasPressure {
		return err
	}
	v := c.add(b, c.series.pressure)
	for i, stall := range [...]cgroup.Stall{p.CPU, p.Memory, p.IO} {
		putTime(v, 2*i, stall.Some)
		putTime(v, 2*i+1, stall.Full)
	}
	return err
}

// readLimits adds what seldom changes: limits, tasks, and what has happened.
func (c *container) readLimits(b *sample.Batch) error {
	limits, err := c.group.Limits()
	pids, pidsErr := c.group.PIDs()
	members, membersErr := c.group.ProcessCount()
	throttled, throttledErr := c.group.LocalThrottled()
	events, eventsErr := c.group.MemoryEvents()
	err = errors.Join(err, pidsErr, membersErr, throttledErr, eventsErr)
	if errors.Is(err, cgroup.ErrGone) {
		return err
	}
	c.quota = limits.CPUQuotaMicros.OK && limits.CPUQuotaMicros.V != cgroup.NoLimit
	if c.is.Kind != discover.Pod { // whose kills are those of its containers
		c.ooms.learn(events.OOMKills)
	}

	v := c.add(b, c.series.slow)
	if c.quota {
		putLimit(v, specQuota, limits.CPUQuotaMicros)
	}
	put(v, specPeriod, limits.CPUPeriodMicros)
	put(v, specShares, limits.CPUShares)
	putLimit(v, specMemory, limits.MemoryBytes)
	putLimit(v, specSwap, limits.SwapBytes)
	putLimit(v, specReservation, limits.ReservationBytes)
	put(v, processCount, members)
	put(v, threads, pids.Current)
	put(v, threadsPeak, pids.Peak)
	putLimit(v, threadsMax, pids.Limit)
	putTime(v, throttledLocal, throttled)
	put(v, memoryPeak, events.PeakBytes)
	put(v, memoryFailures, events.LimitHits)
	if events.HighHits.OK { // version 2: the others are not what these mean
		put(v, memoryHigh, events.HighHits)
		put(v, memoryMax, events.LimitHits)
	}
	putDate(v, creationTime, c.is.Created)
	putDate(v, startTime, c.is.Started)
	putHealth(v, healthState, &c.is)
	return err
}

// readIO adds what was read from and written to each device.
func (s *cgroupSource) readIO(c *container, b *sample.Batch) error {
	var err error
	if s.io, err = c.group.IO(s.io[:0]); err != nil {
		return err
	}
	for i := range s.io {
		g := c.series.devices.seen(s.io[i].Device)
		if g == nil {
			continue
		}
		v := c.add(b, *g)
		put(v, ioReads, s.io[i].Reads)
		put(v, ioWrites, s.io[i].Writes)
		put(v, ioReadBytes, s.io[i].ReadBytes)
		put(v, ioWriteBytes, s.io[i].WriteBytes)
		put(v, blkioRead, s.io[i].ReadBytes)
		put(v, blkioWrite, s.io[i].WriteBytes)
		put(v, blkioDiscard, s.io[i].DiscardBytes)
		put(v, blkioSync, s.io[i].SyncBytes)
		put(v, blkioAsync, s.io[i].AsyncBytes)
		put(v, blkioTotal, s.io[i].TotalBytes)
		putTime(v, costUsage, s.io[i].Cost.Usage)
		putTime(v, costWait, s.io[i].Cost.Wait)
		putTime(v, costInDebt, s.io[i].Cost.InDebt)
		putTime(v, costInDelay, s.io[i].Cost.InDelay)
	}
	c.series.devices.settle(b)
	return nil
}

// tellLast adds what remains of a container when it is gone.
func (c *container) tellLast(b *sample.Batch) {
	if c.lastSeen.IsZero() {
		return
	}
	v := c.add(b, c.series.lasting)
	putDate(v, lastSeen, c.lastSeen)
	put(v, oomEvents, c.ooms.total())
}

func put(v []float64, at int, o cgroup.Opt[uint64]) {
	if o.OK {
		v[at] = float64(o.V)
	}
}

func putTime(v []float64, at int, o cgroup.Opt[cgroup.Nanoseconds]) {
	if o.OK {
		v[at] = o.V.Seconds()
	}
}

// putDate writes a time in whole seconds, as cAdvisor does.
func putDate(v []float64, at int, t time.Time) {
	if !t.IsZero() {
		v[at] = float64(t.Unix())
	}
}

// putHealth writes what a health check says. That there is none is only known
// of an engine that has such checks.
func putHealth(v []float64, at int, c *discover.Container) {
	switch {
	case c.Health == discover.Healthy:
		v[at] = 1
	case c.Health != discover.NoHealth:
		v[at] = 0
	case c.Known && c.Runtime == "docker" && c.Kind == discover.Workload:
		v[at] = -1
	}
}

// putLimit writes no limit as 0, as cAdvisor does.
func putLimit(v []float64, at int, o cgroup.Opt[cgroup.Limit]) {
	if o.OK {
		v[at] = float64(o.V.OrZero())
	}
}

package cgroup

import "errors"

// CPU is what a group has used of the processors since it was made, and what
// its quota has withheld from it. The second half is counted where the group
// has a CPU controller, and stands still while it has no quota.
type CPU struct {
	Usage  Opt[Nanoseconds]
	User   Opt[Nanoseconds] // in steps of 10 ms where only version 1 counts it
	System Opt[Nanoseconds]

	Periods          Opt[uint64]
	ThrottledPeriods Opt[uint64]
	Throttled        Opt[Nanoseconds] // summed over the CPUs it could not run on
	BurstPeriods     Opt[uint64]
	Burst            Opt[Nanoseconds]
}

// The units of the kernel's files.
const (
	microsecond Nanoseconds = 1e3
	// tick is that of cpuacct.stat: USER_HZ is 100 on every architecture that
	// Go runs on, whatever HZ the kernel was built with.
	tick Nanoseconds = 1e7
)

// CPU reads the CPU account. On a hybrid tree usage comes from unified/, which
// has all three times in microseconds in one file, and throttling from version
// 1, which has the quota.
func (g *Group) CPU() (CPU, error) {
	var c CPU
	err := g.readUsage(&c)
	if g.fs.at[cpuStat1] == nil || errors.Is(err, ErrGone) {
		return c, err
	}
	return c, errors.Join(err, g.readCPUStat(cpuStat1, &c))
}

func (g *Group) readUsage(c *CPU) error {
	if g.usageFrom == cpuacctUsage {
		return g.readCpuacct(c)
	}
	err := g.readCPUStat(cpuStat2, c)
	if err != nil || c.Usage.V > 0 || g.fs.at[cpuacctUsage] == nil {
		return err
	}
	// A runtime that knows nothing of unified/ makes no group there, or makes
	// one and leaves it empty; then version 1 has the account. A group that has
	// just started may look the same for a moment.
	var old CPU
	if err := g.readCpuacct(&old); err != nil {
		return err
	}
	if c.Usage.OK && old.Usage.V == 0 {
		return nil
	}
	*c = old
	if old.Usage.V > 1e9 {
		g.usageFrom = cpuacctUsage
	}
	return nil
}

// LocalThrottled reads how long tasks of the group itself could have run, had
// no quota withheld the CPU: its own, or one of a group above it. It is there
// since 6.6, and summed over the CPUs. [CPU.Throttled] counts the group's own
// quota alone, but also where nobody in the group wanted to run.
func (g *Group) LocalThrottled() (Opt[Nanoseconds], error) {
	k := cpuLocal2
	if g.fs.at[cpuLocal1] != nil {
		k = cpuLocal1
	}
	var c CPU
	err := g.readCPUStat(k, &c)
	return c.Throttled, err
}

func (g *Group) readCPUStat(k file, c *CPU) error {
	data, err := g.read(k)
	if err == nil && !c.parseStat(data) {
		err = g.malformed(k, data)
	}
	return err
}

func (g *Group) readCpuacct(c *CPU) error {
	usage, err := g.number(cpuacctUsage)
	if err != nil {
		return err
	}
	c.Usage = Opt[Nanoseconds]{Nanoseconds(usage.V), usage.OK}
	data, err := g.read(cpuacctStat)
	if err == nil && !c.parseCpuacct(data) {
		err = g.malformed(cpuacctStat, data)
	}
	return err
}

// parseStat reads cpu.stat of either version; they have no key in common that
// differs in unit:
//
//	nr_periods 13
//	throttled_time 944731610     nanoseconds
//	throttled_usec 944731        microseconds
func (c *CPU) parseStat(data []byte) bool {
	for len(data) > 0 {
		var key, value []byte
		key, value, data = cutPair(data)
		var count *Opt[uint64]
		var time *Opt[Nanoseconds]
		unit := microsecond
		switch string(key) {
		case "usage_usec":
			time = &c.Usage
		case "user_usec":
			time = &c.User
		case "system_usec":
			time = &c.System
		case "nr_periods":
			count = &c.Periods
		case "nr_throttled":
			count = &c.ThrottledPeriods
		case "throttled_usec":
			time = &c.Throttled
		case "throttled_time":
			time, unit = &c.Throttled, 1
		case "nr_bursts":
			count = &c.BurstPeriods
		case "burst_usec":
			time = &c.Burst
		case "burst_time":
			time, unit = &c.Burst, 1
		default:
			continue // a newer kernel says more
		}
		var ok bool
		if count != nil {
			count.V, ok = parseUint(value)
			count.OK = ok
		} else {
			time.V, ok = parseTime(value, unit)
			time.OK = ok
		}
		if !ok {
			return false
		}
	}
	return true
}

// parseCpuacct reads cpuacct.stat:
//
//	user 22
//	system 4
func (c *CPU) parseCpuacct(data []byte) bool {
	for len(data) > 0 {
		var key, value []byte
		key, value, data = cutPair(data)
		var time *Opt[Nanoseconds]
		switch string(key) {
		case "user":
			time = &c.User
		case "system":
			time = &c.System
		default:
			continue
		}
		if time.V, time.OK = parseTime(value, tick); !time.OK {
			return false
		}
	}
	return true
}

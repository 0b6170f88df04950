package agent

import (
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Positions in the group of a container that has ended.
const (
	exitTime = iota
	exitCode
	exitComplete
	exitCPU
	exitCPUUser
	exitCPUSystem
	exitPeak
	exitKills
	exitRead
	exitWritten

	exitValues
)

func exitSeries() []sample.Series {
	gauge := func(unit, name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: "plimsoll_container_exit_" + name, Help: help, Type: sample.Gauge, Unit: unit}}
	}
	return []sample.Series{
		exitTime:      gauge("seconds", "time_seconds", "When the container's last process ended, in seconds since 1970. It and what it tells stay for 5 minutes."),
		exitCode:      gauge("", "code", "Exit code of the container, 128 and the number of the signal if one ended it."),
		exitComplete:  gauge("", "complete", "1 if the container was read when its last process had ended, 0 if what is told of it is as of the last reading before."),
		exitCPU:       gauge("seconds", "cpu_seconds", "CPU time that the container had used."),
		exitCPUUser:   gauge("seconds", "cpu_user_seconds", "CPU time that the container had used in user mode."),
		exitCPUSystem: gauge("seconds", "cpu_system_seconds", "CPU time that the container had used in the kernel."),
		exitPeak:      gauge("bytes", "memory_peak_bytes", "Highest memory usage of the container."),
		exitKills:     gauge("", "oom_kills", "Processes of the container that were killed for want of memory."),
		exitRead:      gauge("bytes", "read_bytes", "Bytes that the container had read from devices."),
		exitWritten:   gauge("bytes", "written_bytes", "Bytes that the container had written to devices."),
	}
}

// A container that has ended is told of at once, in the next tick and then in
// the third lane, as long as what else remains of it. Where there are too many
// the oldest give way.
const (
	toldAtOnce = 2
	maxEnded   = 1000
)

// endedContainers are those of the last minutes, oldest first.
type endedContainers struct {
	series  []sample.Series
	lane    uint64
	list    []*endedContainer
	byPath  map[string]*endedContainer
	came    uint64
	dropped uint64 // before their time
}

type endedContainer struct {
	path   string
	group  *sample.Group
	values [exitValues]float64
	told   int
	phase  uint64
	until  time.Time
}

// add takes in a record. It takes the place of an earlier one of the container.
func (e *endedContainers) add(r *exit.Record, labels []sample.Label, b *sample.Batch) {
	path := r.Container.Cgroup
	old := e.byPath[path]
	if old != nil {
		e.list = slices.DeleteFunc(e.list, func(c *endedContainer) bool { return c == old })
	}
	c := &endedContainer{path: path, phase: e.came, until: b.Time.Add(lasting)}
	e.came++
	if old != nil && slices.Equal(old.group.Labels, labels) {
		c.group = old.group
	} else {
		c.group = &sample.Group{Labels: labels, Series: e.series, Every: max(e.lane, 1)}
		if old != nil {
			b.End(old.group)
		}
	}
	c.fill(r)
	e.list = append(e.list, c)
	if e.byPath == nil {
		e.byPath = make(map[string]*endedContainer)
	}
	e.byPath[path] = c
}

func (c *endedContainer) fill(r *exit.Record) {
	v := c.values[:]
	for i := range v {
		v[i] = sample.Absent
	}
	v[exitTime] = float64(r.Ended.UnixMilli()) / 1e3
	if r.Code.OK {
		v[exitCode] = float64(r.Code.V)
	}
	v[exitComplete] = 0
	if r.Complete {
		v[exitComplete] = 1
	}
	putTime(v, exitCPU, r.CPU.Usage)
	putTime(v, exitCPUUser, r.CPU.User)
	putTime(v, exitCPUSystem, r.CPU.System)
	put(v, exitPeak, r.PeakBytes)
	put(v, exitKills, r.OOMKills)
	var read, written cgroup.Opt[uint64]
	for i := range r.IO {
		read = sum(read, r.IO[i].ReadBytes)
		written = sum(written, r.IO[i].WriteBytes)
	}
	put(v, exitRead, read)
	put(v, exitWritten, written)
}

// sum is absent if both are.
func sum(a, b cgroup.Opt[uint64]) cgroup.Opt[uint64] {
	return cgroup.Opt[uint64]{V: a.V + b.V, OK: a.OK || b.OK}
}

// collect tells of those that ended lately, and ends what has lasted long enough.
func (e *endedContainers) collect(b *sample.Batch) {
	over := 0
	for i, c := range e.list {
		crowded := len(e.list)-over > maxEnded
		left := c.until.Sub(b.Time)
		if expired := left <= 0 || left > lasting; i == over && (expired || crowded) { // too long if the clock was set back
			b.End(c.group)
			delete(e.byPath, c.path)
			over++
			if !expired {
				e.dropped++
			}
			continue
		}
		if c.told < toldAtOnce || due(e.lane, b.Tick, c.phase) {
			c.told++
			copy(b.Add(c.group), c.values[:])
		}
	}
	e.list = slices.Delete(e.list, 0, over)
}

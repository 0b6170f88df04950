package agent

import (
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// conclude makes what a container had used at its end the last sample of its
// series. own are those it has in this tick already. It returns false if nobody
// could read that.
func (s *cgroupSource) conclude(c *container, b *sample.Batch, own []sample.Column) bool {
	if s.opts.Exits == nil || c.series == nil {
		return false
	}
	r, ok := s.opts.Exits.Final(c.is.Cgroup)
	switch {
	case !ok, r.Life <= c.life, r.Ended.Before(c.seen):
		return false // of another life
	case !r.Complete, r.CPU.Usage.V < c.used:
		return false // older than what the series have, or of another life after all
	}
	c.life = r.Life
	c.tellEnd(&r, b, own)
	return true
}

// tellEnd adds what a record has of a container's series.
func (c *container) tellEnd(r *exit.Record, b *sample.Batch, own []sample.Column) {
	room := func(g *sample.Group) []float64 {
		if at := slices.IndexFunc(own, func(of sample.Column) bool { return of.Group == g }); at >= 0 {
			return own[at].Values
		}
		return c.add(b, g)
	}
	c.lastSeen = r.Ended
	v := room(c.series.fast)
	putTime(v, cpuUsage, r.CPU.Usage)
	putTime(v, cpuUser, r.CPU.User)
	putTime(v, cpuSystem, r.CPU.System)
	if c.quota {
		put(v, cpuPeriods, r.CPU.Periods)
		put(v, cpuThrottledPeriods, r.CPU.ThrottledPeriods)
		putTime(v, cpuThrottled, r.CPU.Throttled)
		put(v, cpuBurstPeriods, r.CPU.BurstPeriods)
		putTime(v, cpuBurst, r.CPU.Burst)
	}
	if r.PeakBytes.OK {
		put(room(c.series.slow), memoryPeak, r.PeakBytes)
	}
	for i := range r.IO {
		g := c.series.devices.seen(r.IO[i].Device)
		if g == nil {
			continue
		}
		v := room(*g)
		put(v, ioReads, r.IO[i].Reads)
		put(v, ioWrites, r.IO[i].Writes)
		put(v, ioReadBytes, r.IO[i].ReadBytes)
		put(v, ioWriteBytes, r.IO[i].WriteBytes)
	}
	c.series.devices.settle(b)
	if r.OOMKills.OK {
		c.ooms.learn(r.OOMKills)
		c.ooms.final = r.Complete
	}
}

// briefLives are containers that lived between two ticks, so that nothing but
// the record of their end is known. Their counters begin at 0 as their groups
// did, for a series of one sample has no increase: 0 at the first tick, what
// they had used at the second, and the end at the third.
type briefLives struct {
	last       uint64 // record
	telling    []briefLife
	unattended uint64 // that came when there were too many
}

type briefLife struct {
	container container
	record    exit.Record
}

const (
	maxBriefLives = 1000 // at a time
	// usedWhenNew is more CPU time than a container has used when it is noticed
	// at its start.
	usedWhenNew = cgroup.Nanoseconds(time.Second)
)

// tellBriefLives gives containers that no tick has seen the series that they
// missed.
func (s *cgroupSource) tellBriefLives(b *sample.Batch) {
	if s.opts.Exits == nil {
		return
	}
	for i := range s.brief.telling {
		l := &s.brief.telling[i]
		s.barred = append(s.barred, l.container.is.Cgroup)
		l.container.tellEnd(&l.record, b, nil)
		s.leave(&l.container, b) // which ends it at the next tick
	}
	clear(s.brief.telling)
	s.brief.telling = s.brief.telling[:0]

	records, last := s.opts.Exits.Records(s.brief.last)
	s.brief.last = last
	for i := range records {
		switch r := &records[i]; {
		case !s.wasBrief(r):
		case len(s.brief.telling) >= maxBriefLives:
			s.brief.unattended++
		default:
			s.barred = append(s.barred, r.Container.Cgroup)
			s.beginBriefLife(r, b)
		}
	}
}

// wasBrief tells whether a record is of a container that began and ended between
// two ticks, for all that is known.
func (s *cgroupSource) wasBrief(r *exit.Record) bool {
	path := r.Container.Cgroup
	switch {
	case r.Container.Kind != discover.Workload:
	case r.UsedBefore > usedWhenNew: // only its end was noticed, as after a start of the agent
	case s.byPath[path] != nil, slices.Contains(s.barred, path): // another life of it has series
	case s.remains.read(path, r.Seen): // this one has had some
	default:
		return true
	}
	return false
}

func (s *cgroupSource) beginBriefLife(r *exit.Record, b *sample.Batch) {
	c := container{is: r.Container, seen: r.Seen, life: r.Life, phase: s.came}
	s.came++
	c.series = newContainerSeries(s.metrics, s.fs, s.naming.of(&c.is), s.opts.Lanes)
	s.remains.resume(&c, b)
	v := c.add(b, c.series.fast)
	v[cpuUsage], v[cpuUser], v[cpuSystem] = 0, 0, 0
	s.brief.telling = append(s.brief.telling, briefLife{c, *r})
}

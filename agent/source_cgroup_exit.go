package agent

import (
	"slices"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// conclude makes what a container had used at its end the last sample of its
// series. It returns false if nobody could read that.
func (s *cgroupSource) conclude(c *container, b *sample.Batch) bool {
	if s.opts.Exits == nil || c.series == nil {
		return false
	}
	r, ok := s.opts.Exits.Final(c.is.Cgroup)
	if !ok || r.Life <= c.life || r.Ended.Before(c.seen) {
		return false
	}
	c.life = r.Life
	s.brief.skip(r.Life)
	if !r.Complete {
		return false // it is older than what the series have, for all that is known
	}
	s.tellEnd(c, &r, b)
	return true
}

// tellEnd adds what a record has of a container's series.
func (s *cgroupSource) tellEnd(c *container, r *exit.Record, b *sample.Batch) {
	c.lastSeen = r.Ended
	v := c.again(b, c.series.fast)
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
		put(c.again(b, c.series.slow), memoryPeak, r.PeakBytes)
	}
	for i := range r.IO {
		if g := c.series.devices.seen(r.IO[i].Device); g != nil {
			put(c.again(b, *g), ioReads, r.IO[i].Reads)
			put(c.again(b, *g), ioWrites, r.IO[i].Writes)
			put(c.again(b, *g), ioReadBytes, r.IO[i].ReadBytes)
			put(c.again(b, *g), ioWriteBytes, r.IO[i].WriteBytes)
		}
	}
	c.series.devices.settle(b)
	if r.OOMKills.OK {
		c.ooms.learn(r.OOMKills)
		c.ooms.final = r.Complete
	}
}

// again is add for a group that may be in the batch already.
func (c *container) again(b *sample.Batch, g *sample.Group) []float64 {
	if at := slices.IndexFunc(b.Columns, func(of sample.Column) bool { return of.Group == g }); at >= 0 {
		return b.Columns[at].Values
	}
	return c.add(b, g)
}

// briefLives are containers that lived between two ticks, so that nothing but
// the record of their end is known. Their counters begin at 0 as their groups
// did, for a series of one sample has no increase: 0 at the first tick, what
// they had used at the second, and the end at the third.
type briefLives struct {
	last       uint64 // record
	seen, old  map[uint64]bool
	telling    []briefLife
	unattended uint64 // that came when there were too many
}

type briefLife struct {
	container container
	record    exit.Record
}

const maxBriefLives = 1000 // at a time, and of those that are remembered

// skip notes that a life has series of its own.
func (l *briefLives) skip(life uint64) {
	if l.seen == nil || len(l.seen) >= maxBriefLives {
		l.seen, l.old = make(map[uint64]bool), l.seen
	}
	l.seen[life] = true
}

// tellBriefLives gives containers that no tick has seen the series that they
// missed.
func (s *cgroupSource) tellBriefLives(b *sample.Batch) {
	if s.opts.Exits == nil {
		return
	}
	for i := range s.brief.telling {
		l := &s.brief.telling[i]
		s.barred = append(s.barred, l.container.is.Cgroup)
		s.tellEnd(&l.container, &l.record, b)
		s.leave(&l.container, b) // which ends it at the next tick
	}
	clear(s.brief.telling)
	s.brief.telling = s.brief.telling[:0]

	records, last := s.opts.Exits.Records(s.brief.last)
	s.brief.last = last
	for i := range records {
		r := &records[i]
		path := r.Container.Cgroup
		switch {
		case r.Container.Kind != discover.Workload, s.brief.seen[r.Life], s.brief.old[r.Life]:
		case s.byPath[path] != nil, slices.Contains(s.barred, path): // another life of it has series
		case len(s.brief.telling) >= maxBriefLives:
			s.brief.unattended++
		default:
			s.barred = append(s.barred, path)
			s.beginBriefLife(r, b)
		}
	}
}

func (s *cgroupSource) beginBriefLife(r *exit.Record, b *sample.Batch) {
	c := container{is: r.Container, seen: r.Seen, life: r.Life, phase: s.came}
	s.came++
	c.series = newContainerSeries(s.metrics, s.fs, s.naming.of(&c.is), s.opts.Lanes)
	v := c.add(b, c.series.fast)
	v[cpuUsage], v[cpuUser], v[cpuSystem] = 0, 0, 0
	s.brief.telling = append(s.brief.telling, briefLife{c, *r})
}

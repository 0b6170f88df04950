package agent

import (
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// What is left of a container that is gone lasts five minutes, so that an alert
// on a container that was killed for want of memory, or has vanished, has
// something to look at. cAdvisor's counter dies with the container.
const (
	lasting    = 5 * time.Minute
	maxRemains = 1000
)

// ooms counts kills for want of memory. The kernel's count is exact, but gone
// with the group when the container's first process is the victim. Then the
// engine's word stands for one kill, however often it is given: version 1 has
// the engine say so dozens of times for a single one.
type ooms struct {
	before uint64 // in earlier groups of the container
	kernel cgroup.Opt[uint64]
	told   bool // by the engine, since the kernel's count was read
	final  bool // kernel is the count at the end, to which no word adds
}

// learn takes in the kernel's count. One that cannot be read has not shrunk.
func (o *ooms) learn(kills cgroup.Opt[uint64]) {
	switch {
	case kills.OK:
		o.kernel = kills
	case o.told && !o.kernel.OK: // a kernel without a count
		o.before++
	}
	o.told = false
}

// total is absent if nothing is known.
func (o ooms) total() cgroup.Opt[uint64] {
	n := o.before + o.kernel.V
	if o.told && !o.final {
		n++
	}
	return cgroup.Opt[uint64]{V: n, OK: o.kernel.OK || n > 0}
}

// remains are what is left of containers, oldest first.
type remains struct {
	list    []remnant
	dropped uint64 // before their time
}

type remnant struct {
	path, id string
	group    *sample.Group
	phase    uint64
	lastSeen time.Time
	ooms     ooms
	until    time.Time
	fresh    bool // it ended in this tick
	news     bool // to be told before its turn
}

// add keeps what is left of a container.
func (r *remains) add(c *container, b *sample.Batch) {
	if c.lastSeen.IsZero() {
		return
	}
	r.list = append(r.list, remnant{
		path: c.is.Cgroup, id: c.is.ID,
		group: c.series.lasting, phase: c.phase,
		lastSeen: c.lastSeen, ooms: c.ooms,
		until: b.Time.Add(lasting), fresh: true,
	})
}

// resume hands what is left of a container to the one that has come back in its
// place, as after a restart.
func (r *remains) resume(c *container, b *sample.Batch) {
	i := slices.IndexFunc(r.list, func(old remnant) bool { return old.path == c.is.Cgroup })
	if i < 0 {
		return
	}
	old := r.list[i]
	r.list = slices.Delete(r.list, i, i+1)
	c.ooms.before += old.ooms.total().V // of what its group counts anew
	if slices.Equal(old.group.Labels, c.series.labels) {
		c.series.lasting = old.group
	} else {
		b.End(old.group)
	}
}

// read tells whether the container at a path was read after it was noticed. A
// tick reads a while after the time that it is stamped with.
func (r *remains) read(path string, noticed time.Time) bool {
	return slices.ContainsFunc(r.list, func(old remnant) bool {
		return old.path == path && noticed.Before(old.lastSeen.Add(time.Second))
	})
}

// killed is the engine's word that a process was killed, perhaps the last one.
// It returns false if nothing of that container is left here.
func (r *remains) killed(id string) (found bool) {
	for i := range r.list {
		if old := &r.list[i]; old.id == id {
			old.news = old.news || !old.ooms.told && !old.ooms.final
			old.ooms.told, found = true, true
		}
	}
	return found
}

// collect says again what is left, and ends what has lasted long enough. Where
// there are too many the oldest give way.
func (r *remains) collect(b *sample.Batch, lanes Lanes) {
	over := 0
	for i := range r.list {
		old := &r.list[i]
		if old.fresh { // this tick may have samples of it already
			old.fresh, old.news = false, true
			continue
		}
		crowded := len(r.list)-over > maxRemains
		left := old.until.Sub(b.Time)
		if expired := left <= 0 || left > lasting; expired || crowded { // too long if the clock was set back
			b.End(old.group)
			over++
			if !expired {
				r.dropped++
			}
			continue
		}
		if old.news || due(lanes.Third, b.Tick, old.phase) {
			old.news = false
			v := b.Add(old.group)
			v[lastSeen] = float64(old.lastSeen.Unix())
			put(v, oomEvents, old.ooms.total())
		}
	}
	r.list = slices.Delete(r.list, 0, over)
}

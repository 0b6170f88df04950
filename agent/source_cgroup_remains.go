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

// ooms counts kills for want of memory, by two that may each miss some: the
// kernel's count is gone with the group when the container's first process is
// the victim, and the engine may be down.
type ooms struct {
	before uint64 // in earlier groups of the container
	kernel cgroup.Opt[uint64]
	engine uint64
	news   bool // the engine told of one and it is not in a batch yet
}

// total is the higher of both counts, absent if neither is known.
func (o ooms) total() cgroup.Opt[uint64] {
	n := max(o.before+o.kernel.V, o.engine)
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
	fresh    bool // nothing was said of it yet
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
	c.ooms.before = old.ooms.total().V
	c.ooms.engine += old.ooms.engine
	if slices.Equal(old.group.Labels, c.series.labels) {
		c.series.lasting = old.group
	} else {
		b.End(old.group)
	}
}

// killed is the engine's word that a process was killed, perhaps the last one.
func (r *remains) killed(id string) {
	for i := range r.list {
		if r.list[i].id == id {
			r.list[i].ooms.engine++
			r.list[i].ooms.news = true
		}
	}
}

// collect says again what is left, and ends what has lasted long enough. Where
// there are too many the oldest give way.
func (r *remains) collect(b *sample.Batch, lanes Lanes) {
	over := 0
	for i := range r.list {
		old := &r.list[i]
		if old.fresh { // this tick may have samples of it already
			old.fresh, old.ooms.news = false, true
			continue
		}
		crowded := len(r.list)-over > maxRemains
		if expired := !b.Time.Before(old.until); expired || crowded {
			b.End(old.group)
			over++
			if !expired {
				r.dropped++
			}
			continue
		}
		if old.ooms.news || due(lanes.Third, b.Tick, old.phase) {
			old.ooms.news = false
			v := b.Add(old.group)
			v[lastSeen] = float64(old.lastSeen.Unix())
			put(v, oomEvents, old.ooms.total())
		}
	}
	r.list = slices.Delete(r.list, 0, over)
}

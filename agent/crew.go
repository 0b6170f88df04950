package agent

import (
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// crew keeps what a source has of each container, from when its name is known
// or has been waited for, until it is gone or is called something else. T is
// what is kept: the groups of its series, for one.
//
// A reading calls update, then goes through all:
//
//	s.crew.update(b)
//	for c, kept := range s.crew.all { … }
type crew[T any] struct {
	containers func() (version uint64, list []discover.Container)
	naming     naming
	came       func(c *discover.Container, labels []sample.Label) T
	left       func(kept *T, b *sample.Batch) // ends its groups

	version uint64
	members []*crewMember[T] // in the order of their cgroups
	byPath  map[string]*crewMember[T]
	waiting int // of members, for their names
}

type crewMember[T any] struct {
	is     discover.Container
	seen   time.Time      // first
	labels []sample.Label // nil while it waits for its name
	kept   T
}

// update takes in the containers there are now. It is cheap while they stay the
// same.
func (w *crew[T]) update(b *sample.Batch) {
	version, list := w.containers()
	if w.byPath != nil && version == w.version {
		if w.waiting > 0 {
			w.nameAll(b)
		}
		return
	}
	old := w.byPath
	w.version, w.byPath = version, make(map[string]*crewMember[T], len(list))
	w.members = make([]*crewMember[T], 0, len(list))
	for i := range list {
		path := list[i].Cgroup
		if w.byPath[path] != nil {
			continue
		}
		m := old[path]
		if m == nil {
			m = &crewMember[T]{seen: b.Time}
		}
		delete(old, path)
		m.is = list[i]
		w.byPath[path] = m
		w.members = append(w.members, m)
	}
	for _, m := range old {
		w.end(m, b)
	}
	w.nameAll(b)
}

func (w *crew[T]) nameAll(b *sample.Batch) {
	w.waiting = 0
	for _, m := range w.members {
		if m.labels == nil && waitsForName(&m.is, b.Time.Sub(m.seen)) {
			w.waiting++
			continue
		}
		labels, others := w.naming.again(m.labels, &m.is)
		if !others {
			continue
		}
		w.end(m, b)
		m.labels, m.kept = labels, w.came(&m.is, labels)
	}
}

func (w *crew[T]) end(m *crewMember[T], b *sample.Batch) {
	if m.labels != nil {
		w.left(&m.kept, b)
	}
}

// all yields the containers that have their names, with what is kept of each.
func (w *crew[T]) all(yield func(*discover.Container, *T) bool) {
	for _, m := range w.members {
		if m.labels != nil && !yield(&m.is, &m.kept) {
			return
		}
	}
}

// patience is how long a Docker container waits for its name before it is
// sampled without. The engine tells it some milliseconds after the kernel shows
// the group; without waiting, containers would begin as series of another
// identity that last a second.
const patience = 2 * time.Second

// waitsForName tells whether c, first seen so long ago, should get its name
// before it has series.
func waitsForName(c *discover.Container, ago time.Duration) bool {
	return c.Runtime == "docker" && !c.Known && ago.Abs() < patience
}

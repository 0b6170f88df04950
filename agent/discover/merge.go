package discover

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Bounds of what waits to be taken, and of what the engine may have us know.
const (
	maxEvents = 1024
	maxKnown  = 20_000
)

// about is what an engine says of a container.
type about struct {
	Name    string
	Image   string
	Labels  map[string]string
	Started time.Time
	running bool // as the engine last said
}

// registry joins what the kernel and the engine know, by the id that both have.
// The kernel decides what is there; what the engine says of a container waits
// for it to appear and is forgotten when neither has it any more.
type registry struct {
	mu     sync.Mutex
	groups map[string]Container // the kernel's, by cgroup
	ids    map[string]int       // how many groups have an id
	known  map[string]about     // the engine's, by id

	stale   bool // list is not what the maps say
	version uint64
	list    []Container

	events  []sample.Event
	ooms    []string
	dropped uint64 // events, OOMs and containers that found no room
}

func newRegistry() *registry {
	return &registry{groups: map[string]Container{}, ids: map[string]int{}, known: map[string]about{}}
}

// appeared is the kernel's word that a container is there.
func (r *registry) appeared(c Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.groups[c.Cgroup]; !ok {
		r.groups[c.Cgroup] = c
		r.ids[c.ID]++
		r.stale = true
	}
}

// vanished is the kernel's word that a container is gone.
func (r *registry) vanished(cgroup string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.groups[cgroup]
	if !ok {
		return
	}
	delete(r.groups, cgroup)
	if r.ids[c.ID]--; r.ids[c.ID] == 0 {
		delete(r.ids, c.ID)
	}
	r.stale = true
	r.forget(c.ID)
}

// learned is the engine's word that a container runs, and what it is.
func (r *registry) learned(id string, a about) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.known[id]
	if !ok && len(r.known) >= maxKnown {
		r.dropped++
		return
	}
	if ok {
		// Only name and start change in a container's life. An image is listed
		// under its id once another has taken its name, but is still the same.
		a.Name, a.Image, a.Labels = cmp.Or(a.Name, old.Name), cmp.Or(old.Image, a.Image), old.Labels
		if a.Started.IsZero() {
			a.Started = old.Started
		}
	}
	a.running = true
	r.known[id] = a
	news := !ok || a.Name != old.Name || !a.Started.Equal(old.Started)
	r.stale = r.stale || news && r.ids[id] > 0
}

// renamed is the engine's word on a new name.
func (r *registry) renamed(id, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.known[id]; ok {
		a.Name = name
		r.known[id] = a
		r.stale = true
	}
}

// started is the engine's word on when a container started.
func (r *registry) started(id string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.known[id]; ok {
		a.Started = at
		r.known[id] = a
		r.stale = true
	}
}

// ended is the engine's word that a container no longer runs.
func (r *registry) ended(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(id)
}

// onlyRunning is the engine's word that all others have ended.
func (r *registry) onlyRunning(ids map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.known {
		if !ids[id] {
			r.end(id)
		}
	}
}

func (r *registry) end(id string) {
	if a, ok := r.known[id]; ok {
		a.running = false
		r.known[id] = a
		r.forget(id)
	}
}

// forget drops what the engine said of a container that neither it nor the
// kernel has. A container that restarts is thus known throughout, in whichever
// order the two tell of it.
func (r *registry) forget(id string) {
	if a, ok := r.known[id]; ok && !a.running && r.ids[id] == 0 {
		delete(r.known, id)
	}
}

// of is what the engine said of a container.
func (r *registry) of(id string) (about, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.known[id]
	return a, ok
}

// happened keeps an event until it is taken. A nameless container is called by
// its cgroup, or by its id if it has none.
func (r *registry) happened(id string, e sample.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Container == "" {
		e.Container = id
		for cgroup, c := range r.groups {
			if c.ID == id {
				e.Container = cgroup
			}
		}
	}
	if e.Kind == sample.ContainerOOM {
		if len(r.ooms) < maxEvents {
			r.ooms = append(r.ooms, id)
		} else {
			r.dropped++
		}
	}
	if len(r.events) < maxEvents {
		r.events = append(r.events, e)
	} else {
		r.dropped++
	}
}

func (r *registry) takeEvents() []sample.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.events
	r.events = nil
	return taken
}

func (r *registry) takeOOMs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.ooms
	r.ooms = nil
	return taken
}

// state grows with every change of the containers.
func (r *registry) state() uint64 {
	version, _ := r.containers()
	return version
}

// unknown tells whether the engine might know a container of which it has said
// nothing yet.
func (r *registry) unknown() bool {
	_, list := r.containers()
	return slices.ContainsFunc(list, func(c Container) bool {
		return !c.Known && (c.Runtime == "docker" || c.Runtime == "")
	})
}

// unstarted are the ids of those whose start the engine has not told.
func (r *registry) unstarted() (ids []string) {
	_, list := r.containers()
	for _, c := range list {
		if c.Known && c.Started.IsZero() {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// containers are all containers in the order of their cgroups, and a number
// that grows when they change.
func (r *registry) containers() (version uint64, list []Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale {
		r.list = r.join()
		r.version++
		r.stale = false
	}
	return r.version, r.list
}

// join adds to the kernel's containers what the engine says. An id is believed
// of one cgroup only: a user who may make cgroups of his own could give one the
// id of another's container.
func (r *registry) join() []Container {
	list := make([]Container, 0, len(r.groups))
	for _, c := range r.groups {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Container) int { return cmp.Compare(a.Cgroup, b.Cgroup) })

	owner := make(map[string]int, len(list)) // index in list by id
	for i, c := range list {
		if j, ok := owner[c.ID]; !ok || credible(c.Cgroup) > credible(list[j].Cgroup) {
			owner[c.ID] = i
		}
	}
	for id, i := range owner {
		if a, ok := r.known[id]; ok {
			c := &list[i]
			c.Known, c.Runtime = true, cmp.Or(c.Runtime, "docker")
			c.Name, c.Image, c.Labels, c.Started = a.Name, a.Image, a.Labels, a.Started
		}
	}
	return list
}

// credible orders cgroups with the same id, the most credible highest: not
// within a user's own tree, and near the root.
func credible(cgroup string) int {
	score := -strings.Count(cgroup, "/")
	if strings.HasPrefix(cgroup, "/user.slice/") {
		score -= 1000
	}
	return score
}

func (r *registry) droppedSoFar() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

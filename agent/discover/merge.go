package discover

import (
	"cmp"
	"maps"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// maxKnown bounds of how many containers others may have us know.
const maxKnown = 20_000

// sameStart is how much later than the engine the kernel may tell of a restart.
const sameStart = 10 * time.Second

// entry is what is known of a container beyond the kernel's word.
type entry struct {
	engine  about
	files   about
	heard   bool // the engine has told of it
	read    bool // the files have told, which they do once
	running bool // as the engine last said

	unlisted bool // was not among those that the engine last listed
}

// registry joins what the kernel and the others know, by the id that all have.
// The kernel decides what is there; what the engine says of a container waits
// for it to appear and is forgotten when neither has it any more.
type registry struct {
	mu     sync.Mutex
	groups map[string]Container // the kernel's, by cgroup
	ids    map[string]int       // how many groups have an id
	known  map[string]*entry    // by id

	pods   map[string]about // kubelet's last word, by uid
	inPods map[string]about // the same, by the id of a container

	stale   bool // list is not what the maps say
	version uint64
	list    []Container
	told    func(Container) // called with each that appears; nil for nobody
	arrived []chan struct{} // told when a container appears; each holds one

	events  []sample.Event
	ooms    []*[]string // of each who listens
	exits   []Exit
	dropped uint64 // events, OOMs, exits and containers that found no room
	cut     uint64 // texts and labels that were too long or too many
}

func newRegistry() *registry {
	return &registry{groups: map[string]Container{}, ids: map[string]int{}, known: map[string]*entry{}}
}

// arrivals tells when containers or pods have appeared. It is called before
// there are any.
func (r *registry) arrivals() <-chan struct{} {
	c := make(chan struct{}, 1)
	r.arrived = append(r.arrived, c)
	return c
}

// appeared is the kernel's word that a container or pod is there.
func (r *registry) appeared(c Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.groups[c.Cgroup]; ok {
		return
	}
	if r.told != nil {
		r.told(c)
	}
	r.groups[c.Cgroup] = c
	if c.ID != "" {
		r.ids[c.ID]++
	}
	r.stale = true
	for _, a := range r.arrived {
		select {
		case a <- struct{}{}:
		default: // it has not heard of the one before either
		}
	}
}

// vanished is the kernel's word that a container or pod is gone.
func (r *registry) vanished(cgroup string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.groups[cgroup]
	if !ok {
		return
	}
	delete(r.groups, cgroup)
	r.stale = true
	if c.ID == "" {
		return
	}
	if r.ids[c.ID]--; r.ids[c.ID] > 0 {
		return
	}
	delete(r.ids, c.ID)
	if k := r.known[c.ID]; k != nil {
		// If it comes back they say something else, and so does the engine of
		// its start, unless it has done so already.
		k.files, k.read = about{}, false
		if time.Since(k.engine.Started) > sameStart {
			k.engine.Started = time.Time{}
		}
		r.forget(c.ID)
	}
}

// learned is the engine's word that a container runs, and what it is.
func (r *registry) learned(id string, a about) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.entry(id)
	if k == nil {
		return
	}
	old := k.engine
	if k.heard {
		// Only name, start and health change in a container's life. An image is
		// listed under its id once another has taken its name, but is the same.
		a.Name, a.Image, a.Labels = cmp.Or(a.Name, old.Name), cmp.Or(old.Image, a.Image), old.Labels
		a.kube, a.exitLabel = old.kube, old.exitLabel
		if a.Started.IsZero() {
			a.Started = old.Started
		}
		if a.Created.IsZero() {
			a.Created = old.Created
		}
		shorten(&a.Name)
	} else {
		r.cut += a.bound()
	}
	news := !k.heard || a.Name != old.Name || a.Health != old.Health || !a.Started.Equal(old.Started) || !a.Created.Equal(old.Created)
	k.engine, k.heard, k.running, k.unlisted = a, true, true, false
	k.files.Labels = nil
	r.stale = r.stale || news && r.ids[id] > 0
}

// entry is that of an id, made if there is room.
func (r *registry) entry(id string) *entry {
	k := r.known[id]
	if k == nil {
		if len(r.known) >= maxKnown {
			r.dropped++
			return nil
		}
		k = &entry{}
		r.known[id] = k
	}
	return k
}

// update changes what the engine said of a container that it has told of.
func (r *registry) update(id string, change func(*about)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.known[id]; k != nil && k.heard {
		change(&k.engine)
		r.cut += shorten(&k.engine.Name)
		r.stale = true
	}
}

// unheard takes back what holds only as long as the engine is listened to.
func (r *registry) unheard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.known {
		if k.engine.Health != NoHealth {
			k.engine.Health = NoHealth
			r.stale = true
		}
	}
}

// read is the word of a container's files.
func (r *registry) read(id string, a about) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[id] == 0 {
		return // gone meanwhile
	}
	if k := r.entry(id); k != nil {
		if k.heard {
			a.Labels = nil // the engine's count, and twice is too much
		}
		r.cut += a.bound()
		k.files, k.read = a, true
		r.stale = true
	}
}

// listed is kubelet's word on its pods by uid, and on their containers by id.
func (r *registry) listed(pods, containers map[string]about) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range []map[string]about{pods, containers} {
		for key, a := range all {
			r.cut += a.bound()
			all[key] = a
		}
	}
	r.stale = r.stale || !maps.EqualFunc(r.pods, pods, about.equal) || !maps.EqualFunc(r.inPods, containers, about.equal)
	r.pods, r.inPods = pods, containers
}

// unread are the containers whose files might tell what the engine has not, by
// id, with the runtime as far as the path tells.
func (r *registry) unread() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]string)
	for _, c := range r.groups {
		k := r.known[c.ID]
		if c.ID != "" && (k == nil || !k.read && (!k.heard || k.engine.Started.IsZero() || k.engine.Created.IsZero())) {
			all[c.ID] = c.Runtime
		}
	}
	return all
}

// nameless are the cgroups of pods and their containers that kubelet might name.
func (r *registry) nameless() (cgroups []string) {
	_, list := r.containers()
	for _, c := range list {
		if c.PodUID != "" && !c.Known {
			cgroups = append(cgroups, c.Cgroup)
		}
	}
	return cgroups
}

// ended is the engine's word that a container no longer runs.
func (r *registry) ended(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(id)
}

// onlyRunning is the engine's word that all others have ended. How, it may be
// about to tell, which takes what is known of them: they are kept until settle.
func (r *registry) onlyRunning(ids map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.known {
		k.unlisted = !ids[id]
	}
}

// settle takes those for ended that were not listed and of which the engine has
// told nothing since.
func (r *registry) settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.known {
		if k.unlisted {
			r.end(id)
		}
	}
}

func (r *registry) end(id string) {
	if k := r.known[id]; k != nil {
		k.running = false
		r.forget(id)
	}
}

// forget drops what was said of a container that neither the engine nor the
// kernel has. A container that restarts is thus known throughout, in whichever
// order the two tell of it.
func (r *registry) forget(id string) {
	if k := r.known[id]; k != nil && !k.running && r.ids[id] == 0 {
		delete(r.known, id)
	}
}

// of is what the engine said of a container.
func (r *registry) of(id string) (about, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.known[id]; k != nil && k.heard {
		return k.engine, true
	}
	return about{}, false
}

// state grows with every change of the containers.
func (r *registry) state() uint64 {
	version, _ := r.containers()
	return version
}

// unknown tells whether the engine might know a container of which it has said
// nothing yet.
func (r *registry) unknown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.groups {
		k, runtime := r.known[c.ID], c.Runtime
		if k != nil {
			runtime = cmp.Or(runtime, k.files.Runtime)
		}
		if c.ID != "" && (k == nil || !k.heard) && (runtime == "docker" || runtime == "") {
			return true
		}
	}
	return false
}

// unstarted are the ids of those of which the engine has told, but nobody when
// they started.
func (r *registry) unstarted() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.known {
		if k.heard && k.engine.Started.IsZero() && k.files.Started.IsZero() && r.ids[id] > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// containers are all containers and pods in the order of their cgroups, and a
// number that grows when they change.
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

func (r *registry) stats() (dropped, cut uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped, r.cut
}

package discover

import "github.com/plimsoll-io/plimsoll/agent/sample"

// maxEvents bounds what waits to be taken, of each kind.
const maxEvents = 1024

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
		for _, listener := range r.ooms {
			*listener = keep(r, *listener, id)
		}
	}
	r.events = keep(r, r.events, e)
}

// exited keeps how a container ended until it is taken.
func (r *registry) exited(e Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.As.ID = e.ID
	r.name(e.ID, &e.As)
	r.exits = keep(r, r.exits, e)
}

func keep[T any](r *registry, all []T, one T) []T {
	if len(all) >= maxEvents {
		r.dropped++
		return all
	}
	return append(all, one)
}

func (r *registry) takeEvents() []sample.Event { return takeAll(r, &r.events) }
func (r *registry) takeExits() []Exit          { return takeAll(r, &r.exits) }

// oomFeed is a way to take what the engine tells from now on.
func (r *registry) oomFeed() (take func() []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := new([]string)
	r.ooms = append(r.ooms, waiting)
	return func() []string { return takeAll(r, waiting) }
}

func takeAll[T any](r *registry, all *[]T) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := *all
	*all = nil
	return taken
}

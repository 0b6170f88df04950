package inventory

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// State is how something fares, as far as it can be known.
type State string

const (
	// Running is one whose newest reading is of now.
	Running State = "running"
	// Ended is one whose node has reported since, without it.
	Ended State = "ended"
	// Stale is one whose node does not report, so that it may run or not.
	Stale State = "stale"
)

// endedFor is how long a container is listed after its end.
const endedFor = 5 * time.Minute

// Container is one that runs, or did lately.
type Container struct {
	Node  string // that it is on
	ID    string // path of its cgroup
	Name  string // as its runtime has it; the last part of ID if it has none
	Image string
	// Service it belongs to; the zero Service if to none.
	Service        Workload
	Namespace, Pod string // in Kubernetes
	State          State
	Seen           time.Time // of its newest reading, by the node's clock
	Started        time.Time // zero if not known
	// Healthy is what its health check says; nil if it has none or that is not
	// known.
	Healthy *bool

	live     bool // in the last look at the store
	ended    bool
	recalled bool // never live in this process
}

// Workload names something of which a platform runs replicas.
type Workload struct {
	Platform  string `json:"platform"`            // "swarm", "compose", "kubernetes", …
	Namespace string `json:"namespace,omitempty"` // of Kubernetes; in Compose the project
	Name      string `json:"name"`
}

// String is how a workload is written: "swarm shop_web", "compose shop/web".
func (w Workload) String() string {
	if w.Namespace != "" {
		return w.Platform + " " + w.Namespace + "/" + w.Name
	}
	return w.Platform + " " + w.Name
}

// place identifies a container: names are not unique, and may change.
type place struct{ node, id string }

// workloads selects what is a container of its own, and neither the whole node
// nor the group around a pod's containers.
const workloads = `{node!="", id!="/", id!~".*/(pod[0-9a-f-]+|[^/]*-pod[0-9a-f_]+[.]slice)"}`

// Containers lists the containers by node, name and id, each in the state that
// it is in now.
func (v *Inventory) Containers() []Container {
	now := v.opts.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]Container, 0, len(v.containers))
	for _, c := range v.containers {
		shown := *c
		shown.State = v.stateOf(c, now)
		list = append(list, shown)
	}
	return sorted(list, func(a, b *Container) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
}

// stateOf is the state of a container. v.mu is held.
func (v *Inventory) stateOf(c *Container, now time.Time) State {
	switch {
	case c.ended:
		return Ended
	case c.live && v.fresh(c.Node, c.Seen, now):
		return Running
	}
	return Stale
}

// readContainers asks the store for containers, and tells whether all questions
// were answered: from half an answer one would conclude that the rest has ended.
func (r *reading) readContainers() (found map[place]*Container, ok bool) {
	found = map[place]*Container{}
	of := func(l map[string]string, at float64) *Container {
		if l["pod"] != "" && l["container"] == "" {
			return nil // the sandbox, which does no work
		}
		key := place{l["node"], l["id"]}
		c := found[key]
		if c == nil {
			c = &Container{Node: key.node, ID: key.id, recalled: true}
			found[key] = c
		}
		// Until its name is known a container may have had other series.
		if t := unix(at); !t.Before(c.Seen) || c.Image == "" {
			c.describe(l)
			c.Seen = latest(c.Seen, t)
		}
		return c
	}
	listed := func(l map[string]string, at float64) { of(l, at) }
	r.past("container_last_seen"+workloads, listed)
	ok = r.each("container_last_seen"+workloads, listed)
	ok = r.each("timestamp(container_cpu_usage_seconds_total"+workloads+")", func(l map[string]string, at float64) {
		if c := of(l, at); c != nil {
			c.live, c.recalled = true, false
		}
	}) && ok
	r.each("container_start_time_seconds"+workloads, func(l map[string]string, value float64) {
		if c := found[place{l["node"], l["id"]}]; c != nil {
			c.Started = latest(c.Started, unix(value))
		}
	})
	r.each("container_health_state"+workloads+" >= 0", func(l map[string]string, value float64) {
		if c := found[place{l["node"], l["id"]}]; c != nil {
			healthy := value > 0
			c.Healthy = &healthy
		}
	})
	return found, ok
}

// describe takes in the labels of a container's series.
func (c *Container) describe(l map[string]string) {
	c.Name = cmp.Or(l["name"], path.Base(c.ID))
	c.Image, c.Namespace, c.Pod = l["image"], l["namespace"], l["pod"]
	c.Service = Workload{}
	const label = "container_label_com_docker_"
	switch {
	case l[label+"swarm_service_name"] != "":
		c.Service = Workload{Platform: "swarm", Name: l[label+"swarm_service_name"]}
	case l[label+"compose_service"] != "":
		c.Service = Workload{Platform: "compose", Namespace: l[label+"compose_project"], Name: l[label+"compose_service"]}
	}
	if name := l["container"]; name != "" {
		c.Name = name
	}
}

// takeContainers brings in what was read. v.mu is held.
func (v *Inventory) takeContainers(found map[place]*Container, now time.Time) {
	for key, c := range found {
		if old := v.containers[key]; old != nil {
			c.Seen = latest(c.Seen, old.Seen)
			c.recalled = c.recalled && old.recalled
			c.ended = old.ended && !c.live
			if c.Started.IsZero() {
				c.Started = old.Started
			}
		}
		v.containers[key] = c
	}
	for key, c := range v.containers {
		if found[key] == nil {
			c.live = false
		}
		if !c.live && !c.ended {
			until, grace := v.reach(c.Node, c.recalled)
			c.ended = until.Sub(c.Seen) > grace
		}
		if age := seen(c.Seen, now); age > v.opts.Remember || c.ended && age > endedFor {
			delete(v.containers, key)
		}
	}
	v.boundContainers()
}

// boundContainers forgets those for which there is no room: of what does not run
// first, and of what was seen longest ago. v.mu is held.
func (v *Inventory) boundContainers() {
	over := v.over("containers", v.opts.Containers, len(v.containers))
	if over == 0 {
		return
	}
	keys := slices.SortedFunc(maps.Keys(v.containers), func(a, b place) int {
		x, y := v.containers[a], v.containers[b]
		if x.live != y.live {
			if y.live {
				return -1
			}
			return 1
		}
		return cmp.Or(x.Seen.Compare(y.Seen), strings.Compare(a.node, b.node), strings.Compare(a.id, b.id))
	})
	for _, key := range keys[:over] {
		delete(v.containers, key)
	}
}

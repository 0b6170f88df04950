package discover

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// join adds to the kernel's containers what the others say. An id is believed
// of one cgroup only, and the uid of a pod too: a user who may make cgroups of
// his own could give one the id of another's container.
func (r *registry) join() []Container {
	list := make([]Container, 0, len(r.groups))
	for _, c := range r.groups {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Container) int { return cmp.Compare(a.Cgroup, b.Cgroup) })

	owner, pods := make(map[string]*Container, len(list)), map[string]*Container{}
	for i := range list {
		c, of := &list[i], owner
		key := c.ID
		if c.Kind == Pod {
			key, of = c.PodUID, pods
		}
		if other := of[key]; other == nil || credible(c.Cgroup) > credible(other.Cgroup) {
			of[key] = c
		}
	}
	for id, c := range owner {
		r.name(id, c)
	}
	r.namePods(list, pods)
	return list
}

// name adds to a container what is said of its id. The engine and kubelet are
// believed more than files, as they know what has changed since.
func (r *registry) name(id string, c *Container) {
	var said about
	var known bool
	if k := r.known[id]; k != nil {
		said, known = k.engine, k.heard
	}
	if a, ok := r.inPods[id]; ok {
		said, known = said.or(a), true
	}
	if k := r.known[id]; k != nil && k.files.Runtime != "" {
		said, known = said.or(k.files), true
	}
	if !known {
		return
	}
	c.Known, c.Runtime = true, cmp.Or(c.Runtime, said.Runtime)
	c.Name, c.Image, c.Labels = said.Name, said.Image, said.Labels
	c.Created, c.Started, c.Health = said.Created, said.Started, said.Health
	// The label of an image that names another's pod is no evidence.
	if k := said.kube; c.PodUID != "" && (k.uid == "" || k.uid == c.PodUID) {
		c.Namespace, c.PodName, c.ContainerName = k.namespace, k.pod, k.container
		if k.sandbox {
			c.Kind = Sandbox
		}
	}
}

// namePods adds to pods what kubelet says of them or, if it says nothing, what
// any of their containers does, and to their containers what they know of the
// pod.
func (r *registry) namePods(list []Container, pods map[string]*Container) {
	for uid, p := range pods {
		if a, ok := r.pods[uid]; ok {
			p.Known, p.Namespace, p.PodName = true, a.kube.namespace, a.kube.pod
			p.Labels, p.Created, p.Started = a.Labels, a.Created, a.Started
		}
	}
	for i := range list {
		c := &list[i]
		p := pods[c.PodUID]
		if c.Kind != Pod && c.PodName != "" && p != nil && !p.Known {
			p.Known, p.Namespace, p.PodName = true, c.Namespace, c.PodName
		}
	}
	for i := range list {
		c := &list[i]
		if p := pods[c.PodUID]; c.Kind != Pod && c.PodName == "" && p != nil && path.Dir(c.Cgroup) == p.Cgroup {
			c.Namespace, c.PodName = p.Namespace, p.PodName
		}
	}
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

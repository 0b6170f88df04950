package inventory

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// GPU is a device, or an instance of one that is split.
type GPU struct {
	Node     string
	UUID     string // of the device
	Index    string // of the device on its node
	Model    string
	Instance string // its number; empty for a whole device
	Profile  string // of the instance, such as 1g.10gb
	State    State  // Ended: its node reports, and not of it any more
	Seen     time.Time
	Lost     *bool     // whether it has stopped answering; nil if that is not known
	Used     *float64  // bytes of its memory in use, by anybody
	Memory   *float64  // bytes in all
	Users    []GPUUser // containers that use it, by id

	live, ended, recalled bool
}

// GPUUser is a container that uses a GPU.
type GPUUser struct {
	ID   string   `json:"id"` // path of its cgroup
	Name string   `json:"name,omitempty"`
	Used *float64 `json:"memory_used_bytes"` // nil if that is not known
}

type part struct{ node, uuid, instance string }

func partOf(l map[string]string) part { return part{l["node"], l["UUID"], l["GPU_I_ID"]} }

// GPUs lists the GPUs by node, index and instance.
func (v *Inventory) GPUs() []GPU {
	now := v.opts.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]GPU, 0, len(v.gpus))
	for _, g := range v.gpus {
		shown := *g
		switch {
		case g.ended:
			shown.State = Ended
		case g.live && v.fresh(g.Node, g.Seen, now):
			shown.State = Running
		default:
			shown.State = Stale
		}
		list = append(list, shown)
	}
	return sorted(list, func(a, b *GPU) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), cmp.Compare(len(a.Index), len(b.Index)), strings.Compare(a.Index, b.Index),
			strings.Compare(a.UUID, b.UUID), strings.Compare(a.Instance, b.Instance))
	})
}

// mebibyte is the unit of DCGM's memory metrics.
const mebibyte = 1 << 20

// readGPUs asks the store for GPUs, and tells whether it is known which there
// are. A device that is split has memory in its instances alone.
func (r *reading) readGPUs() (found map[part]*GPU, ok bool) {
	found = map[part]*GPU{}
	of := func(l map[string]string) *GPU {
		key := partOf(l)
		g := found[key]
		if g == nil {
			g = &GPU{
				Node: key.node, UUID: key.uuid, Instance: key.instance,
				Index: l["gpu"], Model: l["modelName"], Profile: l["GPU_I_PROFILE"], recalled: true,
			}
			found[key] = g
		}
		return g
	}
	listed := func(l map[string]string, at float64) {
		g := of(l)
		g.Seen = latest(g.Seen, unix(at))
	}
	living := func(l map[string]string, at float64) {
		listed(l, at)
		g := of(l)
		g.live, g.recalled = true, false
	}
	// Every device has the former, every instance the latter.
	const devices, instances = `timestamp(plimsoll_gpu_lost{node!=""})`, `timestamp(DCGM_FI_DEV_FB_TOTAL{node!="",GPU_I_ID!=""})`
	ok = true
	for _, promql := range []string{devices, instances} {
		r.past(promql, listed)
		ok = r.each(promql, living) && ok
	}
	known := func(l map[string]string, set func(*GPU)) {
		if g := found[partOf(l)]; g != nil {
			set(g)
		}
	}
	r.each(`plimsoll_gpu_lost{node!=""}`, func(l map[string]string, value float64) {
		lost := value != 0
		known(l, func(g *GPU) { g.Lost = &lost })
	})
	r.each(`DCGM_FI_DEV_FB_USED{node!=""}`, func(l map[string]string, value float64) {
		value *= mebibyte
		known(l, func(g *GPU) { g.Used = &value })
	})
	r.each(`DCGM_FI_DEV_FB_TOTAL{node!=""}`, func(l map[string]string, value float64) {
		value *= mebibyte
		known(l, func(g *GPU) { g.Memory = &value })
	})
	r.readGPUUsers(known)
	for _, g := range found {
		slices.SortFunc(g.Users, func(a, b GPUUser) int { return strings.Compare(a.ID, b.ID) })
	}
	return found, ok
}

// readGPUUsers asks for both series of a user, as a driver may know either alone.
func (r *reading) readGPUUsers(known func(map[string]string, func(*GPU))) {
	user := func(g *GPU, l map[string]string) *GPUUser {
		i := slices.IndexFunc(g.Users, func(u GPUUser) bool { return u.ID == l["id"] })
		if i < 0 {
			g.Users = append(g.Users, GPUUser{ID: l["id"], Name: cmp.Or(l["container"], l["name"])})
			i = len(g.Users) - 1
		}
		return &g.Users[i]
	}
	r.each(`plimsoll_container_gpu_memory_used_bytes{node!="",id!=""}`, func(l map[string]string, value float64) {
		known(l, func(g *GPU) { user(g, l).Used = &value })
	})
	r.each(`plimsoll_container_gpu_sm_utilization_ratio{node!="",id!=""}`, func(l map[string]string, _ float64) {
		known(l, func(g *GPU) { user(g, l) })
	})
}

// takeGPUs brings in what was read. v.mu is held.
func (v *Inventory) takeGPUs(found map[part]*GPU, now time.Time) {
	for key, g := range found {
		if old := v.gpus[key]; old != nil {
			g.Seen = latest(g.Seen, old.Seen)
			g.recalled = g.recalled && old.recalled
			g.ended = old.ended && !g.live
		}
		v.gpus[key] = g
	}
	for key, g := range v.gpus {
		if found[key] == nil {
			g.live = false
		}
		if !g.live && !g.ended {
			until, grace := v.reach(g.Node, g.recalled)
			g.ended = until.Sub(g.Seen) > grace
		}
		if seen(g.Seen, now) > v.opts.Remember {
			delete(v.gpus, key)
		}
	}
	over := v.over("gpus", v.opts.GPUs, len(v.gpus))
	for _, key := range slices.SortedFunc(maps.Keys(v.gpus), func(a, b part) int { return v.gpus[a].Seen.Compare(v.gpus[b].Seen) })[:over] {
		delete(v.gpus, key)
	}
}

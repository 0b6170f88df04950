package exit

import (
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// patience is how long a record waits for what the engine has to say. It tells
// of an end within half a second, on a busy machine within three.
const patience = 5 * time.Second

// maxHeld is how many records may wait. The oldest give way.
const maxHeld = 1024

// release hands on the records that have nothing to wait for.
func (k *clerk) release(now time.Time) {
	kept := k.held[:0]
	for i := range k.held {
		r := &k.held[i]
		k.name(r)
		crowded := len(k.held)-i > maxHeld
		if k.waits(r) && now.Sub(r.Ended).Abs() < patience && !crowded {
			kept = append(kept, *r)
			continue
		}
		k.countKill(r)
		k.w.publish(*r, mayBeNamed(r) && !r.Container.Known)
	}
	clear(k.held[len(kept):])
	k.held = kept
}

// name joins a record with what is known of its container.
func (k *clerk) name(r *Record) {
	if !r.Container.Known {
		for _, all := range [...]map[string]*discover.Container{k.list, k.gone} {
			if c := all[r.Container.Cgroup]; c != nil && c.Known && c.ID == r.Container.ID {
				r.Container = *c
				break
			}
		}
	}
	if t, ok := k.told[r.Container.ID]; ok && !r.Code.OK && !t.At.Before(r.Seen) {
		r.join(t)
		delete(k.told, t.ID)
	}
}

// join takes in what the engine told of the end.
func (r *Record) join(t Told) {
	r.Code = cgroup.Opt[int]{V: t.Code, OK: true}
	if t.As.Known && !r.Container.Known {
		group := r.Container.Cgroup
		r.Container = t.As
		r.Container.Cgroup = group
	}
}

// waits tells whether the engine may have something to say on a record still.
func (k *clerk) waits(r *Record) bool {
	return k.w.opts.Told != nil && mayBeNamed(r) && !(r.Container.Known && r.Code.OK)
}

// mayBeNamed tells whether a container is one of the engine's, as far as that
// can be told.
func mayBeNamed(r *Record) bool {
	return r.Container.Runtime == "docker" || r.Container.Runtime == ""
}

// countKill takes the engine's word for one kill where the kernel's last count
// was missed. It may give it dozens of times for a single one.
func (k *clerk) countKill(r *Record) {
	at, ok := k.ooms[r.Container.ID]
	if ok && !at.Before(r.Seen) && (!r.Complete || !r.OOMKills.OK) {
		r.OOMKills = cgroup.Opt[uint64]{V: max(r.OOMKills.V, r.KilledBefore+1), OK: true}
	}
}

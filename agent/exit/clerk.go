package exit

import (
	"context"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// How often the clerk looks: for news of containers, and while a record waits,
// for what it waits for. Names of the shortest lives are known for some
// milliseconds only.
const (
	lookEvery = time.Second
	lookLater = 100 * time.Millisecond
	lookSoon  = 10 * time.Millisecond
	soon      = 200 * time.Millisecond // after an end
	listEvery = 30 * time.Second       // all containers, in case a request was dropped
)

// Bounds of what waits for its other half.
const (
	maxWords  = 1024
	keepWords = 30 * time.Second
)

// clerk joins what the reader has read with what the engine says. All of it
// belongs to one goroutine.
type clerk struct {
	w    *Watcher
	held []Record // oldest first

	version uint64
	list    map[string]*discover.Container // by cgroup; nil before the first look
	gone    map[string]*discover.Container // list as it was before
	listAt  time.Time

	told map[string]Told      // by id, of lives that are not known to have ended
	ooms map[string]time.Time // by id, when the engine last told of one
}

func newClerk(w *Watcher) *clerk {
	return &clerk{w: w, told: make(map[string]Told), ooms: make(map[string]time.Time)}
}

func (k *clerk) run(ctx context.Context) {
	k.listAt = time.Now()
	k.look(k.listAt)
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-k.w.endings:
			k.held = append(k.held, *r)
		case <-timer.C:
		}
		now := time.Now()
		k.look(now)
		k.release(now)
		timer.Reset(k.pause(now))
	}
}

func (k *clerk) pause(now time.Time) time.Duration {
	switch {
	case len(k.held) == 0:
		return lookEvery
	case now.Sub(k.held[len(k.held)-1].Ended) < soon:
		return lookSoon
	}
	return lookLater
}

// look takes in what there is to know.
func (k *clerk) look(now time.Time) {
	if version, list := k.w.opts.Containers(); k.list == nil || version != k.version {
		k.version = version
		k.compare(list)
	}
	if now.Sub(k.listAt) >= listEvery {
		k.listAt = now
		for _, c := range k.list {
			k.w.ask(request{*c, listed})
		}
	}
	if k.w.opts.OOMs != nil {
		k.hearOOMs(k.w.opts.OOMs(), now)
	}
	if k.w.opts.Told != nil {
		for _, t := range k.w.opts.Told() {
			k.hear(t)
		}
	}
	for id, t := range k.told {
		if now.Sub(t.At).Abs() > keepWords {
			delete(k.told, id)
		}
	}
	for id, at := range k.ooms {
		if now.Sub(at) > keepWords {
			delete(k.ooms, id)
		}
	}
}

// compare has the reader look at those who have come and gone.
func (k *clerk) compare(list []discover.Container) {
	k.gone = k.list
	k.list = make(map[string]*discover.Container, len(list))
	for i := range list {
		c := &list[i]
		if k.gone[c.Cgroup] == nil {
			k.w.ask(request{*c, listed})
		}
		k.list[c.Cgroup] = c
	}
	for path, c := range k.gone {
		if k.list[path] == nil {
			k.w.ask(request{*c, left})
		}
	}
}

// hearOOMs takes in the engine's word that the kernel killed. The kernel's own
// count is better, and is read again.
func (k *clerk) hearOOMs(ids []string, now time.Time) {
	if len(ids) == 0 {
		return
	}
	news := make(map[string]bool)
	for _, id := range ids {
		if _, ok := k.ooms[id]; ok || len(k.ooms) < maxWords {
			k.ooms[id], news[id] = now, true
		}
	}
	for _, c := range k.list {
		if news[c.ID] {
			k.w.ask(request{*c, stirred})
		}
	}
}

// hear takes in the engine's word on an end.
func (k *clerk) hear(t Told) {
	for i := range k.held {
		if r := &k.held[i]; r.Container.ID == t.ID && !r.Code.OK {
			r.join(t)
			return
		}
	}
	if _, ok := k.told[t.ID]; ok || len(k.told) < maxWords {
		k.told[t.ID] = t
	}
}

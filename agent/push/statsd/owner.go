package statsd

import "time"

// owners remembers which container processes are in. It is for one goroutine.
type owners struct {
	look  func(pid int) string
	known map[int]owner
}

type owner struct {
	container string
	until     time.Time
}

// What is remembered is forgotten soon, for the number of a process may go to
// another, and all at once if it is of too many.
const (
	ownerLife = 10 * time.Second
	maxOwners = 1024
)

// of is the id of a process' container.
func (o *owners) of(pid int, now time.Time) string {
	if pid <= 0 || o.look == nil {
		return ""
	}
	if known, ok := o.known[pid]; ok && now.Before(known.until) {
		return known.container
	}
	if o.known == nil || len(o.known) >= maxOwners {
		o.known = make(map[int]owner)
	}
	found := owner{o.look(pid), now.Add(ownerLife)}
	o.known[pid] = found
	return found.container
}

package inventory

import (
	"slices"
	"time"
)

// Event is something that happened on a node.
type Event struct {
	Node      string    `json:"node"`
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"`                // "exited", "oom", …
	Container string    `json:"container,omitempty"` // empty if it is about the node
	Text      string    `json:"text,omitempty"`      // one line
}

// Event notes that something happened.
func (v *Inventory) Event(node string, at time.Time, kind, container, text string) {
	e := Event{Node: node, Time: at, Kind: kind, Container: container, Text: text}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.events) < cap(v.events) {
		v.events = append(v.events, e)
		return
	}
	v.events[v.next] = e
	v.next = (v.next + 1) % len(v.events)
	v.metrics.forgotten.Inc()
}

// Events lists what happened, the latest first. Events of one time keep the
// order in which they came in.
func (v *Inventory) Events() []Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	events := slices.Concat(v.events[v.next:], v.events[:v.next])
	slices.SortStableFunc(events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	slices.Reverse(events)
	return events
}

// Package push holds what applications push: the current values of their own
// metrics, from when they first come until they are no longer renewed. It
// promises that no sender can make the agent grow, slow down or say of others
// what is not true: memory, series, labels and rates are bounded, what is beyond
// is counted by its reason, and labels that tell who somebody is are the
// agent's to give.
//
//	statsd ─┐                                     ┌─ at each tick: what has changed
//	        ├─ Feed ─ Sender ─ Point ── Table ────┼─ at its turn: what is held, again
//	otlp ───┘   bounds, counters                  └─ ends: idle, or its container left
//
// Each point, which is a metric with one set of labels, has a group of its own:
// a counter's has one series, a histogram's one for each bucket, its sum and its
// count. So that what comes and goes ends exactly, and no group waits for another
// series to fill it. On the wire a group costs one byte a frame.
package push

// Package ingest takes the frames of agents into the store.
//
//	Push ─ session ─ Decoder ─┬─ limits ─ samples ─┬─ Commit ┬─ Sync ─ ack
//	                          └─ number of frame ──┘         └─ lost agents, what they left
//
// It promises that a frame is acknowledged once it is on stable storage, and
// that each is stored once, whatever was killed or cut in between: the number
// of a frame and its samples are one transaction of the store, and the number
// is where the next stream goes on. What an agent says is not believed: every
// reference, length, label and time is checked, node and instance come from the
// stream's identity, and nothing that one agent sends disturbs another. A series
// whose agent is gone ends.
package ingest

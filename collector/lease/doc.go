// Package lease makes one of several collectors the one that acts. Agents lend
// themselves to a collector for some seconds; the one that more than half of them
// are lent to leads. The rules are those of proto/plimsoll/v1/lease.proto.
//
//	agents ══ Vote ── Lease ── Held ── what may act
//
// A collector that leads and is cut off from the agents stops to lead before
// another begins. What it had begun meanwhile is refused by whoever has seen the
// higher epoch of the other.
package lease

package scaler

import (
	"maps"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Nodes tells which agents are heard. Its methods may be called concurrently and
// do not block.
type Nodes interface {
	// Lost tells whether a node's agent is not heard any more; false for a node
	// that is not known.
	Lost(node string) bool
	// Agents is how many agents are heard, and when each of those that are not any
	// more was given up; those of long ago may be left out.
	Agents() (heard int, lost []time.Time)
}

// hostMemory is how long a node counts that no replica is heard on any more: by then
// a platform has put those of a lost node elsewhere, maybe where none is heard.
const hostMemory = time.Hour

// hosts are the nodes that a workload's replicas were last heard on. They belong to
// one loop.
type hosts struct {
	nodes []string             // sorted
	at    map[string]time.Time // when each was
}

// lost takes in what is heard of a workload's containers at a time, and returns the
// nodes that host some of its replicas and are heard no more. Replicas that are ready
// and not heard are taken to be where some were heard last.
func (h *hosts) lost(app policy.App, at time.Time, heard [][]Sample, ready int, away func(node string) bool) []string {
	replicas, known := 0, false
	var now []string
	for i, signal := range app.Signals {
		if signal.Source != policy.Query {
			known = true
			replicas = max(replicas, len(heard[i]))
			for _, s := range heard[i] {
				if node := s.Labels["node"]; node != "" && !slices.Contains(now, node) {
					now = append(now, node)
				}
			}
		}
	}
	if !known {
		return nil
	}
	before := slices.DeleteFunc(h.nodes, func(node string) bool {
		last, known := h.at[node] // not after a restart
		return slices.Contains(now, node) || known && at.Sub(last) > hostMemory
	})
	slices.SortStableFunc(before, func(a, b string) int { return h.at[b].Compare(h.at[a]) })
	before = before[:min(len(before), max(0, ready-replicas))] // no more nodes than replicas
	var lost []string
	for _, node := range before {
		if away(node) {
			lost = append(lost, node)
		}
	}
	slices.Sort(lost)
	h.keep(at, now, before)
	return lost
}

// keep remembers the nodes on which replicas are heard, and some of before.
func (h *hosts) keep(at time.Time, now, before []string) {
	if h.at == nil {
		h.at = make(map[string]time.Time)
	}
	for _, node := range now {
		h.at[node] = at
	}
	for _, node := range before {
		if _, known := h.at[node]; !known {
			h.at[node] = at
		}
	}
	h.nodes = append(now, before...)
	slices.Sort(h.nodes)
	maps.DeleteFunc(h.at, func(node string, _ time.Time) bool { return !slices.Contains(h.nodes, node) })
}

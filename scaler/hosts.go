package scaler

import (
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

// hosts are the nodes that a workload's replicas were last heard on. They belong to
// one loop.
type hosts struct {
	nodes []string // sorted
}

// lost takes in what was heard of a workload's containers, and returns the nodes
// that host some of its replicas and are heard no more. As long as fewer replicas
// are heard than are ready, those of a lost node are taken to be there still.
func (h *hosts) lost(app policy.App, heard [][]Sample, ready int, away func(node string) bool) []string {
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
	var lost []string
	if replicas < ready {
		for _, node := range h.nodes {
			if !slices.Contains(now, node) && away(node) {
				lost = append(lost, node)
			}
		}
	}
	if replicas < ready { // those not heard may be where they were
		for _, node := range h.nodes {
			if !slices.Contains(now, node) {
				now = append(now, node)
			}
		}
	}
	slices.Sort(now)
	h.nodes = now
	return lost
}

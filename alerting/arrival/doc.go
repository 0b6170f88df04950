// Package arrival sees, at each sample that is stored, whether the truth of an
// alert's expression may have changed, so that its rule can be evaluated at once
// and not at the next tick. It judges nothing: Prometheus' engine does, and what
// cannot be followed here is evaluated by the clock as ever.
//
//	sample ─ leaf ─┬─ cell ─ cell ─ top ─ flips? ─ group.Crossed
//	sample ─ leaf ─┘   (/)    (>)
//
// An expression becomes a tree of nodes, and each node has a cell for each label
// set, which holds the last value there. A sample that is new changes the cells
// above it, and only those. Ends of series are followed by their staleness
// markers, and where none comes, by Prometheus' five minutes.
package arrival

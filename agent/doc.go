// Package agent reads what runs on one node, each second, and hands it on.
//
//	sources ── sample.Batch ── spool ── stream ══ collector
//	cgroups, node, self        on disk   gRPC
//
// Its promise is to cost next to nothing and to lose next to nothing: sources
// read without allocating, a batch is on disk before it is sent, and what goes
// wrong in one source, or behind the spool, stays there. What cannot be read
// is absent, never zero, and what is lost is counted.
package agent

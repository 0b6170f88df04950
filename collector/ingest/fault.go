package ingest

import (
	"runtime/debug"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// mostFaults is how often a frame may bring a stream down. It is left out after
// that, lest an agent never get past it.
const mostFaults = 2

// fault is a frame that has.
type fault struct {
	seq   uint64
	times int
}

// carefully does something for an agent. What goes wrong in it costs its stream
// alone.
func (x *session) carefully(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = x.panicked(p)
		}
	}()
	x.handling = 0
	return do()
}

func (x *session) panicked(p any) error {
	s, sp, seq := x.server, x.spool, x.handling
	s.metrics.faults.Inc()
	s.log.Error("a fault of the collector while it took in a frame; report it with what follows", "node", x.node.name,
		"frame", seq, "fault", p, "stack", string(debug.Stack()))
	if seq == 0 {
		return status.Error(codes.Internal, "a fault of the collector")
	}
	s.mu.Lock()
	if sp.fault.seq != seq {
		sp.fault = fault{seq: seq}
	}
	sp.fault.times++
	times := sp.fault.times
	if times >= mostFaults {
		sp.done.add(run{seq, seq + 1})
		s.dirty = true
	}
	s.mu.Unlock()
	if times < mostFaults {
		return status.Errorf(codes.Internal, "a fault of the collector at frame %d; send it once more", seq)
	}
	s.metrics.skipped.Inc()
	s.metrics.refused.WithLabelValues(reasonFault).Add(float64(len(x.decoder.cells)))
	return status.Errorf(codes.Internal, "a fault of the collector at frame %d for the second time; it is left out", seq)
}

package ingest

import (
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// tolerable is how far an agent's clock may be off before the times it gives are
// corrected.
const tolerable = time.Second

// mostUnsure bounds what an answer that takes long excuses: or whose clock is wrong
// could keep it so by taking its time.
const mostUnsure = 10 * time.Second

// compare estimates how far the agent's clock is ahead, from what it showed when
// this one showed here, which is unsure by so much, and chooses by how much the
// stream's times are shifted. The choice of the stream before stays while it may be
// good enough: a frame that is sent twice must have one time.
func (x *session) compare(agent, here time.Time, unsure time.Duration) {
	s, n, sp := x.server, x.node, x.spool
	ahead := agent.Sub(here) // saturates
	enough := tolerable + min(unsure, mostUnsure)
	s.mu.Lock()
	before := sp.shift
	switch {
	case (ahead - before).Abs() <= enough:
	case ahead.Abs() <= enough:
		sp.shift = 0
	default:
		sp.shift = ahead.Round(time.Millisecond)
	}
	x.shift = sp.shift
	n.ahead = ahead - x.shift
	s.mu.Unlock()
	s.metrics.skew.WithLabelValues(n.name).Set(ahead.Seconds())
	switch {
	case x.shift == before:
	case x.shift == 0:
		s.log.Info("the clock of a node is right again", "node", n.name)
	default:
		s.log.Warn("the clock of a node is wrong: its samples are stored by the clock of this collector; set the node's clock",
			"node", n.name, "ahead", x.shift)
	}
}

// clock hears what the agent's clock showed when welcome had come: half the time
// since welcome went ago, give or take that half. On a busy machine it is seconds,
// nearly all of them on one of the ways.
func (x *session) clock(c *plimsollv1.Clock) error {
	if x.revision < 1 || x.clocked {
		return status.Error(codes.InvalidArgument, "clock answers welcome, once")
	}
	x.clocked = true
	half := time.Since(x.welcomed) / 2
	x.compare(time.UnixMilli(c.GetWallClockMs()), x.welcomed.Add(half), half)
	return x.grant()
}

// saturated takes a shift off a time in ms, and stays where it is if there is no
// such time.
func saturated(ms int64, shift time.Duration) int64 {
	by := shift.Milliseconds()
	switch {
	case by > 0 && ms < math.MinInt64+by, by < 0 && ms > math.MaxInt64+by:
		return ms
	}
	return ms - by
}

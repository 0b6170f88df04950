package ingest

import (
	"context"
	"time"
)

const (
	// overloaded is the share of the turns' time that live frames may take: beyond
	// it they wait ever longer for each other, and what people and rules ask has
	// nothing left.
	overloaded = 0.85
	// relieved is the share at which the agents may be twice as fast again.
	relieved = 0.3
	// For how long it has to be so: for so long at least that what was asked for
	// last has had its effect.
	slowAfter = 15 * time.Second
	fastAfter = 2 * time.Minute
)

// overload is what is wanted of all agents because there is too much to do.
type overload struct {
	slowdown uint32    // 1 if there is not
	version  uint64    // of the settings; 0 if nothing ever was wanted
	since    time.Time // when the slowdown was set
	busy     float64   // on the average of some seconds
	tired    time.Time // when that was last more than relieved
}

// judge takes in how busy a second was, and returns the slowdown from now on.
func (o *overload) judge(busy float64, now time.Time, most uint32) uint32 {
	o.busy += (busy - o.busy) / slowAfter.Seconds()
	if o.busy > relieved {
		o.tired = now
	}
	switch stays := now.Sub(o.since); {
	case o.busy >= overloaded && stays >= slowAfter:
		return min(2*o.slowdown, most)
	case now.Sub(o.tired) >= fastAfter && stays >= fastAfter:
		return max(o.slowdown/2, 1)
	}
	return o.slowdown
}

// runOverload has agents tick more seldom while there is more to do than can be
// done, and as they would again when there is not.
func (s *Server) runOverload(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before, worked := time.Now(), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, all := time.Now(), time.Duration(s.worked.Load())
		if passed := now.Sub(before); passed > 0 {
			s.relieve((all-worked).Seconds()/passed.Seconds()/float64(cap(s.turns)), now)
		}
		before, worked = now, all
	}
}

// relieve slows the agents down, or lets them go, after a second that was so busy.
func (s *Server) relieve(busy float64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.overload
	before := o.slowdown
	o.slowdown = o.judge(busy, now, s.opts.MostSlowdown)
	s.metrics.busy.Set(o.busy)
	if o.slowdown == before {
		return
	}
	o.since, o.version = now, s.nextVersion(now)
	s.metrics.slowdown.Set(float64(o.slowdown))
	if o.slowdown > before {
		s.log.Warn("more comes in than this collector can take in: agents are asked to tick more seldom; give it processors, or fewer agents", "intervals", o.slowdown)
	} else {
		s.log.Info("agents may tick more often again", "intervals", o.slowdown)
	}
	for x := range s.sessions {
		x.poke()
	}
}

// begin waits for the turn of a frame, and returns when that was.
func (s *Server) begin() time.Time {
	asked := time.Now()
	s.turns <- struct{}{}
	now := time.Now()
	s.metrics.waited.Add(now.Sub(asked).Seconds())
	return now
}

// finish ends a turn.
func (s *Server) finish(began time.Time, lane int) {
	<-s.turns
	if lane == live {
		s.worked.Add(int64(time.Since(began)))
	}
}

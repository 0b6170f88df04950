package ingest

import (
	"cmp"
	"context"
	"time"
)

const (
	// usualRound is in how many of its ticks an agent that does not say reads
	// everything once.
	usualRound = 20
	// longestRound bounds what an agent may say: a day of seconds.
	longestRound = 24 * 60 * 60
)

// settling is how long a stream needs to name all that is there. The last of it
// may be on the way for another tick.
func (x *session) settling() time.Duration {
	round := min(cmp.Or(x.hello.GetRoundTicks(), usualRound), longestRound)
	return max(x.server.opts.Patience, time.Duration(round+1)*x.tick)
}

// sweep ends what an agent had before and came back without: a container that
// ended while the agent was being restarted has nobody else to say so. A series
// that somebody else still writes, such as a rule, has samples since and stays.
func (s *Server) sweep(x *session) {
	n, ctx := x.node, context.WithoutCancel(x.stream.Context())
	n.write.Lock()
	defer n.write.Unlock()
	s.mu.Lock()
	at, shared := n.clock(time.Now()), s.other(x) != nil
	s.mu.Unlock()
	if shared {
		return // what x does not name may be the other's
	}
	list, err := s.living(ctx, n, at)
	if err != nil {
		s.log.Warn("cannot read which series an agent came back without", "node", n.name, "err", err)
		return
	}
	named := map[uint64]struct{}{}
	for _, c := range x.decoders[live].series {
		if c != nil {
			named[c.labels.Hash()] = struct{}{}
		}
	}
	app, ended, d := s.opts.Store.AppenderV2(ctx), 0, s.newDraft()
	for _, c := range list {
		if _, stays := named[c.labels.Hash()]; stays || c.at >= x.current {
			continue
		}
		ended++
		if err := d.write(app, c, max(at, c.at+1), staleNaN); err != nil {
			s.fail("append", err)
			_ = app.Rollback() // the store has failed already
			return
		}
	}
	if err := app.Commit(); err != nil {
		s.fail("commit", err)
		return
	}
	s.give(&d)
	s.metrics.stale.Add(float64(ended))
	if ended > 0 {
		s.log.Info("an agent came back without some series: they end", "node", n.name, "series", ended)
	}
}

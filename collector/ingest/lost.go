package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

const (
	// lookback is how far PromQL sees a sample that nothing has ended.
	lookback = 5 * time.Minute
	// zeroEvery is the distance of up 0 while an agent is away,
	zeroEvery = 5 * time.Second
	// for so long.
	mourning = 24 * time.Hour
	// standstill is how long nodes may go unwatched before it is this process
	// that was away, stopped or with its machine, and could hear nobody.
	standstill = 5 * time.Second
)

// runLost ends the series of nodes whose agents are silent, those of an earlier
// run of the collector among them.
func (s *Server) runLost(ctx context.Context) error {
	s.recall(ctx)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.watch(ctx, time.Now())
		}
	}
}

// recall finds the nodes that were there before the collector was. Their
// patience begins now.
func (s *Server) recall(ctx context.Context) {
	now := time.Now()
	nodes, err := lastSeen(ctx, s.opts.Store, now.Add(-mourning), now.Add(s.opts.Limits.MaxAhead))
	if err != nil {
		s.log.Warn("cannot tell which nodes were there before; those that do not come back will not be missed", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range nodes {
		s.node(name)
	}
}

// watch looks at each node once.
func (s *Server) watch(ctx context.Context, now time.Time) {
	s.mu.Lock()
	s.excuse(now)
	var silent, away []*node
	for name, n := range s.nodes {
		switch age := now.Sub(n.heard); {
		case s.halt != nil || s.refusing: // none can be heard
		case n.gone && age > mourning && n.streams == 0:
			delete(s.nodes, name)
			s.metrics.forget(name)
		case n.gone && now.Sub(n.zeroed) >= zeroEvery:
			away = append(away, n)
		case !n.gone && age > n.patience:
			silent = append(silent, n)
		}
	}
	for id, sp := range s.spools {
		if sp.session == nil && now.Sub(sp.heard) > mourning && len(sp.turn) == 0 {
			delete(s.spools, id) // it can be read back
		}
	}
	s.mu.Unlock()

	for _, n := range silent {
		s.giveUp(ctx, n, slog.LevelWarn, "node has gone silent: its series end", now)
	}
	for _, n := range away {
		s.zero(ctx, n, now)
	}
	s.mu.Lock()
	s.watched = time.Now() // looking may take long too
	s.mu.Unlock()
}

// excuse gives the agents their patience anew after a standstill. s.mu is held.
func (s *Server) excuse(now time.Time) {
	stood := now.Sub(s.watched)
	if s.watched.IsZero() || stood <= standstill {
		return
	}
	s.log.Warn("this collector stood still and could hear no agent", "seconds", int(stood.Seconds()))
	for _, n := range s.nodes {
		if !n.gone {
			n.heard = now
		}
	}
}

// depart gives up a node whose only agent has said goodbye.
func (s *Server) depart(ctx context.Context, x *session) {
	s.mu.Lock()
	last := x.node.streams == 1
	x.node.left = last
	s.mu.Unlock()
	if last {
		now := time.Now()
		s.giveUp(ctx, x.node, slog.LevelInfo, "node's agent has ended: its series end", now)
	}
}

// giveUp ends all series of a node and says that its agent is away. Afterwards
// no query takes the last values for present ones.
func (s *Server) giveUp(ctx context.Context, n *node, level slog.Level, why string, now time.Time) {
	n.write.Lock()
	defer n.write.Unlock()
	s.mu.Lock()
	at, stays := n.clock(now), n.heard.After(now) || s.halt != nil
	n.ending = !stays
	s.mu.Unlock()
	if stays {
		return
	}
	defer func() {
		s.mu.Lock()
		n.ending = false
		s.mu.Unlock()
	}()
	list, err := s.living(ctx, n, at)
	if err != nil {
		s.log.Warn("cannot read which series of a lost node to end; trying again", "node", n.name, "err", err)
		return
	}
	app, d := s.opts.Store.AppenderV2(context.WithoutCancel(ctx)), s.newDraft()
	for _, c := range list {
		if err := d.write(app, c, max(at, c.at+1), staleNaN); err != nil {
			s.fail("append", err)
			_ = app.Rollback() // the store has failed already
			return
		}
	}
	if !s.writeZero(app, &d, n, at, now) {
		return
	}
	s.mu.Lock()
	n.gone = true
	s.mu.Unlock()
	s.metrics.stale.Add(float64(len(list)))
	s.log.Log(ctx, level, why, "node", n.name, "series", len(list))
	if s.opts.Inventory != nil {
		s.opts.Inventory.NodeLost(n.name, now)
	}
}

// Away tells whether a node's series were ended, or are just being, because its
// agent is silent or has said goodbye; and when it last came back from that, zero
// if it never did. While no agent is listened to all are away, and a node that is
// not known is away only then.
func (s *Server) Away(node string) (away bool, back time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	away, back = s.halt != nil || s.refusing, s.hearing
	if n := s.nodes[node]; n != nil {
		away = away || n.gone || n.ending
		if n.back.After(back) {
			back = n.back
		}
	}
	return away, back
}

// Left tells whether a node's agent is away because it has said goodbye. After a
// restart that is not known any more.
func (s *Server) Left(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[node]
	return n != nil && n.left
}

// zero says once more that a node's agent is away.
func (s *Server) zero(ctx context.Context, n *node, now time.Time) {
	n.write.Lock()
	defer n.write.Unlock()
	s.mu.Lock()
	at, stays := n.clock(now), !n.gone || s.halt != nil
	s.mu.Unlock()
	if !stays {
		d := s.newDraft()
		s.writeZero(s.opts.Store.AppenderV2(context.WithoutCancel(ctx)), &d, n, at, now)
	}
}

// writeZero completes a transaction with up 0, and tells whether the store has
// taken it. n.write is held.
func (s *Server) writeZero(app storage.AppenderV2, d *draft, n *node, at int64, now time.Time) bool {
	if err := d.write(app, n.up, at, 0); err != nil {
		s.fail("append", err)
		_ = app.Rollback() // the store has failed already
		return false
	}
	if err := app.Commit(); err != nil {
		s.fail("commit", err)
		return false
	}
	s.give(d)
	n.zeroAt = at
	s.mu.Lock()
	n.zeroed, s.dirty = now, true
	s.mu.Unlock()
	return true
}

// clock is the agent's, in ms; its last digits are 999. Agents stamp round
// times, and a mark at the same time would take the place of a sample that is
// still in a spool.
func (n *node) clock(now time.Time) int64 {
	ms := now.Add(n.ahead).UnixMilli()
	return ms - ms%1000 + 999
}

// living are the series of a node that a query would still see at that time.
func (s *Server) living(ctx context.Context, n *node, at int64) ([]*series, error) {
	var list []*series
	from, to := at-lookback.Milliseconds(), at+s.opts.Limits.MaxAhead.Milliseconds()
	err := eachSeries(ctx, s.opts.Store, from, to, func(ls labels.Labels, it chunkenc.Iterator) error {
		if ls.Get("__name__") == upName && ls.Get("job") == agentJob {
			return nil
		}
		var t int64
		var v float64
		found := false
		for it.Next() == chunkenc.ValFloat {
			t, v = it.At()
			found = true
		}
		if found && !isStale(v) {
			list = append(list, &series{labels: ls, at: t})
		}
		return nil
	}, labels.MustNewMatcher(labels.MatchEqual, nodeLabel, n.name),
		labels.MustNewMatcher(labels.MatchEqual, instanceLabel, n.name+instancePort))
	return list, err
}

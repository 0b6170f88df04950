package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// reopenEvery is how often it is tried to open a failed store anew.
	reopenEvery = 2 * time.Second
	// reopenTimeout is how long one attempt may wait for the disk.
	reopenTimeout = 30 * time.Second
	// replicaTimeout is how long another collector may take to say what it has.
	replicaTimeout = 10 * time.Second
)

// runCommits acknowledges until ctx ends, and then sees the streams off.
func (s *Server) runCommits(ctx context.Context) error {
	tick := time.NewTicker(s.opts.CommitInterval)
	defer tick.Stop()
	told := ctx.Done()
	var grace <-chan time.Time
	var reopened time.Time // tried last
	work := context.WithoutCancel(ctx)
	for {
		select {
		case <-told:
			told, grace = nil, time.After(s.opts.Grace)
		case <-grace:
			s.stop(work)
			return nil
		case <-tick.C:
		}
		if err := s.renewed(); err != nil {
			s.fail("reopen", err)
		}
		s.commit(work)
		if err := s.refuses(); err != nil {
			s.endAll(err)
		}
		if now := time.Now(); s.halted() && now.Sub(reopened) > reopenEvery {
			reopened = now
			s.reopen(ctx)
		}
		if told == nil && s.idle() {
			s.stop(work)
			return nil
		}
	}
}

// mark is how far a spool's frames had come when it was taken.
type mark struct {
	prefix, head uint64
	last         [2]uint64
	whole        bool
}

func (sp *agentSpool) mark() mark {
	return mark{
		prefix: sp.done.prefix(), head: sp.head,
		last: [2]uint64{sp.lanes[live].last, sp.lanes[backfill].last}, whole: sp.whole(),
	}
}

// commit makes durable what has been stored, for all streams at a time, and
// has them say so.
func (s *Server) commit(ctx context.Context) {
	s.mu.Lock()
	if !s.dirty || s.halt != nil {
		s.mu.Unlock()
		return
	}
	s.dirty = false
	marks := make(map[*agentSpool]mark, len(s.spools))
	for _, sp := range s.spools {
		if sp.loaded {
			marks[sp] = sp.mark()
		}
	}
	s.mu.Unlock()

	if s.opts.Durability != WAL {
		timer := prometheus.NewTimer(s.metrics.syncSeconds)
		err := s.opts.Store.Sync(ctx)
		timer.ObserveDuration()
		if err != nil {
			s.fail("sync", err)
			return
		}
	}
	if err := s.renewed(); err != nil { // and perhaps without what was stored
		s.fail("sync", err)
		return
	}
	if s.opts.Tap != nil {
		if err := s.opts.Tap.Sync(ctx); err != nil {
			s.untapped("sync", err)
		}
	}
	if !s.replicated(ctx) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for sp, m := range marks {
		if m.whole {
			for i := range sp.lanes {
				sp.lanes[i].durable = m.last[i]
			}
		}
		if m.prefix <= sp.acked && m.head <= sp.ackedLive {
			continue
		}
		sp.acked, sp.ackedLive = max(sp.acked, m.prefix), max(sp.ackedLive, m.head)
		if sp.session != nil {
			select {
			case sp.session.acked <- struct{}{}:
			default:
			}
		}
	}
}

// replicated tells whether another collector has what was stored, if it has to.
// Until it has, nothing is acknowledged, and it is asked again.
func (s *Server) replicated(ctx context.Context) bool {
	if s.opts.Durability != Replica {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	err := s.opts.Replicated(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone = nil
	s.metrics.alone.Set(0)
	if err == nil {
		return true
	}
	s.dirty = true
	s.alone = fmt.Errorf("no other collector has what is stored here, so nothing is acknowledged: %w", err)
	s.metrics.alone.Set(1)
	if s.causes.say("replica") {
		s.log.Error("no other collector has what is stored here: nothing is acknowledged and agents keep their samples; see to the other one, or lower the durability", "err", err)
	}
	return false
}

// endAll ends every stream.
func (s *Server) endAll(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.sessions {
		x.end(why)
	}
}

// fail takes the store out of use. What is acknowledged after a failed write
// may be thrown away when the log is next read, so nothing is.
func (s *Server) fail(deed string, err error) {
	s.metrics.storeErrors.WithLabelValues(deed).Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.halt != nil {
		return
	}
	s.halt = err
	s.metrics.halted.Set(1)
	for x := range s.sessions {
		x.end(unavailable(err))
	}
	remedy := "see to the disk and restart the collector"
	if s.opts.Reopen != nil {
		remedy = "see to the disk; it is tried to open the store anew"
	}
	s.log.Error("the store has failed: nothing more is taken in, agents keep their samples; "+remedy, "err", err)
}

func (s *Server) halted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halt != nil
}

// reopen has the store opened anew, once all streams have ended, and believes
// from then on what that says.
func (s *Server) reopen(ctx context.Context) {
	if s.opts.Reopen == nil || !s.idle() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reopenTimeout)
	defer cancel()
	if err := s.opts.Reopen(ctx); err != nil {
		s.metrics.storeErrors.WithLabelValues("reopen").Inc()
		if s.causes.say("reopen") {
			s.log.Error("the store cannot be opened anew; trying again", "err", err)
		}
		return
	}
	s.lives()
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.spools)
	for _, n := range s.nodes {
		n.up = &series{labels: upLabels(n.name)} // its reference was the old store's
		n.heard = time.Now()                     // none could connect meanwhile
	}
	s.halt, s.unclean, s.dirty = nil, true, true
	s.hearing = time.Now()
	s.metrics.halted.Set(0)
	s.log.Info("the store has been opened anew")
}

// lives takes the store as it is now for the one that is meant.
func (s *Server) lives() {
	if s.opts.Lives != nil {
		s.life.Store(s.opts.Lives())
	}
}

// renewed tells if the store was opened anew by somebody else.
func (s *Server) renewed() error {
	if s.opts.Lives == nil || s.opts.Lives() == s.life.Load() {
		return nil
	}
	return errors.New("the store was opened anew")
}

func (s *Server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions) == 0
}

// stop ends all streams, and returns when they have: nobody appends any more.
// How far all is durable is left to the next start.
func (s *Server) stop(ctx context.Context) {
	s.commit(ctx)
	s.mu.Lock()
	s.stopped = true
	for x := range s.sessions {
		x.end(status.Error(codes.Unavailable, "the collector is shutting down"))
	}
	s.mu.Unlock()
	s.ended.Wait()
	s.commit(ctx)
	if err := s.conclude(ctx); err != nil {
		s.log.Warn("cannot note which frames are durable: the last of them will be asked for again", "err", err)
	}
}

// conclude notes for each lane that all it has stored is durable, if so. No
// stream is left that might go on.
func (s *Server) conclude(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.halt != nil {
		return nil
	}
	app := s.opts.Store.AppenderV2(ctx)
	for _, sp := range s.spools {
		for i := range sp.lanes {
			l := &sp.lanes[i]
			if l.safe == nil || l.last == 0 || l.durable != l.last {
				continue
			}
			if err := write(app, l.safe, l.at+1, float64(l.durable)); err != nil {
				return errors.Join(err, app.Rollback())
			}
		}
	}
	return app.Commit()
}

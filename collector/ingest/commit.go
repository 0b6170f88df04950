package ingest

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// reopenEvery is how often it is tried to open a failed store anew.
const reopenEvery = 5 * time.Second

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
		s.commit(work)
		if now := time.Now(); s.halted() && now.Sub(reopened) > reopenEvery {
			reopened = now
			s.reopen(work)
		}
		if told == nil && s.idle() {
			s.stop(work)
			return nil
		}
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
	stored := make(map[*agentSpool]uint64, len(s.spools))
	for _, sp := range s.spools {
		if sp.applied > sp.durable {
			stored[sp] = sp.applied
		}
	}
	s.mu.Unlock()

	timer := prometheus.NewTimer(s.metrics.syncSeconds)
	err := s.opts.Store.Sync(ctx)
	timer.ObserveDuration()
	if err != nil {
		s.fail("sync", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for sp, seq := range stored {
		sp.durable = max(sp.durable, seq)
		if sp.session != nil {
			select {
			case sp.session.acked <- struct{}{}:
			default:
			}
		}
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
	s.log.Error("the store has failed: nothing more is taken in, agents keep their samples; see to the disk and restart the collector", "err", err)
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
	if err := s.opts.Reopen(ctx); err != nil {
		s.metrics.storeErrors.WithLabelValues("reopen").Inc()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.spools)
	for _, n := range s.nodes {
		n.up = &series{labels: upLabels(n.name)} // its reference was the old store's
		n.heard = time.Now()                     // none could connect meanwhile
	}
	s.halt, s.unclean, s.dirty = nil, true, true
	s.metrics.halted.Set(0)
	s.log.Info("the store has been opened anew")
}

func (s *Server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions) == 0
}

// stop ends all streams, and returns when they have: nobody appends any more.
func (s *Server) stop(ctx context.Context) {
	s.commit(ctx)
	s.mu.Lock()
	s.stopped = true
	for x := range s.sessions {
		x.end(status.Error(codes.Unavailable, "the collector is shutting down"))
	}
	s.mu.Unlock()
	s.ended.Wait()
}

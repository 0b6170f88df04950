package ingest

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// node is a machine whose agents have been heard of.
type node struct {
	name string
	up   *series

	// write is held by whoever appends to the node's series: of two samples
	// of a series at a time, the store would drop one without a word. It
	// guards up and zeroAt.
	write  sync.Mutex
	zeroAt int64 // of the last up 0, in ms by the agent's clock

	// Server.mu guards these.
	streams  int
	heard    time.Time     // by this clock
	ahead    time.Duration // the agent's clock is
	patience time.Duration
	interval time.Duration // the agent's tick; 0 if none is known
	applied  uint64        // version of the settings that the agent answered last
	refused  []string      // what of them is not in force
	gone     bool          // given up: its series have been ended
	zeroed   time.Time     // when the last up 0 was written
}

// enter lets a stream in, unless the server has ended or the store has failed.
func (s *Server) enter(x *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return status.Error(codes.Unavailable, "the collector is shutting down")
	}
	if s.halt != nil {
		return unavailable(s.halt)
	}
	s.sessions[x] = struct{}{}
	s.ended.Add(1)
	s.metrics.streams.Set(float64(len(s.sessions)))
	return nil
}

func (s *Server) leave(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x)
	s.ended.Done()
	s.metrics.streams.Set(float64(len(s.sessions)))
}

// claim makes the spool x's own. An older stream of the same spool, of an agent
// that has lost its connection before the collector noticed, ends first.
func (s *Server) claim(x *session) error {
	if old := s.assign(x); old != nil {
		old.end(status.Error(codes.Aborted, "another stream of this spool has begun; if no reconnect explains it, two agents use copies of one spool directory"))
	}
	select {
	case x.spool.turn <- struct{}{}:
	case <-x.quit:
		s.resign(x)
		return x.why
	case <-x.stream.Context().Done():
		s.resign(x)
		return x.stream.Context().Err()
	}
	if err := s.load(x); err != nil {
		s.resign(x)
		<-x.spool.turn
		return status.Errorf(codes.Unavailable, "%v", err)
	}
	s.connected(x)
	return nil
}

// assign gives x its node and its spool, and returns the session that the spool
// had before.
func (s *Server) assign(x *session) (old *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := x.hello.GetSpoolId()
	sp := s.spools[id]
	if sp == nil {
		sp = &agentSpool{id: id, turn: make(chan struct{}, 1)}
		s.spools[id] = sp
	}
	old = sp.session
	sp.session, sp.heard = x, time.Now()
	x.spool, x.node = sp, s.node(x.hello.GetNode())
	x.node.heard = sp.heard
	return old
}

// resign leaves the spool to whoever wants it.
func (s *Server) resign(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.spool.session == x {
		x.spool.session = nil
	}
}

// node returns the node of that name. s.mu is held.
func (s *Server) node(name string) *node {
	n := s.nodes[name]
	if n == nil {
		n = &node{name: name, up: &series{labels: upLabels(name)}, patience: s.opts.Patience, heard: time.Now()}
		s.nodes[name] = n
	}
	return n
}

// load reads back how far the spool's frames have come, the first time.
func (s *Server) load(x *session) error {
	s.mu.Lock()
	loaded, unclean := x.spool.loaded, s.unclean
	s.mu.Unlock()
	if loaded {
		return nil
	}
	p, err := readProgress(x.stream.Context(), s.opts.Store, x.spool.id, unclean)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x.spool.progress, x.spool.loaded = p, true
	return nil
}

// connected takes note of a stream that is about to be welcomed.
func (s *Server) connected(x *session) {
	now := time.Now()
	h, n := x.hello, x.node
	ahead := time.UnixMilli(h.GetWallClockMs()).Sub(now)

	s.mu.Lock()
	x.spool.seq = &series{labels: sequenceLabels(seqName, n.name, x.spool.id)}
	x.spool.safe = &series{labels: sequenceLabels(durableName, n.name, x.spool.id)}
	n.streams++
	n.ahead = ahead
	other := s.other(x)
	resume := x.spool.applied + 1
	s.mu.Unlock()

	s.metrics.skew.WithLabelValues(n.name).Set(ahead.Seconds())
	x.pace(time.Duration(h.GetIntervalMs()) * time.Millisecond)
	s.hear(x, now)
	if other != nil {
		s.metrics.conflicts.WithLabelValues(n.name).Inc()
		s.log.Warn("another agent already streams as this node; if this stays, give one of them another name",
			"node", n.name, "agent", x.spool.id, "other", other.spool.id)
	}
	s.log.Info("agent connected", "node", n.name, "agent", x.spool.id, "version", shorten(h.GetAgentVersion()),
		"from", resume, "holds", h.GetNextSeq()-min(h.GetNextSeq(), h.GetOldestSeq()))
}

// other returns a session of x's node with another spool. s.mu is held.
func (s *Server) other(x *session) *session {
	for o := range s.sessions {
		if o != x && o.node == x.node && o.spool != x.spool && o.spool != nil {
			return o
		}
	}
	return nil
}

// hear notes that the agent is there.
func (s *Server) hear(x *session, now time.Time) {
	s.mu.Lock()
	back := x.node.gone
	x.node.gone, x.node.heard, x.spool.heard = false, now, now
	s.mu.Unlock()
	if back {
		s.log.Info("node is back", "node", x.node.name)
	}
	if s.opts.Inventory != nil {
		s.opts.Inventory.NodeSeen(x.node.name, shorten(x.hello.GetAgentVersion()), now)
	}
}

// setClock follows an agent's clock that was set since hello. A frame never comes
// before its time, so the clock is as far ahead as any frame at least; and it was
// set back if a frame is older than the one before.
func (s *Server) setClock(x *session, at int64, ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ahead > x.node.ahead || at < x.at {
		x.node.ahead = ahead
	}
	x.at = at
}

// advance notes that a frame is done with.
func (s *Server) advance(x *session, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := x.spool
	if reached := max(sp.applied, sp.committed); sp.committed > 0 && seq > reached+1 {
		s.metrics.missing.WithLabelValues(x.node.name).Add(float64(seq - reached - 1))
		s.log.Warn("an agent no longer has some frames: its series have a hole", "node", x.node.name, "from", reached+1, "to", seq-1)
	}
	sp.applied, sp.committed = seq, max(sp.committed, seq)
	s.dirty = true
}

// release gives the spool back.
func (s *Server) release(x *session) {
	s.resign(x)
	s.mu.Lock()
	x.node.streams--
	s.mu.Unlock()
	<-x.spool.turn
	s.log.Info("agent disconnected", "node", x.node.name, "agent", x.spool.id)
}

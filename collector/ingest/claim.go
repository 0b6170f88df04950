package ingest

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// node is a machine whose agents have been heard of.
type node struct {
	name string
	up   *series

	// write is held by whoever appends to the node's series: of two samples
	// of a series at a time, the store would drop one without a word. It
	// guards up, zeroAt and budget.
	write  sync.Mutex
	zeroAt int64 // of the last up 0, in ms by the agent's clock
	budget budget

	// Server.mu guards these.
	streams  int
	heard    time.Time     // by this clock
	ahead    time.Duration // the agent's clock is, once its times are corrected
	patience time.Duration
	interval time.Duration // the agent's tick; 0 if none is known
	applied  uint64        // version of the settings that the agent answered last
	refused  []string      // what of them is not in force
	ending   bool          // its series are being ended
	gone     bool          // given up: its series have been ended
	left     bool          // its agent has said goodbye
	back     time.Time     // when it was last heard of again after that
	zeroed   time.Time     // when the last up 0 was written
}

// enter lets a stream in, unless the server has ended, the store has failed, or
// there is no room for what it would bring.
func (s *Server) enter(x *session) error {
	if err := s.refuses(); err != nil {
		return err
	}
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
	if s.copied(x) {
		return x.disown()
	}
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

// copied tells whether x's spool streams from another boot at this moment, which
// is then of another machine: one of the two spools is a copy. That it is a boot
// that has ended, and nobody has noticed, costs a new identity.
func (s *Server) copied(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, boot := s.spools[x.hello.GetSpoolId()], x.hello.GetBootId()
	if sp == nil || sp.session == nil || boot == "" {
		return false
	}
	other := sp.session.hello.GetBootId()
	return other != "" && other != boot
}

// disown tells an agent of more frames than its spool has: it gives the spool
// another identity and comes again, before frames of two are taken for one's.
func (x *session) disown() error {
	x.server.log.Warn("two agents use copies of one spool directory; the one that came last goes on under another identity",
		"node", x.hello.GetNode(), "agent", x.hello.GetSpoolId())
	if err := x.stream.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Welcome{Welcome: &plimsollv1.Welcome{
		ResumeFrom: min(x.hello.GetNextSeq(), maxSeq) + 1, WallClockMs: time.Now().UnixMilli(),
	}}}); err != nil {
		return err
	}
	return status.Error(codes.Aborted, "this spool streams from another machine")
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
	if p.forgotten > 0 {
		s.metrics.missing.WithLabelValues(x.node.name).Add(float64(p.forgotten))
		s.log.Warn("a spool has more holes than are remembered: the oldest stay holes", "node", x.node.name, "frames", p.forgotten)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x.spool.progress, x.spool.loaded = p, true
	return nil
}

// connected takes note of a stream that is about to be welcomed.
func (s *Server) connected(x *session) {
	now := time.Now()
	h, n, sp := x.hello, x.node, x.spool
	x.next = min(h.GetNextSeq(), maxSeq)
	x.oldest = min(max(h.GetOldestSeq(), 1), max(x.next, 1))

	s.mu.Lock()
	for i := range sp.lanes {
		sp.lanes[i].register(n.name, sp.id)
	}
	n.streams++
	other := s.other(x)
	lost := s.forgo(x, run{sp.floor, x.oldest})
	sp.done.add(run{0, x.oldest})
	if sp.floor == 0 { // what has just been read back was durable
		sp.acked = sp.done.prefix()
	}
	sp.floor = x.oldest
	x.start = sp.resume(x.oldest, x.next, x.revision >= 1, s.opts.InOrder)
	x.expected = x.start
	behind := run{x.oldest, max(x.start, x.oldest)}
	var past uint64
	for _, gap := range sp.done.missing(behind) {
		past += gap.len()
	}
	s.mu.Unlock()

	if x.shift = sp.shift; x.revision < 1 {
		x.compare(time.UnixMilli(h.GetWallClockMs()), now, 0)
	}
	x.pace(time.Duration(h.GetIntervalMs()) * time.Millisecond)
	s.hear(x, now)
	x.lost(lost)
	if other != nil {
		s.metrics.conflicts.WithLabelValues(n.name).Inc()
		s.log.Warn("another agent already streams as this node; if this stays, give one of them another name",
			"node", n.name, "agent", sp.id, "other", other.spool.id)
	}
	s.log.Info("agent connected", "node", n.name, "agent", sp.id, "version", shorten(h.GetAgentVersion()),
		"from", x.start, "holds", x.next-min(x.next, x.oldest), "past", past)
}

// fresh is how many of the newest frames open the live lane of an agent that was
// away for long.
const fresh = 5

// resume is the frame with which the live lane of a stream begins, of an agent
// that holds the frames from oldest up to, but not including, next.
func (sp *agentSpool) resume(oldest, next uint64, lanes bool, inOrder uint64) uint64 {
	if head := max(sp.done.head(), sp.stored.head()); head >= next {
		return head + 1 // numbers were given twice; the agent will see
	}
	first, head := sp.done.first(run{oldest, next}), sp.done.head()
	switch {
	case first == run{}:
		return next
	case !lanes, next-first.from <= inOrder:
		return first.from
	case next-(head+1) <= inOrder:
		return head + 1
	}
	return next - min(fresh, inOrder)
}

// forgo notes that the frames of r will not come any more, and returns how many
// of them were expected. s.mu is held.
func (s *Server) forgo(x *session, r run) (lost uint64) {
	if x.spool.floor == 0 {
		// Nobody has followed this spool so far: what was drained elsewhere, or
		// before, is no loss. What is behind the last that is known is.
		r.from = max(r.from, x.spool.done.head()+1)
		if len(x.spool.stored) == 0 {
			r.from = r.until
		}
	}
	lost = x.spool.done.missing(r).count()
	x.spool.done.add(r)
	return lost
}

// lost says that some frames will not come.
func (x *session) lost(n uint64) {
	if n == 0 {
		return
	}
	x.server.metrics.missing.WithLabelValues(x.node.name).Add(float64(n))
	x.server.log.Warn("an agent no longer has some frames: its series have a hole", "node", x.node.name, "frames", n)
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
	x.node.gone, x.node.left, x.node.heard, x.spool.heard = false, false, now, now
	if back {
		x.node.back = now
	}
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

// advance notes that a frame is done with; stored if its number is in the store.
func (s *Server) advance(x *session, seq uint64, stored bool) {
	s.mu.Lock()
	sp, lost := x.spool, uint64(0)
	if x.lane == live {
		lost = s.forgo(x, run{x.expected, seq})
		x.expected = max(x.expected, seq+1)
		sp.head = max(sp.head, seq)
	}
	sp.done.add(run{seq, seq + 1})
	if stored {
		sp.stored.add(run{seq, seq + 1})
		sp.lanes[x.lane].last = seq
	}
	s.dirty = true
	s.mu.Unlock()
	x.lost(lost)
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

package ingest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// Bounds of what may be wanted. Those of a node are the wire's.
const (
	mostSlowdown = 60
	leastResolve = 10 * time.Millisecond
	mostResolve  = time.Second
	longestBurst = 24 * time.Hour
	mostBursts   = 64
	mostWanted   = 10_000 // nodes
	mostRefused  = 100    // lines that are kept of an agent's answer
	longestTick  = time.Hour
)

// Settings are what is wanted of a node's agent beyond its own configuration,
// and what has become of that. They live as long as the collector: one that is
// restarted wants nothing.
type Settings struct {
	Version  uint64 // of what is wanted; 0 if nothing ever was
	Slowdown uint32 // tick at every so many intervals, 1 at least
	Bursts   []Burst

	Applied  uint64        // the version that the agent answered last; it is not told while nothing is wanted
	Interval time.Duration // its tick, as it says; 0 if none is known
	Refused  []string      // what of it is not in force as it was wanted, and why
}

// Burst asks for more frequent readings of a container.
type Burst struct {
	Container  string // its name, id or cgroup path
	Resolution time.Duration
	Until      time.Time
}

// wanted is what is wanted of a node. Server.mu guards it.
type wanted struct {
	version  uint64
	slowdown uint32
	bursts   map[string]Burst // by container
}

// prune forgets what is over, and tells whether anything is left.
func (w *wanted) prune(now time.Time) bool {
	maps.DeleteFunc(w.bursts, func(_ string, b Burst) bool { return !now.Before(b.Until) })
	return w.slowdown > 1 || len(w.bursts) > 0
}

// Slow has a node's agent tick at every n of its intervals, now or whenever it
// connects; 1 takes that back. The agent may allow less.
func (s *Server) Slow(node string, n uint32) error {
	if n < 1 || n > mostSlowdown {
		return fmt.Errorf("slow node %s: %d: allowed are 1 to %d", node, n, mostSlowdown)
	}
	return s.want(node, func(w *wanted) error {
		w.slowdown = n
		return nil
	})
}

// Burst has a node's agent read a container more often until a time, the past
// to take that back. The agent may allow less.
func (s *Server) Burst(node string, b Burst) error {
	switch {
	case b.Container == "" || len(b.Container) > int(s.opts.Limits.LabelValueBytes):
		return fmt.Errorf("burst on node %s: a container's name has 1 to %d bytes", node, s.opts.Limits.LabelValueBytes)
	case time.Until(b.Until) > longestBurst:
		return fmt.Errorf("burst of %s on node %s: until %s: allowed are %s from now on", b.Container, node, b.Until.Format(time.RFC3339), longestBurst)
	case b.Resolution < leastResolve || b.Resolution > mostResolve:
		return fmt.Errorf("burst of %s on node %s: resolution %s: allowed are %s to %s", b.Container, node, b.Resolution, leastResolve, mostResolve)
	}
	return s.want(node, func(w *wanted) error {
		w.bursts[b.Container] = b
		w.prune(time.Now())
		if len(w.bursts) > mostBursts {
			delete(w.bursts, b.Container)
			return fmt.Errorf("burst of %s on node %s: %d others are wanted already", b.Container, node, mostBursts)
		}
		return nil
	})
}

// Settings tells what is wanted of a node and what has become of that.
func (s *Server) Settings(node string) Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Settings{Version: s.overload.version, Slowdown: s.overload.slowdown}
	if w := s.wanted[node]; w != nil {
		w.prune(time.Now())
		out.Version, out.Slowdown = max(out.Version, w.version), max(out.Slowdown, w.slowdown)
		for _, name := range slices.Sorted(maps.Keys(w.bursts)) {
			out.Bursts = append(out.Bursts, w.bursts[name])
		}
	}
	if n := s.nodes[node]; n != nil {
		out.Applied, out.Interval, out.Refused = n.applied, n.interval, n.refused
	}
	return out
}

// want changes what is wanted of a node and has its streams say so.
func (s *Server) want(node string, change func(*wanted) error) error {
	if !validNode(node) {
		return fmt.Errorf("node name %q: want 1 to %d bytes without spaces or control characters", shorten(node), maxNodeBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	w := s.wanted[node]
	if w == nil {
		if len(s.wanted) >= mostWanted {
			s.forgetWanted(now)
		}
		if len(s.wanted) >= mostWanted {
			return fmt.Errorf("settings of node %s: something is wanted of %d others already", node, mostWanted)
		}
		w = &wanted{slowdown: 1, bursts: map[string]Burst{}}
		s.wanted[node] = w
	}
	if err := change(w); err != nil {
		return err
	}
	w.version = s.nextVersion(now)
	for x := range s.sessions {
		if x.node != nil && x.node.name == node {
			x.poke()
		}
	}
	return nil
}

// nextVersion is that of other settings. One from before a restart must not come
// again. s.mu is held.
func (s *Server) nextVersion(now time.Time) uint64 {
	s.version = max(s.version+1, uint64(now.UnixMilli()))
	return s.version
}

// poke has the session ask itself whether something else is wanted.
func (x *session) poke() {
	select {
	case x.wants <- struct{}{}:
	default:
	}
}

// forgetWanted lets go of nodes of which nothing is wanted and that need not be
// told so. s.mu is held.
func (s *Server) forgetWanted(now time.Time) {
	maps.DeleteFunc(s.wanted, func(name string, w *wanted) bool {
		n := s.nodes[name]
		return !w.prune(now) && (n == nil || n.streams == 0)
	})
}

// settings is what is wanted of x's node, in the words of the wire; nil if
// nothing is, or nothing that x has not said.
func (x *session) settings() *plimsollv1.Settings {
	s, now := x.server, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &plimsollv1.Settings{Version: s.overload.version, Slowdown: s.overload.slowdown}
	something, w := m.Slowdown > 1, s.wanted[x.node.name]
	if w == nil {
		w = &wanted{slowdown: 1}
	}
	something = w.prune(now) || something
	m.Version, m.Slowdown = max(m.Version, w.version), max(m.Slowdown, w.slowdown)
	if m.Version == x.said || !something && x.said == 0 {
		return nil
	}
	x.said = m.Version
	for name, b := range w.bursts {
		left := (b.Until.Sub(now) + time.Second - 1) / time.Second
		m.Bursts = append(m.Bursts, &plimsollv1.Burst{
			Container: name, ResolutionMs: uint32(b.Resolution.Milliseconds()), RemainingS: uint32(left),
		})
	}
	return m
}

// ask tells the agent what is wanted of it since it was told last.
func (x *session) ask() error {
	m := x.settings()
	if m == nil {
		return nil
	}
	return x.stream.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Settings{Settings: m}})
}

// applied takes note of what an agent has made of its settings. From now on it
// is expected at its new pace.
func (x *session) applied(a *plimsollv1.Applied) {
	s, n := x.server, x.node
	s.hear(x, time.Now()) // at the old pace it may have been silent for longer than the new one bears
	if ms := a.GetIntervalMs(); ms > 0 {
		x.pace(time.Duration(ms) * time.Millisecond)
	}
	refused := a.GetRefused()[:min(len(a.GetRefused()), mostRefused)]
	for i := range refused {
		refused[i] = cut(refused[i])
	}
	s.mu.Lock()
	known := n.applied == a.GetVersion()
	n.applied, n.refused = a.GetVersion(), refused
	s.mu.Unlock()
	if known {
		return
	}
	s.metrics.settingsRefused.WithLabelValues(n.name).Add(float64(len(refused)))
	s.log.Info("agent has applied settings", "node", n.name, "version", a.GetVersion(), "interval", x.tick, "refused", refused)
}

// pace notes how often the agent ticks. What it came back without is looked for
// once it has had the time to name all that is there, at that pace.
func (x *session) pace(tick time.Duration) {
	s, n := x.server, x.node
	x.tick = min(tick, longestTick)
	s.mu.Lock()
	n.interval, n.patience = x.tick, max(s.opts.Patience, 3*x.tick)
	s.mu.Unlock()
	if x.tick > 0 {
		s.metrics.interval.WithLabelValues(n.name).Set(x.tick.Seconds())
	}
	if x.sweep != nil {
		x.sweep = time.After(x.settling())
	}
}

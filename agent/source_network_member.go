package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/netns"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Bounds of the search for a container's process.
const (
	mostProcesses = 64 // are looked at
	mostMisses    = 12 // before it is searched in the fourth lane only
)

// networkMember is a container with the network that it is in.
type networkMember struct {
	is    *discover.Container
	phase uint64

	process *netns.Process // nil while none is open
	started uint64         // when it was, in clock ticks
	misses  int            // searches in a row that found none
	network netns.ID       // 0 while it is not known
	reading netns.Reading
	owns    bool // the network counts for this container

	fresh  bool // it is read at once, whatever the lane
	looked bool // in this tick
	known  bool // what was looked for was found

	series networkSeries
}

// meet takes up a container.
func (s *networkSource) meet(c *discover.Container, labels []sample.Label) networkMember {
	s.came++
	return networkMember{is: c, phase: s.came, fresh: true, series: s.metrics.of(labels, s.opts.Lanes)}
}

// part lets go of one.
func (s *networkSource) part(m *networkMember, b *sample.Batch) {
	s.release(m)
	m.series.end(b)
	s.changed = true
}

func (s *networkSource) release(m *networkMember) {
	if m.process != nil {
		m.process.Close()
		m.process = nil
		s.held--
	}
}

// look reads the networks of all containers that are due. The error is the first
// of those that were met.
func (s *networkSource) look(ctx context.Context, tick uint64) error {
	var first error
	if s.node == 0 {
		if s.node, first = s.reader.Node(); first != nil {
			s.health.tried++
			return first
		}
	}
	for m := range s.members {
		if m.looked = ctx.Err() == nil && s.due(m, tick); !m.looked {
			continue
		}
		err := s.read(m)
		m.known = err == nil
		s.health.note(m, err)
		if first == nil && !errors.Is(err, netns.ErrGone) {
			first = err
		}
	}
	if first == nil && ctx.Err() != nil {
		first = fmt.Errorf("not all networks were read: %w", ctx.Err())
	}
	return first
}

func (s *networkSource) due(m *networkMember, tick uint64) bool {
	lanes := s.opts.Lanes
	switch {
	case m.fresh:
		return true
	case m.misses > mostMisses:
		return due(lanes.Fourth, tick, m.phase)
	case (m.owns || m.misses > 0) && due(lanes.Second, tick, m.phase):
		return true
	}
	return due(lanes.Third, tick, m.phase)
}

// read reads a container's network, through another process if that of the last
// time has ended. The error wraps netns.ErrGone if there is none.
func (s *networkSource) read(m *networkMember) error {
	m.fresh = false
	err := netns.ErrGone
	for range 2 {
		if m.process == nil {
			if err = s.find(m); err != nil {
				break
			}
		}
		err = s.reader.Read(m.process, &m.reading)
		if !errors.Is(err, netns.ErrGone) {
			break
		}
		s.release(m)
	}
	switch {
	case err == nil:
		m.misses = 0
		s.moved(m, m.reading.Network)
	case errors.Is(err, netns.ErrGone):
		m.misses++
		s.moved(m, 0)
	} // else it is where it was, for all that is known
	return err
}

func (s *networkSource) moved(m *networkMember, to netns.ID) {
	if m.network != to {
		m.network, s.changed = to, true
	}
}

// find opens the oldest process of a container: the one it began with, and none
// that entered, or that an engine inside has put into another network.
func (s *networkSource) find(m *networkMember) error {
	if err := s.list(m); err != nil {
		return err
	}
	var oldest *netns.Process
	failed := netns.ErrGone
	for _, pid := range s.pids {
		p, err := s.reader.Open(pid)
		if err != nil {
			if !errors.Is(err, netns.ErrGone) {
				failed = err
			}
			continue
		}
		if oldest == nil || p.Started < oldest.Started {
			oldest, p = p, oldest
		}
		p.Close()
	}
	if oldest == nil {
		return failed
	}
	// Its number may have gone to another process before it was opened. One that
	// is listed afterwards, and read after that, is the container's.
	pid := oldest.PID
	if err := s.list(m); err != nil || !slices.Contains(s.pids, pid) {
		oldest.Close()
		return cmp.Or(err, netns.ErrGone)
	}
	m.process, m.started = oldest, oldest.Started
	s.held++
	return nil
}

// list sets s.pids.
func (s *networkSource) list(m *networkMember) (err error) {
	s.pids, err = s.groups.Processes(s.pids[:0], m.is.Cgroup, mostProcesses)
	if errors.Is(err, cgroup.ErrGone) {
		return netns.ErrGone
	}
	return err
}

// tell adds what was read of a container.
func (s *networkSource) tell(m *networkMember, b *sample.Batch) error {
	if !m.known {
		m.series.unread(b)
		return nil
	}
	if m.owns {
		m.series.carry(&m.reading, b)
	}
	var err error
	if is := s.mode(m); is != m.series.mode || due(s.opts.Lanes.Third, b.Tick, m.phase) {
		v := m.series.describe(is, b)
		if m.owns {
			err = s.count(m, v)
		}
	}
	if s.held > s.opts.MaxOpen {
		s.release(m)
	}
	return err
}

// count adds the sockets in a network.
func (s *networkSource) count(m *networkMember, v []float64) error {
	n, known, err := s.reader.Sockets(m.process)
	if known {
		v[networkSockets] = float64(n)
	}
	if errors.Is(err, netns.ErrGone) {
		return nil // since it was read
	}
	return err
}

// mode is whose network a container is in.
func (s *networkSource) mode(m *networkMember) int {
	switch {
	case m.network == s.node:
		return networkOfNode
	case !m.owns:
		return networkShared
	case len(m.reading.Interfaces) == 0:
		return networkNone
	}
	return networkOwn
}

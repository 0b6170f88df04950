package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/netns"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// networkClaim is what speaks for a network to count for a container.
type networkClaim struct {
	cgroup  string
	sandbox bool   // it is what the network was made for
	holds   bool   // it counts for it already
	started uint64 // when its process was
}

func (c networkClaim) beats(o networkClaim) bool {
	switch {
	case c.sandbox != o.sandbox:
		return c.sandbox
	case c.holds != o.holds:
		return c.holds
	case c.started != o.started:
		return c.started < o.started // who joins a network comes later
	}
	return c.cgroup < o.cgroup
}

// assign decides for which of its containers each network counts. Series of
// those who lose one end before any other has a sample of it.
func (s *networkSource) assign(b *sample.Batch) {
	s.changed = false
	best := make(map[netns.ID]networkClaim, len(s.owners))
	for m := range s.members {
		if m.network == 0 || m.network == s.node {
			continue
		}
		claim := networkClaim{
			cgroup:  m.is.Cgroup,
			sandbox: m.is.Kind == discover.Sandbox,
			holds:   s.owners[m.network].cgroup == m.is.Cgroup,
			started: m.started,
		}
		if o, rivals := best[m.network]; !rivals || claim.beats(o) {
			best[m.network] = claim
		}
	}
	s.owners = best
	for m := range s.members {
		m.owns = best[m.network].cgroup == m.is.Cgroup
		if !m.owns {
			m.series.lose(b)
		} else if !m.looked {
			m.fresh = true // at the next tick
		}
	}
}

package ingest

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// sayEvery is how often one cause is worth a line in the log.
const sayEvery = 10 * time.Minute

// causes remembers what has been said.
type causes struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// say tells whether a cause has not been said for a while, and notes that it is
// said now.
func (c *causes) say(cause string) bool {
	const most = 10_000
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if last, ok := c.said[cause]; ok && now.Sub(last) < sayEvery {
		return false
	}
	if c.said == nil || len(c.said) >= most {
		c.said = map[string]time.Time{}
	}
	c.said[cause] = now
	return true
}

// refusal is what a stream was refused for one reason.
type refusal struct {
	*plimsollv1.Refusal
	said time.Time // when it was last thought of saying so
}

// refuse counts a sample that is not wanted.
func (x *session) refuse(reason string, s *series) {
	r := x.refusals[reason]
	if r == nil {
		r = &refusal{Refusal: &plimsollv1.Refusal{Reason: reason, Example: s.name()}}
		x.refusals[reason] = r
	}
	r.Samples++
	x.server.metrics.refused.WithLabelValues(reason).Inc()
	if x.now.Sub(r.said) < sayEvery {
		return
	}
	if r.said = x.now; x.server.causes.say(x.node.name + " " + reason) {
		x.server.log.Warn("refusing samples of an agent", "node", x.node.name, "reason", reason, "example", s.name())
	}
}

// refuses tells why nothing is taken in for now.
func (s *Server) refuses() error {
	if s.opts.Refuse == nil {
		return nil
	}
	why := s.opts.Refuse()
	s.mu.Lock()
	changed := s.refusing != (why != nil)
	s.refusing = why != nil
	if changed && why == nil {
		s.hearing = time.Now()
		for _, n := range s.nodes {
			n.heard = time.Now() // none could speak meanwhile
		}
	}
	s.mu.Unlock()
	if changed && why == nil {
		s.metrics.refusing.Set(0)
		s.log.Info("there is room again: agents are listened to")
	}
	if why == nil {
		return nil
	}
	if changed {
		s.metrics.refusing.Set(1)
		s.log.Error("nothing is taken in for now; agents keep their samples, queries go on", "why", why)
	}
	return status.Errorf(codes.ResourceExhausted, "the collector takes nothing in for now: %v", why)
}

// mostContainers bounds the containers that are named in a metric.
const mostContainers = 1000

// overfull counts the series of a frame that are too many for their container,
// by the container.
func (s *Server) overfull(x *session) {
	for _, c := range x.decoder.fresh {
		if c.refused != reasonContainer {
			continue
		}
		id := c.container()
		s.mu.Lock()
		if _, named := s.overfed[id]; !named {
			if len(s.overfed) >= mostContainers {
				id = "other"
			} else {
				s.overfed[id] = struct{}{}
			}
		}
		s.mu.Unlock()
		s.metrics.refusedSeries.WithLabelValues(x.node.name, shorten(id), reasonContainer).Inc()
	}
}

package ingest

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// later is what came in the backfill lane and waits: a frame, or that there are
// no more.
type later struct {
	frame *plimsollv1.Frame
	bytes int
}

// mostLater is how many bytes of frames may wait, of one agent: many times what a
// credit is meant for.
const mostLater = 8 << 20

const (
	// creditSamples is about how much an agent may send of its past at a time:
	// a live frame never waits for more than that.
	creditSamples = 50_000
	creditFrames  = 256 // the most, of an agent with few samples
	firstCredit   = 4   // while it is not known how many samples a frame has
)

// grant lets the agent send more of its past, if there is any, it has sent what
// it was let to, and it is its turn.
func (x *session) grant() error {
	if !x.clocked || x.credit != (run{}) || x.rest != nil || x.left {
		return nil
	}
	s := x.server
	s.mu.Lock()
	gap := x.spool.done.first(run{x.oldest, x.start})
	x.whole = gap == run{}
	s.mu.Unlock()
	if gap == (run{}) {
		x.caughtUp()
		return nil
	}
	if x.decoders[backfill] == nil {
		x.decoders[backfill] = NewDecoder(x.node.name, s.opts.Limits)
		x.catching = time.Now()
	}
	frames := uint64(firstCredit)
	if x.weight > 0 {
		frames = min(max(min(creditSamples, uint64(s.pace.Burst()))/x.weight, 1), creditFrames)
	}
	gap.until = min(gap.until, gap.from+frames)
	x.credit, x.seqs[backfill] = gap, gap.from-1
	return x.stream.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Credit{
		Credit: &plimsollv1.Credit{From: gap.from, Until: gap.until},
	}})
}

// Behind is how many of the streams have not yet brought all that their agents
// have of the time before they began.
func (s *Server) Behind() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for x := range s.sessions {
		if !x.whole {
			n++
		}
	}
	return n
}

// open is what the session listens to: requests, unless too much of the past
// waits, and the turn of what waits. What is live is never behind that: a frame of
// the past waits for all agents that fill in theirs.
func (x *session) open() (requests <-chan request, past chan<- struct{}) {
	requests = x.requests
	if x.laterBytes > mostLater {
		requests = nil
	}
	if len(x.later) > 0 && !x.left {
		past = x.server.past
	}
	return requests, past
}

func (x *session) putOff(l later) {
	x.later = append(x.later, l)
	x.laterBytes += l.bytes
}

// takeLater does what has waited for longest.
func (x *session) takeLater() error {
	l := x.later[0]
	x.later[0] = later{}
	x.later, x.laterBytes = x.later[1:], x.laterBytes-l.bytes
	if len(x.later) == 0 {
		x.later = nil
	}
	if l.frame != nil {
		return x.frame(l.frame, backfill)
	}
	return x.filledUp()
}

// filled hears that the agent has sent all it has of what it was let to.
func (x *session) filled(f *plimsollv1.Filled) error {
	if x.credit == (run{}) || f.GetUntil() != x.credit.until || x.seqs[backfill] >= f.GetUntil() {
		return status.Errorf(codes.InvalidArgument, "filled until %d: the credit is for %d to %d", f.GetUntil(), x.credit.from, x.credit.until)
	}
	x.seqs[backfill] = x.credit.until // nothing more comes of it
	x.putOff(later{})
	return nil
}

// filledUp lets the agent send more when it is its turn: all agents share one
// pace.
func (x *session) filledUp() error {
	s := x.server
	s.mu.Lock()
	lost := s.forgo(x, x.credit)
	s.dirty = true
	s.mu.Unlock()
	x.lost(lost)
	s.metrics.pastLeft.WithLabelValues(x.node.name).Set(float64(x.past()))
	frames := max(x.pastFrames, 1)
	x.weight = x.pastSamples / frames
	wait := s.pace.ReserveN(time.Now(), min(int(x.pastSamples), s.pace.Burst())).Delay()
	x.credit, x.pastFrames, x.pastSamples = run{}, 0, 0
	if wait > 0 {
		s.metrics.pastHeld.Add(wait.Seconds())
		x.rest = time.After(wait)
		return nil
	}
	return x.grant()
}

// past is how many frames the agent still has to send of its past.
func (x *session) past() uint64 {
	x.server.mu.Lock()
	defer x.server.mu.Unlock()
	return x.spool.done.missing(run{x.oldest, x.start}).count()
}

// caughtUp looks once more for what the agent came back without: what ended
// during the outage may have looked alive since.
func (x *session) caughtUp() {
	if x.catching.IsZero() {
		return
	}
	x.server.log.Info("the past of an agent is in", "node", x.node.name, "took", time.Since(x.catching).Round(time.Millisecond))
	x.server.metrics.pastLeft.DeleteLabelValues(x.node.name)
	x.catching, x.decoders[backfill] = time.Time{}, nil
	if x.sweep == nil && x.current != 0 {
		x.server.sweep(x)
	}
}

// may tells why a frame must not come in the lane that it came in.
func (x *session) may(seq uint64, l int) error {
	switch {
	case l == backfill && (seq < x.credit.from || seq >= x.credit.until):
		return status.Errorf(codes.InvalidArgument, "frame %d of the past, which was not asked for", seq)
	case seq <= x.seqs[l] || seq > maxSeq:
		return status.Errorf(codes.InvalidArgument, "frame %d after frame %d", seq, x.seqs[l])
	case x.revision >= 1 && !x.clocked:
		return status.Errorf(codes.InvalidArgument, "frame %d before clock, which answers welcome", seq)
	}
	return nil
}

package ingest

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	protocol     = 1
	revision     = 1
	helloTimeout = 10 * time.Second
	maxNodeBytes = 253 // of a node's name, as of a host's
)

// session is one stream. One goroutine owns it; another only receives.
type session struct {
	server   *Server
	stream   grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse]
	requests chan request
	acked    chan struct{} // more of its frames may have become durable
	wants    chan struct{} // something else may be wanted of its node

	once sync.Once
	quit chan struct{} // told to end
	why  error         // and for what reason

	hello    *plimsollv1.Hello
	revision uint32 // in force
	node     *node
	spool    *agentSpool
	buf      []byte        // of decompressed frames
	left     bool          // the agent has said goodbye
	tick     time.Duration // the agent's, as it says
	said     uint64        // version of the settings that the agent was told; 0 if none

	// The clocks.
	welcomed time.Time // when welcome went
	clocked  bool      // and has been answered
	shift    time.Duration

	// The lanes.
	decoders     [2]*Decoder
	seqs         [2]uint64 // of the last frame in each
	oldest, next uint64    // what the agent held when it said hello
	start        uint64    // where the live lane began
	expected     uint64    // the next live frame
	at           int64     // time of the last, in ms, if it was stored

	// The past.
	later                   []later          // what has come and waits for its turn
	laterBytes              int              // of those frames
	credit                  run              // what the agent may send
	rest                    <-chan time.Time // when it may be let to send more
	catching                time.Time        // since when it is sent; zero if it is not
	pastFrames, pastSamples uint64           // since the last credit
	weight                  uint64           // samples of a frame
	whole                   bool             // nothing of it is missing; Server.mu guards this

	current int64            // time of the first frame that was not backlog, in ms
	sweep   <-chan time.Time // when to look for what is left of earlier streams

	// The frame at hand.
	handling  uint64 // its number
	now       time.Time
	lane      int
	decoder   *Decoder
	allowance allowance
	draft     draft

	lastAck, lastLive uint64
	stored, repeated  uint64
	refusals          map[string]*refusal
}

type request struct {
	*plimsollv1.PushRequest
	err error
}

// Push serves one stream.
func (s *Server) Push(stream grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse]) error {
	err := s.serve(stream)
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	s.metrics.ends.WithLabelValues(st.Code().String()).Inc()
	return err
}

func (s *Server) serve(stream grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse]) error {
	x := &session{
		server: s, stream: stream,
		requests: make(chan request), acked: make(chan struct{}, 1), wants: make(chan struct{}, 1), quit: make(chan struct{}),
		refusals: map[string]*refusal{}, draft: s.newDraft(),
	}
	if err := s.enter(x); err != nil {
		return err
	}
	defer s.leave(x)
	// It ends with the stream, which ends when this function has returned.
	go x.receive()
	if err := x.greet(); err != nil {
		return err
	}
	if err := s.claim(x); err != nil {
		return err
	}
	defer s.release(x)
	return x.run()
}

// receive hands on what comes in, so that the stream can be ended while it is
// silent.
func (x *session) receive() {
	for {
		req, err := x.stream.Recv()
		select {
		case x.requests <- request{req, err}:
		case <-x.stream.Context().Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// end tells the session to end. The first reason counts.
func (x *session) end(why error) {
	x.once.Do(func() {
		x.why = why
		close(x.quit)
	})
}

func (x *session) greet() error {
	late := time.NewTimer(helloTimeout)
	defer late.Stop()
	var req request
	select {
	case req = <-x.requests:
	case <-x.quit:
		return x.why
	case <-x.stream.Context().Done():
		return x.stream.Context().Err()
	case <-late.C:
		return status.Errorf(codes.DeadlineExceeded, "no hello within %s", helloTimeout)
	}
	if req.err != nil {
		return req.err
	}
	h := req.GetHello()
	if h == nil {
		return status.Error(codes.InvalidArgument, "a stream must begin with hello")
	}
	if err := x.identify(h); err != nil {
		return err
	}
	switch {
	case h.GetProtocol() != protocol:
		return status.Errorf(codes.FailedPrecondition, "this collector, version %s, speaks protocol %d; the agent speaks %d",
			x.server.opts.Version, protocol, h.GetProtocol())
	case !validNode(h.GetNode()):
		return status.Errorf(codes.InvalidArgument, "node name %q: want 1 to %d bytes without spaces or control characters", shorten(h.GetNode()), maxNodeBytes)
	case len(h.GetSpoolId()) != 36 || uuid.Validate(h.GetSpoolId()) != nil:
		return status.Errorf(codes.InvalidArgument, "spool id %q: want a UUID", shorten(h.GetSpoolId()))
	}
	x.hello, x.revision = h, min(h.GetRevision(), revision)
	x.decoders[live] = NewDecoder(h.GetNode(), x.server.opts.Limits)
	x.decoder = x.decoders[live]
	return nil
}

// identify makes the stream one of the node that its certificate names, whatever
// the agent says.
func (x *session) identify(h *plimsollv1.Hello) error {
	if x.server.opts.Identify == nil {
		return nil
	}
	node, err := x.server.opts.Identify(x.stream.Context())
	switch {
	case err != nil && status.Code(err) != codes.Unknown:
		return err
	case err != nil:
		return status.Errorf(codes.Unauthenticated, "who this agent is: %v", err)
	case node == "" || node == h.GetNode():
		return nil
	}
	if said := h.GetNode(); said != "" {
		x.server.metrics.mismatches.Inc()
		if x.server.causes.say("identity " + node) {
			x.server.log.Warn("an agent says it is another node than its certificate does, which is believed; give it that name, or a certificate of its own",
				"says", shorten(said), "node", node)
		}
	}
	h.Node = node
	return nil
}

func validNode(name string) bool {
	for _, r := range name {
		if r <= ' ' || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	return name != "" && len(name) <= maxNodeBytes
}

// run answers hello and takes frames until the stream ends.
func (x *session) run() error {
	if err := x.welcome(); err != nil {
		return err
	}
	if err := x.acknowledge(); err != nil {
		return err
	}
	for {
		requests, past := x.open()
		select {
		case req := <-requests:
			switch {
			case errors.Is(req.err, io.EOF):
				return nil
			case req.err != nil:
				return req.err
			}
			if err := x.carefully(func() error { return x.take(req.PushRequest) }); err != nil {
				return err
			}
		case past <- struct{}{}:
			err := x.carefully(x.takeLater)
			<-x.server.past
			if err != nil {
				return err
			}
		case <-x.rest:
			x.rest = nil
			if err := x.grant(); err != nil {
				return err
			}
		case <-x.acked:
			if err := x.acknowledge(); err != nil {
				return err
			}
		case <-x.wants:
			if err := x.ask(); err != nil {
				return err
			}
		case <-x.sweep:
			x.sweep = nil
			x.server.sweep(x)
		case <-x.stream.Context().Done(): // the connection has broken
			return x.stream.Context().Err()
		case <-x.quit:
			_ = x.acknowledge() // what is durable by now is said, if it can be
			return x.why
		}
	}
}

func (x *session) welcome() error {
	s, l := x.server, x.server.opts.Limits
	x.welcomed = time.Now()
	return x.stream.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Welcome{Welcome: &plimsollv1.Welcome{
		ResumeFrom:  x.start,
		WallClockMs: x.welcomed.UnixMilli(),
		Limits: &plimsollv1.Limits{
			FrameBytes: l.FrameBytes, Series: l.Series, LabelsPerSeries: l.LabelsPerSeries,
			LabelNameBytes: l.LabelNameBytes, LabelValueBytes: l.LabelValueBytes,
		},
		CollectorVersion: s.opts.Version,
		Settings:         x.settings(),
		Revision:         revision,
	}}})
}

// acknowledge tells the agent how far its frames are durable, if that is
// further than it has been told.
func (x *session) acknowledge() error {
	x.server.mu.Lock()
	durable, head := x.spool.acked, x.spool.ackedLive
	x.server.mu.Unlock()
	if durable <= x.lastAck && head <= x.lastLive {
		return nil
	}
	x.lastAck, x.lastLive = durable, head
	ack := &plimsollv1.Ack{Seq: durable, LiveSeq: head, SamplesStored: x.stored, SamplesRepeated: x.repeated}
	for _, r := range x.refusals {
		ack.Refused = append(ack.Refused, proto.CloneOf(r.Refusal))
	}
	return x.stream.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: ack}})
}

// fail reports that the store has, and ends every stream.
func (x *session) fail(deed string, err error) error {
	err = fmt.Errorf("%s frame %d of %s: %w", deed, x.handling, x.node.name, err)
	x.server.fail(deed, err)
	return unavailable(err)
}

func unavailable(err error) error {
	return status.Errorf(codes.Unavailable, "the collector's store has failed and takes nothing in: %v", err)
}

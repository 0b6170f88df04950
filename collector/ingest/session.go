package ingest

import (
	"context"
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

	hello   *plimsollv1.Hello
	node    *node
	spool   *agentSpool
	decoder *Decoder
	buf     []byte        // of decompressed frames
	seq     uint64        // of the last frame
	at      int64         // its time, in ms, if it was stored
	left    bool          // the agent has said goodbye
	tick    time.Duration // the agent's, as it says
	said    uint64        // version of the settings that the agent was told; 0 if none

	current int64            // time of the first frame that was not backlog, in ms
	sweep   <-chan time.Time // when to look for what is left of earlier streams

	lastAck          uint64
	stored, repeated uint64
	refusals         map[string]*plimsollv1.Refusal
}

type request struct {
	*plimsollv1.PushRequest
	err error
}

// Push serves one stream.
func (s *Server) Push(stream grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse]) error {
	x := &session{
		server: s, stream: stream,
		requests: make(chan request), acked: make(chan struct{}, 1), wants: make(chan struct{}, 1), quit: make(chan struct{}),
		refusals: map[string]*plimsollv1.Refusal{},
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
	switch {
	case h == nil:
		return status.Error(codes.InvalidArgument, "a stream must begin with hello")
	case h.GetProtocol() != protocol:
		return status.Errorf(codes.FailedPrecondition, "this collector, version %s, speaks protocol %d; the agent speaks %d",
			x.server.opts.Version, protocol, h.GetProtocol())
	case !validNode(h.GetNode()):
		return status.Errorf(codes.InvalidArgument, "node name %q: want 1 to %d bytes without spaces or control characters", shorten(h.GetNode()), maxNodeBytes)
	case len(h.GetSpoolId()) != 36 || uuid.Validate(h.GetSpoolId()) != nil:
		return status.Errorf(codes.InvalidArgument, "spool id %q: want a UUID", shorten(h.GetSpoolId()))
	}
	x.hello = h
	x.decoder = NewDecoder(h.GetNode(), x.server.opts.Limits)
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
		select {
		case req := <-x.requests:
			switch {
			case errors.Is(req.err, io.EOF):
				return nil
			case req.err != nil:
				return req.err
			}
			if err := x.take(req.PushRequest); err != nil {
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
	s.mu.Lock()
	resume := x.spool.applied + 1
	s.mu.Unlock()
	return x.stream.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Welcome{Welcome: &plimsollv1.Welcome{
		ResumeFrom:  resume,
		WallClockMs: time.Now().UnixMilli(),
		Limits: &plimsollv1.Limits{
			FrameBytes: l.FrameBytes, Series: l.Series, LabelsPerSeries: l.LabelsPerSeries,
			LabelNameBytes: l.LabelNameBytes, LabelValueBytes: l.LabelValueBytes,
		},
		CollectorVersion: s.opts.Version,
		Settings:         x.settings(),
	}}})
}

// acknowledge tells the agent how far its frames are durable, if that is
// further than it has been told.
func (x *session) acknowledge() error {
	x.server.mu.Lock()
	durable := x.spool.durable
	x.server.mu.Unlock()
	if durable <= x.lastAck {
		return nil
	}
	x.lastAck = durable
	ack := &plimsollv1.Ack{Seq: durable, SamplesStored: x.stored, SamplesRepeated: x.repeated}
	for _, r := range x.refusals {
		ack.Refused = append(ack.Refused, proto.CloneOf(r))
	}
	return x.stream.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: ack}})
}

func (x *session) take(req *plimsollv1.PushRequest) error {
	if x.left {
		return status.Error(codes.InvalidArgument, "nothing may follow goodbye")
	}
	switch kind := req.GetKind().(type) {
	case *plimsollv1.PushRequest_Frame:
		n := proto.Size(kind.Frame)
		if n > int(x.server.opts.Limits.FrameBytes) {
			return x.tooLarge(n)
		}
		return x.frame(kind.Frame, n)
	case *plimsollv1.PushRequest_FrameZstd:
		f, err := x.unpack(kind.FrameZstd)
		if err != nil {
			return err
		}
		return x.frame(f, len(kind.FrameZstd))
	case *plimsollv1.PushRequest_Applied:
		x.applied(kind.Applied)
		return nil
	case *plimsollv1.PushRequest_Goodbye:
		x.left = true
		x.server.depart(context.WithoutCancel(x.stream.Context()), x)
		return nil
	}
	return status.Error(codes.InvalidArgument, "want a frame, an answer to settings or goodbye; hello comes once")
}

func (x *session) unpack(z []byte) (*plimsollv1.Frame, error) {
	var err error
	if x.buf, err = x.server.zstd.DecodeAll(z, x.buf[:0]); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "decompress a frame of at most %d bytes: %v", x.server.opts.Limits.FrameBytes, err)
	}
	if len(x.buf) > int(x.server.opts.Limits.FrameBytes) {
		return nil, x.tooLarge(len(x.buf))
	}
	f := &plimsollv1.Frame{}
	if err := proto.Unmarshal(x.buf, f); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "decode a frame: %v", err)
	}
	return f, nil
}

func (x *session) tooLarge(n int) error {
	return status.Errorf(codes.InvalidArgument, "a frame of %d bytes; the limit is %d", n, x.server.opts.Limits.FrameBytes)
}

// frame decodes f, always, since later frames refer to it, and stores what is
// new in it.
func (x *session) frame(f *plimsollv1.Frame, bytes int) error {
	if f.GetSeq() <= x.seq || f.GetSeq() > maxSeq {
		return status.Errorf(codes.InvalidArgument, "frame %d after frame %d", f.GetSeq(), x.seq)
	}
	if err := x.decoder.Decode(f); err != nil {
		code := codes.InvalidArgument
		if errors.Is(err, errFull) {
			code = codes.ResourceExhausted
		}
		return status.Error(code, err.Error())
	}
	x.seq = f.GetSeq()
	x.server.metrics.bytes.Add(float64(bytes))
	if len(x.decoder.fresh) > 0 {
		x.server.metas.learn(x.decoder.fresh)
	}
	return x.store(f)
}

// refuse counts a sample that is not wanted.
func (x *session) refuse(reason string, s *series) {
	r := x.refusals[reason]
	if r == nil {
		r = &plimsollv1.Refusal{Reason: reason, Example: s.name()}
		x.refusals[reason] = r
		x.server.log.Warn("refusing samples of an agent", "node", x.node.name, "reason", reason, "example", r.Example)
	}
	r.Samples++
	x.server.metrics.refused.WithLabelValues(reason).Inc()
}

// fail reports that the store has, and ends every stream.
func (x *session) fail(deed string, err error) error {
	err = fmt.Errorf("%s frame %d of %s: %w", deed, x.seq, x.node.name, err)
	x.server.fail(deed, err)
	return unavailable(err)
}

func unavailable(err error) error {
	return status.Errorf(codes.Unavailable, "the collector's store has failed and takes nothing in: %v", err)
}

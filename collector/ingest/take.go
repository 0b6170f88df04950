package ingest

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

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
		return x.arrived(kind.Frame, n, n)
	case *plimsollv1.PushRequest_FrameZstd:
		f, err := x.unpack(kind.FrameZstd)
		if err != nil {
			return err
		}
		return x.arrived(f, len(kind.FrameZstd), len(x.buf))
	case *plimsollv1.PushRequest_Applied:
		x.applied(kind.Applied)
		return nil
	case *plimsollv1.PushRequest_Clock:
		return x.clock(kind.Clock)
	case *plimsollv1.PushRequest_Filled:
		return x.filled(kind.Filled)
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

// arrived takes in a frame that has so many bytes, here and on the wire: at once
// if it is live, else once it is its turn.
func (x *session) arrived(f *plimsollv1.Frame, wire, size int) error {
	x.handling = f.GetSeq()
	l := live
	if f.GetLane() == plimsollv1.Lane_LANE_BACKFILL {
		l = backfill
	}
	if err := x.may(f.GetSeq(), l); err != nil {
		return err
	}
	x.seqs[l] = f.GetSeq()
	x.server.metrics.bytes.Add(float64(wire))
	if l == backfill {
		x.putOff(later{frame: f, bytes: size})
		return nil
	}
	return x.frame(f, live)
}

// frame decodes f, always, since later frames refer to it, and stores what is
// new in it. It waits for its turn: an agent with many frames takes no more of
// the processors than one with few.
func (x *session) frame(f *plimsollv1.Frame, lane int) error {
	s := x.server
	if err := s.refuses(); err != nil {
		return err
	}
	x.handling, x.lane = f.GetSeq(), lane
	x.now = s.begin()
	defer s.finish(x.now, lane)

	x.decoder = x.decoders[lane]
	if err := x.decoder.Decode(f); err != nil {
		code := codes.InvalidArgument
		if errors.Is(err, errFull) {
			code = codes.ResourceExhausted
		}
		return status.Error(code, err.Error())
	}
	f.TimestampMs = saturated(f.GetTimestampMs(), x.shift)
	if lane == backfill {
		x.pastFrames++
		x.pastSamples += uint64(len(x.decoder.cells))
	}
	if len(x.decoder.fresh) > 0 {
		s.metas.learn(x.decoder.fresh)
		s.overfull(x)
	}
	return x.store(f)
}

package otlp

import (
	"context"
	"errors"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // exporters may compress with it
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

func (s *Server) newGRPC() *grpc.Server {
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(16<<10),
		grpc.MaxConcurrentStreams(maxRequests),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 10 * time.Minute, Time: time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.InTapHandle(s.tap),
		grpc.StatsHandler(&oversized{feed: s.grpc.feed}),
		grpc.ForceServerCodecV2(&codec{CodecV2: encoding.GetCodecV2("proto"), feed: s.grpc.feed}),
	)
	collectorpb.RegisterMetricsServiceServer(server, &service{server: s})
	return server
}

// tap turns a request away before any of it is read, if there are too many. A
// slot is given back when the request's context ends, which is when the request
// does.
func (s *Server) tap(ctx context.Context, _ *tap.Info) (context.Context, error) {
	release, ok := s.admit(s.grpc)
	if !ok {
		return nil, status.Error(codes.Unavailable, "too many requests at a time; try again")
	}
	context.AfterFunc(ctx, release)
	return ctx, nil
}

type service struct {
	collectorpb.UnimplementedMetricsServiceServer
	server *Server
}

// Export implements OpenTelemetry's MetricsService.
func (s *service) Export(_ context.Context, r *collectorpb.ExportMetricsServiceRequest) (*collectorpb.ExportMetricsServiceResponse, error) {
	answer, err := s.server.export(s.server.grpc, r)
	switch {
	case errors.Is(err, errRate):
		return nil, status.Error(codes.Unavailable, err.Error()) // exporters try again
	case errors.Is(err, errPoints):
		return nil, status.Error(codes.InvalidArgument, err.Error())
	case err != nil:
		return nil, status.Error(codes.Internal, err.Error())
	}
	return answer, nil
}

// codec decodes requests within bounds.
type codec struct {
	encoding.CodecV2
	feed *push.Feed
}

func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return counted(c.feed, decode(buf.ReadOnlyData(), m))
}

// counted counts a message that could not be decoded.
func counted(feed *push.Feed, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		feed.Drop(push.TooLarge, 1)
	case err != nil:
		feed.Drop(push.Malformed, 1)
	}
	return err
}

// oversized counts messages that gRPC turns away because they are too long.
// Nothing else ends with that code.
type oversized struct{ feed *push.Feed }

func (o *oversized) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (o *oversized) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (o *oversized) HandleConn(context.Context, stats.ConnStats) {}

func (o *oversized) HandleRPC(_ context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok && status.Code(end.Error) == codes.ResourceExhausted {
		o.feed.Drop(push.TooLarge, 1)
	}
}

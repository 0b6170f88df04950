// The Plimsoll wire: how a node agent hands samples to a collector.
//
// This file is the specification. What a field does not say itself is said in
// the comment above it, so that a second implementation needs nothing else.
//
// # A stream
//
//   agent                                     collector
//     │ PushRequest{hello} ───────────────────────▶ │  first, and once
//     │ ◀─────────────────────── PushResponse{welcome}  resume_from, limits
//     │ PushRequest{frame seq=resume_from} ───────▶ │
//     │ PushRequest{frame seq=resume_from+1} ─────▶ │  … without waiting
//     │ ◀─────────────────────────── PushResponse{ack}  up to seq: durable
//
// A frame is one tick of the agent: all samples in it carry one timestamp.
// Frames are numbered from 1 without holes, in the order in which the agent
// spooled them. The number belongs to the spool (Hello.spool_id), not to the
// stream: it survives reconnects and restarts of the agent.
//
// # Delivery
//
// The collector acknowledges a number once that frame and all before it are on
// stable storage, samples and number in one transaction. The agent keeps a
// frame until it is acknowledged, and for two hours more if its spool has the
// room, for a collector that has lost its disk. After a reconnect the collector
// names the first frame it wants (Welcome.resume_from); it may be one that the
// agent has sent before, acknowledged or not, and the collector then recognises
// the samples it already has. If the agent no longer holds that frame, it sends
// the oldest it has: the collector counts the hole and goes on.
//
// # Lanes
//
// Where both sides speak revision 1, an agent that was away for long does not
// make people wait for the present until the past is through. The collector
// then names a frame close to Hello.next_seq to resume from, and frames go on
// from there in the live lane. What it lacks of the frames before, it asks for
// beside that, a range at a time, at the pace that it can bear:
//
//   agent                                     collector
//     │ ◀────────────── PushResponse{welcome resume_from=900}
//     │ PushRequest{frame seq=900} ───────────────▶ │
//     │ ◀────────────── PushResponse{credit from=7 until=71}
//     │ PushRequest{frame seq=7 lane=BACKFILL} ───▶ │
//     │ PushRequest{frame seq=901} ───────────────▶ │  live frames go first
//     │ PushRequest{frame seq=8 lane=BACKFILL} ───▶ │
//     │ …                                           │
//     │ PushRequest{filled until=71} ─────────────▶ │  the rest is no longer held
//     │ ◀────────────── PushResponse{credit from=71 until=135}
//
// An agent sends in the backfill lane what it has credit for and nothing else,
// in order, and says Filled behind the last frame of a range that it holds. The
// next credit comes after that. Numbers mean the same in both lanes, and each
// frame is sent in one of them; what the collector has of both is remembered in
// the transactions that store them. Each lane has tables of its own (see below)
// and begins with empty ones. Frames of both may be interleaved at will.
//
// # Clocks
//
// Samples carry the agent's time. Where both sides speak revision 1, the agent
// answers Welcome with PushRequest{clock} at once, before any frame. Half the
// time from Welcome to that answer is the way, and the collector then knows how
// far the two clocks are apart. If that is more than a second, it takes as many
// seconds off every time in this stream, the same from its first frame to its
// last, and off those of the next stream of the spool too unless the clocks have
// moved by more than a second since. An agent whose clock is set while a stream
// lasts therefore begins another.
//
// # References
//
// Names and labels travel once per stream and lane. Frame.symbols appends
// strings to the lane's symbol table, Frame.series appends series to its series
// table and Frame.layouts appends layouts to its layout table. Each table starts
// empty with the stream; an entry's reference is its position, counted from 0
// over the life of the stream. Definitions in a frame are read before its
// values, in the order symbols, series, layouts. References never outlive the
// stream. What is said of a stream below holds for each of its lanes.
//
// # Values
//
// A layout is a list of series that are read together: one container's
// first-lane series, say. Frame.columns lists the layouts that this frame has
// values for, each as the difference to the one before it (the first to 0), as
// zigzag varints; a layout stands there at most once. The columns' series, laid
// end to end, are the frame's cells. Frame.values encodes one value per cell as
// tokens, each opened by an unsigned LEB128 varint u, whose low two bits tell
// the kind and whose rest (u >> 2) is n:
//
//   n<<2 | 0   run        the next n+1 cells have the value they had before
//   n<<2 | 1   integer    n is a zigzag encoded difference d; the cell is
//                         (k + d) / divisor, where k is the series' last
//                         integer (0 at first) and becomes k + d
//   n<<2 | 2   raw        8 bytes follow: an IEEE 754 double, little endian;
//                         n is 0 and the series' last integer stays
//   n<<2 | 3   absent     the next n+1 cells have no value at this tick
//
// The division is that of IEEE 754 doubles, so that an agent can check that
// what the collector will see is, to the bit, what it read, and fall back to
// raw where it is not. «The value they had before» is the value of the same
// series in the last frame of this stream in which it was not absent; a run
// over a series that has had none is an error.
//
// Absent is not zero: the agent looked and there was nothing. The collector
// ends the series with a staleness marker until its next value. A NaN may be
// sent as raw; its bits are kept, except that a staleness marker
// (0x7ff0000000000002) is treated as absent.
//
// # Ends
//
// Frame.ended lists layouts whose subject is gone (a container that exited).
// The collector writes staleness markers for their series at the frame's
// timestamp, so that what takes their place in the same frame never stands
// beside them, or one millisecond after it where the frame has a last value. A
// layout that has ended must not be used again.
//
// # Settings
//
// A collector may want an agent to tick less often, or to read some containers
// more often. It says so in Welcome.settings and, while the stream lasts, with
// PushResponse{settings}; what it says replaces what it said before. The agent
// answers each with PushRequest{applied}, at any place behind its hello. A
// collector of revision 1 hears that too, with the last version it has sent or 0,
// when another collector has changed the tick; an older one that has sent no
// settings would end the stream. A welcome without settings means that none are
// wanted.
//
// An agent refuses what it does not know, what is out of bounds, and what its
// operator does not allow, and goes on as if that had not been asked for;
// Applied says which tick is in force. After five minutes without a collector
// it goes on as if nothing had been asked for.
//
// # Errors
//
// A frame that breaks these rules (a reference out of range, tokens that do not
// end with the cells, a number that does not follow) ends the stream with
// INVALID_ARGUMENT. A value that is well formed and not wanted (a timestamp in
// the future, a label too long, a series over the limit) is refused alone,
// counted, and reported in the next Ack; the rest of its frame is stored.
//
// RESOURCE_EXHAUSTED says that the collector has no room at present and why:
// the agent keeps its samples and comes again after some seconds. INTERNAL says
// that a frame brought the collector to a fault: it is asked for once more, and
// left out after that. PERMISSION_DENIED says that this agent may not speak,
// or may no longer. Where its certificate names a node, that is the stream's,
// whatever Hello.node says.
//
// # Revisions
//
// A side that says revision 1 knows lanes, clocks and Ack.live_seq. What is in
// force is the lower of what Hello and Welcome say; an agent sends nothing of a
// revision that the collector has not said. Revision 0 is what came before:
// frames in order in one lane.

// Code generated by protoc-gen-go-grpc. DO NOT EDIT.
// versions:
// - protoc-gen-go-grpc v1.6.2
// - protoc             (unknown)
// source: plimsoll/v1/ingest.proto

package plimsollv1

import (
	context "context"
	grpc "google.golang.org/grpc"
	codes "google.golang.org/grpc/codes"
	status "google.golang.org/grpc/status"
)

// This is a compile-time assertion to ensure that this generated file
// is compatible with the grpc package it is being compiled against.
// Requires gRPC-Go v1.64.0 or later.
const _ = grpc.SupportPackageIsVersion9

const (
	IngestService_Push_FullMethodName = "/plimsoll.v1.IngestService/Push"
)

// IngestServiceClient is the client API for IngestService service.
//
// For semantics around ctx use and closing/ending streaming RPCs, please refer to https://pkg.go.dev/google.golang.org/grpc/?tab=doc#ClientConn.NewStream.
//
// IngestService is spoken by collectors and used by agents.
type IngestServiceClient interface {
	// Push carries one agent's frames for as long as both sides live.
	Push(ctx context.Context, opts ...grpc.CallOption) (grpc.BidiStreamingClient[PushRequest, PushResponse], error)
}

type ingestServiceClient struct {
	cc grpc.ClientConnInterface
}

func NewIngestServiceClient(cc grpc.ClientConnInterface) IngestServiceClient {
	return &ingestServiceClient{cc}
}

func (c *ingestServiceClient) Push(ctx context.Context, opts ...grpc.CallOption) (grpc.BidiStreamingClient[PushRequest, PushResponse], error) {
	cOpts := append([]grpc.CallOption{grpc.StaticMethod()}, opts...)
	stream, err := c.cc.NewStream(ctx, &IngestService_ServiceDesc.Streams[0], IngestService_Push_FullMethodName, cOpts...)
	if err != nil {
		return nil, err
	}
	x := &grpc.GenericClientStream[PushRequest, PushResponse]{ClientStream: stream}
	return x, nil
}

// This type alias is provided for backwards compatibility with existing code that references the prior non-generic stream type by name.
type IngestService_PushClient = grpc.BidiStreamingClient[PushRequest, PushResponse]

// IngestServiceServer is the server API for IngestService service.
// All implementations must embed UnimplementedIngestServiceServer
// for forward compatibility.
//
// IngestService is spoken by collectors and used by agents.
type IngestServiceServer interface {
	// Push carries one agent's frames for as long as both sides live.
	Push(grpc.BidiStreamingServer[PushRequest, PushResponse]) error
	mustEmbedUnimplementedIngestServiceServer()
}

// UnimplementedIngestServiceServer must be embedded to have
// forward compatible implementations.
//
// NOTE: this should be embedded by value instead of pointer to avoid a nil
// pointer dereference when methods are called.
type UnimplementedIngestServiceServer struct{}

func (UnimplementedIngestServiceServer) Push(grpc.BidiStreamingServer[PushRequest, PushResponse]) error {
	return status.Error(codes.Unimplemented, "method Push not implemented")
}
func (UnimplementedIngestServiceServer) mustEmbedUnimplementedIngestServiceServer() {}
func (UnimplementedIngestServiceServer) testEmbeddedByValue()                       {}

// UnsafeIngestServiceServer may be embedded to opt out of forward compatibility for this service.
// Use of this interface is not recommended, as added methods to IngestServiceServer will
// result in compilation errors.
type UnsafeIngestServiceServer interface {
	mustEmbedUnimplementedIngestServiceServer()
}

func RegisterIngestServiceServer(s grpc.ServiceRegistrar, srv IngestServiceServer) {
	// If the following call panics, it indicates UnimplementedIngestServiceServer was
	// embedded by pointer and is nil.  This will cause panics if an
	// unimplemented method is ever invoked, so we test this at initialization
	// time to prevent it from happening at runtime later due to I/O.
	if t, ok := srv.(interface{ testEmbeddedByValue() }); ok {
		t.testEmbeddedByValue()
	}
	s.RegisterService(&IngestService_ServiceDesc, srv)
}

func _IngestService_Push_Handler(srv interface{}, stream grpc.ServerStream) error {
	return srv.(IngestServiceServer).Push(&grpc.GenericServerStream[PushRequest, PushResponse]{ServerStream: stream})
}

// This type alias is provided for backwards compatibility with existing code that references the prior non-generic stream type by name.
type IngestService_PushServer = grpc.BidiStreamingServer[PushRequest, PushResponse]

// IngestService_ServiceDesc is the grpc.ServiceDesc for IngestService service.
// It's only intended for direct use with grpc.RegisterService,
// and not to be introspected or modified (even as a copy)
var IngestService_ServiceDesc = grpc.ServiceDesc{
	ServiceName: "plimsoll.v1.IngestService",
	HandlerType: (*IngestServiceServer)(nil),
	Methods:     []grpc.MethodDesc{},
	Streams: []grpc.StreamDesc{
		{
			StreamName:    "Push",
			Handler:       _IngestService_Push_Handler,
			ServerStreams: true,
			ClientStreams: true,
		},
	},
	Metadata: "plimsoll/v1/ingest.proto",
}

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

// Code generated by protoc-gen-go. DO NOT EDIT.
// versions:
// 	protoc-gen-go v1.36.12
// 	protoc        (unknown)
// source: plimsoll/v1/ingest.proto

package plimsollv1

import (
	protoreflect "google.golang.org/protobuf/reflect/protoreflect"
	protoimpl "google.golang.org/protobuf/runtime/protoimpl"
	reflect "reflect"
	sync "sync"
	unsafe "unsafe"
)

const (
	// Verify that this generated code is sufficiently up-to-date.
	_ = protoimpl.EnforceVersion(20 - protoimpl.MinVersion)
	// Verify that runtime/protoimpl is sufficiently up-to-date.
	_ = protoimpl.EnforceVersion(protoimpl.MaxVersion - 20)
)

// Lane tells the frames of now from those that were spooled during an outage.
type Lane int32

const (
	// The live lane.
	Lane_LANE_UNSPECIFIED Lane = 0
	Lane_LANE_BACKFILL    Lane = 1
)

// Enum value maps for Lane.
var (
	Lane_name = map[int32]string{
		0: "LANE_UNSPECIFIED",
		1: "LANE_BACKFILL",
	}
	Lane_value = map[string]int32{
		"LANE_UNSPECIFIED": 0,
		"LANE_BACKFILL":    1,
	}
)

func (x Lane) Enum() *Lane {
	p := new(Lane)
	*p = x
	return p
}

func (x Lane) String() string {
	return protoimpl.X.EnumStringOf(x.Descriptor(), protoreflect.EnumNumber(x))
}

func (Lane) Descriptor() protoreflect.EnumDescriptor {
	return file_plimsoll_v1_ingest_proto_enumTypes[0].Descriptor()
}

func (Lane) Type() protoreflect.EnumType {
	return &file_plimsoll_v1_ingest_proto_enumTypes[0]
}

func (x Lane) Number() protoreflect.EnumNumber {
	return protoreflect.EnumNumber(x)
}

// Deprecated: Use Lane.Descriptor instead.
func (Lane) EnumDescriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{0}
}

// MetricType is the type of a metric as Prometheus knows it.
type MetricType int32

const (
	MetricType_METRIC_TYPE_UNSPECIFIED MetricType = 0
	MetricType_METRIC_TYPE_COUNTER     MetricType = 1
	MetricType_METRIC_TYPE_GAUGE       MetricType = 2
)

// Enum value maps for MetricType.
var (
	MetricType_name = map[int32]string{
		0: "METRIC_TYPE_UNSPECIFIED",
		1: "METRIC_TYPE_COUNTER",
		2: "METRIC_TYPE_GAUGE",
	}
	MetricType_value = map[string]int32{
		"METRIC_TYPE_UNSPECIFIED": 0,
		"METRIC_TYPE_COUNTER":     1,
		"METRIC_TYPE_GAUGE":       2,
	}
)

func (x MetricType) Enum() *MetricType {
	p := new(MetricType)
	*p = x
	return p
}

func (x MetricType) String() string {
	return protoimpl.X.EnumStringOf(x.Descriptor(), protoreflect.EnumNumber(x))
}

func (MetricType) Descriptor() protoreflect.EnumDescriptor {
	return file_plimsoll_v1_ingest_proto_enumTypes[1].Descriptor()
}

func (MetricType) Type() protoreflect.EnumType {
	return &file_plimsoll_v1_ingest_proto_enumTypes[1]
}

func (x MetricType) Number() protoreflect.EnumNumber {
	return protoreflect.EnumNumber(x)
}

// Deprecated: Use MetricType.Descriptor instead.
func (MetricType) EnumDescriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{1}
}

// EventKind tells events apart.
type EventKind int32

const (
	EventKind_EVENT_KIND_UNSPECIFIED       EventKind = 0
	EventKind_EVENT_KIND_CONTAINER_STARTED EventKind = 1
	EventKind_EVENT_KIND_CONTAINER_EXITED  EventKind = 2
	EventKind_EVENT_KIND_CONTAINER_OOM     EventKind = 3
)

// Enum value maps for EventKind.
var (
	EventKind_name = map[int32]string{
		0: "EVENT_KIND_UNSPECIFIED",
		1: "EVENT_KIND_CONTAINER_STARTED",
		2: "EVENT_KIND_CONTAINER_EXITED",
		3: "EVENT_KIND_CONTAINER_OOM",
	}
	EventKind_value = map[string]int32{
		"EVENT_KIND_UNSPECIFIED":       0,
		"EVENT_KIND_CONTAINER_STARTED": 1,
		"EVENT_KIND_CONTAINER_EXITED":  2,
		"EVENT_KIND_CONTAINER_OOM":     3,
	}
)

func (x EventKind) Enum() *EventKind {
	p := new(EventKind)
	*p = x
	return p
}

func (x EventKind) String() string {
	return protoimpl.X.EnumStringOf(x.Descriptor(), protoreflect.EnumNumber(x))
}

func (EventKind) Descriptor() protoreflect.EnumDescriptor {
	return file_plimsoll_v1_ingest_proto_enumTypes[2].Descriptor()
}

func (EventKind) Type() protoreflect.EnumType {
	return &file_plimsoll_v1_ingest_proto_enumTypes[2]
}

func (x EventKind) Number() protoreflect.EnumNumber {
	return protoreflect.EnumNumber(x)
}

// Deprecated: Use EventKind.Descriptor instead.
func (EventKind) EnumDescriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{2}
}

// PushRequest is what an agent says.
type PushRequest struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// Types that are valid to be assigned to Kind:
	//
	//	*PushRequest_Hello
	//	*PushRequest_Frame
	//	*PushRequest_FrameZstd
	//	*PushRequest_Goodbye
	//	*PushRequest_Applied
	//	*PushRequest_Clock
	//	*PushRequest_Filled
	Kind          isPushRequest_Kind `protobuf_oneof:"kind"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *PushRequest) Reset() {
	*x = PushRequest{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[0]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *PushRequest) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*PushRequest) ProtoMessage() {}

func (x *PushRequest) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[0]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use PushRequest.ProtoReflect.Descriptor instead.
func (*PushRequest) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{0}
}

func (x *PushRequest) GetKind() isPushRequest_Kind {
	if x != nil {
		return x.Kind
	}
	return nil
}

func (x *PushRequest) GetHello() *Hello {
	if x != nil {
		if x, ok := x.Kind.(*PushRequest_Hello); ok {
			return x.Hello
		}
	}
	return nil
}

func (x *PushRequest) GetFrame() *Frame {
	if x != nil {
		if x, ok := x.Kind.(*PushRequest_Frame); ok {
			return x.Frame
		}
	}
	return nil
}

func (x *PushRequest) GetFrameZstd() []byte {
	if x != nil {
		if x, ok := x.Kind.(*PushRequest_FrameZstd); ok {
			return x.FrameZstd
		}
	}
	return nil
}

func (x *PushRequest) GetGoodbye() *Goodbye {
	if x != nil {
		if x, ok := x.Kind.(*PushRequest_Goodbye); ok {
			return x.Goodbye
		}
	}
	return nil
}

func (x *PushRequest) GetApplied() *Applied {
	if x != nil {
		if x, ok := x.Kind.(*PushRequest_Applied); ok {
			return x.Applied
		}
	}
	return nil
}

func (x *PushRequest) GetClock() *Clock {
	if x != nil {
		if x, ok := x.Kind.(*PushRequest_Clock); ok {
			return x.Clock
		}
	}
	return nil
}

func (x *PushRequest) GetFilled() *Filled {
	if x != nil {
		if x, ok := x.Kind.(*PushRequest_Filled); ok {
			return x.Filled
		}
	}
	return nil
}

type isPushRequest_Kind interface {
	isPushRequest_Kind()
}

type PushRequest_Hello struct {
	Hello *Hello `protobuf:"bytes,1,opt,name=hello,proto3,oneof"`
}

type PushRequest_Frame struct {
	Frame *Frame `protobuf:"bytes,2,opt,name=frame,proto3,oneof"`
}

type PushRequest_FrameZstd struct {
	// A Frame in protobuf encoding, compressed as one Zstandard frame (RFC
	// 8878) without a dictionary. The collector bounds its decoded size by
	// Limits.frame_bytes.
	FrameZstd []byte `protobuf:"bytes,3,opt,name=frame_zstd,json=frameZstd,proto3,oneof"`
}

type PushRequest_Goodbye struct {
	// The agent is shutting down and will send nothing more. All series of the
	// node end now instead of after the collector's patience.
	Goodbye *Goodbye `protobuf:"bytes,4,opt,name=goodbye,proto3,oneof"`
}

type PushRequest_Applied struct {
	// What has become of the last settings.
	Applied *Applied `protobuf:"bytes,5,opt,name=applied,proto3,oneof"`
}

type PushRequest_Clock struct {
	// Revision 1.
	Clock *Clock `protobuf:"bytes,6,opt,name=clock,proto3,oneof"`
}

type PushRequest_Filled struct {
	Filled *Filled `protobuf:"bytes,7,opt,name=filled,proto3,oneof"`
}

func (*PushRequest_Hello) isPushRequest_Kind() {}

func (*PushRequest_Frame) isPushRequest_Kind() {}

func (*PushRequest_FrameZstd) isPushRequest_Kind() {}

func (*PushRequest_Goodbye) isPushRequest_Kind() {}

func (*PushRequest_Applied) isPushRequest_Kind() {}

func (*PushRequest_Clock) isPushRequest_Kind() {}

func (*PushRequest_Filled) isPushRequest_Kind() {}

// PushResponse is what a collector says.
type PushResponse struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// Types that are valid to be assigned to Kind:
	//
	//	*PushResponse_Welcome
	//	*PushResponse_Ack
	//	*PushResponse_Settings
	//	*PushResponse_Credit
	Kind          isPushResponse_Kind `protobuf_oneof:"kind"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *PushResponse) Reset() {
	*x = PushResponse{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[1]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *PushResponse) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*PushResponse) ProtoMessage() {}

func (x *PushResponse) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[1]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use PushResponse.ProtoReflect.Descriptor instead.
func (*PushResponse) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{1}
}

func (x *PushResponse) GetKind() isPushResponse_Kind {
	if x != nil {
		return x.Kind
	}
	return nil
}

func (x *PushResponse) GetWelcome() *Welcome {
	if x != nil {
		if x, ok := x.Kind.(*PushResponse_Welcome); ok {
			return x.Welcome
		}
	}
	return nil
}

func (x *PushResponse) GetAck() *Ack {
	if x != nil {
		if x, ok := x.Kind.(*PushResponse_Ack); ok {
			return x.Ack
		}
	}
	return nil
}

func (x *PushResponse) GetSettings() *Settings {
	if x != nil {
		if x, ok := x.Kind.(*PushResponse_Settings); ok {
			return x.Settings
		}
	}
	return nil
}

func (x *PushResponse) GetCredit() *Credit {
	if x != nil {
		if x, ok := x.Kind.(*PushResponse_Credit); ok {
			return x.Credit
		}
	}
	return nil
}

type isPushResponse_Kind interface {
	isPushResponse_Kind()
}

type PushResponse_Welcome struct {
	Welcome *Welcome `protobuf:"bytes,1,opt,name=welcome,proto3,oneof"`
}

type PushResponse_Ack struct {
	Ack *Ack `protobuf:"bytes,2,opt,name=ack,proto3,oneof"`
}

type PushResponse_Settings struct {
	Settings *Settings `protobuf:"bytes,3,opt,name=settings,proto3,oneof"`
}

type PushResponse_Credit struct {
	// Revision 1.
	Credit *Credit `protobuf:"bytes,4,opt,name=credit,proto3,oneof"`
}

func (*PushResponse_Welcome) isPushResponse_Kind() {}

func (*PushResponse_Ack) isPushResponse_Kind() {}

func (*PushResponse_Settings) isPushResponse_Kind() {}

func (*PushResponse_Credit) isPushResponse_Kind() {}

// Hello opens a stream.
type Hello struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// The version of this protocol that the agent speaks: 1. A collector that
	// does not speak it answers FAILED_PRECONDITION and names those it does.
	Protocol uint32 `protobuf:"varint,1,opt,name=protocol,proto3" json:"protocol,omitempty"`
	// The name of the node, as operators know it. The collector stores it as
	// label node of every series of the stream.
	Node string `protobuf:"bytes,2,opt,name=node,proto3" json:"node,omitempty"`
	// A random UUID (RFC 9562, text form) made when the spool was made. Frame
	// numbers are unique within it.
	SpoolId string `protobuf:"bytes,3,opt,name=spool_id,json=spoolId,proto3" json:"spool_id,omitempty"`
	// The kernel's boot id of the node, empty if unknown.
	BootId string `protobuf:"bytes,4,opt,name=boot_id,json=bootId,proto3" json:"boot_id,omitempty"`
	// The agent's wall clock when it sent this, in ms since the Unix epoch.
	WallClockMs int64 `protobuf:"varint,5,opt,name=wall_clock_ms,json=wallClockMs,proto3" json:"wall_clock_ms,omitempty"`
	// The agent's software version, for people.
	AgentVersion string `protobuf:"bytes,6,opt,name=agent_version,json=agentVersion,proto3" json:"agent_version,omitempty"`
	// The number of the oldest frame the agent still holds, and of the next it
	// will write. They are equal if it holds none.
	OldestSeq uint64 `protobuf:"varint,7,opt,name=oldest_seq,json=oldestSeq,proto3" json:"oldest_seq,omitempty"`
	NextSeq   uint64 `protobuf:"varint,8,opt,name=next_seq,json=nextSeq,proto3" json:"next_seq,omitempty"`
	// The agent's tick, in ms, as it is in force: slowed, if settings of an
	// earlier stream still are. The collector gives up on a silent agent after a
	// few of them.
	IntervalMs uint32 `protobuf:"varint,9,opt,name=interval_ms,json=intervalMs,proto3" json:"interval_ms,omitempty"`
	// In how many ticks the agent reads everything once. 0 stands for 20. A
	// series that it has not named for so long is one that it came back without.
	RoundTicks uint32 `protobuf:"varint,10,opt,name=round_ticks,json=roundTicks,proto3" json:"round_ticks,omitempty"`
	// What the agent knows beyond the first words of this protocol, see
	// «Revisions» above: 1.
	Revision      uint32 `protobuf:"varint,11,opt,name=revision,proto3" json:"revision,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Hello) Reset() {
	*x = Hello{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[2]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Hello) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Hello) ProtoMessage() {}

func (x *Hello) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[2]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Hello.ProtoReflect.Descriptor instead.
func (*Hello) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{2}
}

func (x *Hello) GetProtocol() uint32 {
	if x != nil {
		return x.Protocol
	}
	return 0
}

func (x *Hello) GetNode() string {
	if x != nil {
		return x.Node
	}
	return ""
}

func (x *Hello) GetSpoolId() string {
	if x != nil {
		return x.SpoolId
	}
	return ""
}

func (x *Hello) GetBootId() string {
	if x != nil {
		return x.BootId
	}
	return ""
}

func (x *Hello) GetWallClockMs() int64 {
	if x != nil {
		return x.WallClockMs
	}
	return 0
}

func (x *Hello) GetAgentVersion() string {
	if x != nil {
		return x.AgentVersion
	}
	return ""
}

func (x *Hello) GetOldestSeq() uint64 {
	if x != nil {
		return x.OldestSeq
	}
	return 0
}

func (x *Hello) GetNextSeq() uint64 {
	if x != nil {
		return x.NextSeq
	}
	return 0
}

func (x *Hello) GetIntervalMs() uint32 {
	if x != nil {
		return x.IntervalMs
	}
	return 0
}

func (x *Hello) GetRoundTicks() uint32 {
	if x != nil {
		return x.RoundTicks
	}
	return 0
}

func (x *Hello) GetRevision() uint32 {
	if x != nil {
		return x.Revision
	}
	return 0
}

// Welcome answers Hello.
type Welcome struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// The first frame the collector wants in the live lane.
	ResumeFrom uint64 `protobuf:"varint,1,opt,name=resume_from,json=resumeFrom,proto3" json:"resume_from,omitempty"`
	// The collector's wall clock when it sent this, in ms since the Unix epoch.
	WallClockMs int64   `protobuf:"varint,2,opt,name=wall_clock_ms,json=wallClockMs,proto3" json:"wall_clock_ms,omitempty"`
	Limits      *Limits `protobuf:"bytes,3,opt,name=limits,proto3" json:"limits,omitempty"`
	// The collector's software version, for people.
	CollectorVersion string `protobuf:"bytes,4,opt,name=collector_version,json=collectorVersion,proto3" json:"collector_version,omitempty"`
	// Absent if the collector wants nothing beyond the agent's own configuration.
	Settings *Settings `protobuf:"bytes,5,opt,name=settings,proto3" json:"settings,omitempty"`
	// As in Hello, of the collector.
	Revision      uint32 `protobuf:"varint,6,opt,name=revision,proto3" json:"revision,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Welcome) Reset() {
	*x = Welcome{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[3]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Welcome) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Welcome) ProtoMessage() {}

func (x *Welcome) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[3]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Welcome.ProtoReflect.Descriptor instead.
func (*Welcome) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{3}
}

func (x *Welcome) GetResumeFrom() uint64 {
	if x != nil {
		return x.ResumeFrom
	}
	return 0
}

func (x *Welcome) GetWallClockMs() int64 {
	if x != nil {
		return x.WallClockMs
	}
	return 0
}

func (x *Welcome) GetLimits() *Limits {
	if x != nil {
		return x.Limits
	}
	return nil
}

func (x *Welcome) GetCollectorVersion() string {
	if x != nil {
		return x.CollectorVersion
	}
	return ""
}

func (x *Welcome) GetSettings() *Settings {
	if x != nil {
		return x.Settings
	}
	return nil
}

func (x *Welcome) GetRevision() uint32 {
	if x != nil {
		return x.Revision
	}
	return 0
}

// Clock answers Welcome.
type Clock struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// The agent's wall clock when Welcome had come, in ms since the Unix epoch.
	WallClockMs   int64 `protobuf:"varint,1,opt,name=wall_clock_ms,json=wallClockMs,proto3" json:"wall_clock_ms,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Clock) Reset() {
	*x = Clock{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[4]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Clock) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Clock) ProtoMessage() {}

func (x *Clock) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[4]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Clock.ProtoReflect.Descriptor instead.
func (*Clock) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{4}
}

func (x *Clock) GetWallClockMs() int64 {
	if x != nil {
		return x.WallClockMs
	}
	return 0
}

// Credit lets the agent send frames in the backfill lane: those from one number
// up to, but not including, another. There is none before Filled has answered
// the one before.
type Credit struct {
	state         protoimpl.MessageState `protogen:"open.v1"`
	From          uint64                 `protobuf:"varint,1,opt,name=from,proto3" json:"from,omitempty"`
	Until         uint64                 `protobuf:"varint,2,opt,name=until,proto3" json:"until,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Credit) Reset() {
	*x = Credit{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[5]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Credit) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Credit) ProtoMessage() {}

func (x *Credit) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[5]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Credit.ProtoReflect.Descriptor instead.
func (*Credit) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{5}
}

func (x *Credit) GetFrom() uint64 {
	if x != nil {
		return x.From
	}
	return 0
}

func (x *Credit) GetUntil() uint64 {
	if x != nil {
		return x.Until
	}
	return 0
}

// Filled says that all frames of the credit have been sent that the agent has.
type Filled struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// As in the credit.
	Until         uint64 `protobuf:"varint,1,opt,name=until,proto3" json:"until,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Filled) Reset() {
	*x = Filled{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[6]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Filled) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Filled) ProtoMessage() {}

func (x *Filled) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[6]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Filled.ProtoReflect.Descriptor instead.
func (*Filled) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{6}
}

func (x *Filled) GetUntil() uint64 {
	if x != nil {
		return x.Until
	}
	return 0
}

// Settings are what the collector wants of an agent beyond its own
// configuration, all of it.
type Settings struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// Tells these settings from others of the same node; not 0.
	Version uint64 `protobuf:"varint,1,opt,name=version,proto3" json:"version,omitempty"`
	// Tick at every so many intervals, 60 at most. 0 stands for 1.
	Slowdown      uint32   `protobuf:"varint,2,opt,name=slowdown,proto3" json:"slowdown,omitempty"`
	Bursts        []*Burst `protobuf:"bytes,3,rep,name=bursts,proto3" json:"bursts,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Settings) Reset() {
	*x = Settings{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[7]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Settings) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Settings) ProtoMessage() {}

func (x *Settings) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[7]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Settings.ProtoReflect.Descriptor instead.
func (*Settings) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{7}
}

func (x *Settings) GetVersion() uint64 {
	if x != nil {
		return x.Version
	}
	return 0
}

func (x *Settings) GetSlowdown() uint32 {
	if x != nil {
		return x.Slowdown
	}
	return 0
}

func (x *Settings) GetBursts() []*Burst {
	if x != nil {
		return x.Bursts
	}
	return nil
}

// Burst asks for more frequent readings of one container.
type Burst struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// The container's name, its id, or its cgroup path.
	Container string `protobuf:"bytes,1,opt,name=container,proto3" json:"container,omitempty"`
	// Between readings: 10 to 1000.
	ResolutionMs uint32 `protobuf:"varint,2,opt,name=resolution_ms,json=resolutionMs,proto3" json:"resolution_ms,omitempty"`
	// For so long from now on, so that the two clocks need not agree.
	RemainingS    uint32 `protobuf:"varint,3,opt,name=remaining_s,json=remainingS,proto3" json:"remaining_s,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Burst) Reset() {
	*x = Burst{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[8]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Burst) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Burst) ProtoMessage() {}

func (x *Burst) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[8]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Burst.ProtoReflect.Descriptor instead.
func (*Burst) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{8}
}

func (x *Burst) GetContainer() string {
	if x != nil {
		return x.Container
	}
	return ""
}

func (x *Burst) GetResolutionMs() uint32 {
	if x != nil {
		return x.ResolutionMs
	}
	return 0
}

func (x *Burst) GetRemainingS() uint32 {
	if x != nil {
		return x.RemainingS
	}
	return 0
}

// Applied answers settings.
type Applied struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// Of the settings.
	Version uint64 `protobuf:"varint,1,opt,name=version,proto3" json:"version,omitempty"`
	// The agent's tick from now on, in ms.
	IntervalMs uint32 `protobuf:"varint,2,opt,name=interval_ms,json=intervalMs,proto3" json:"interval_ms,omitempty"`
	// For each part that is not in force as it was asked for: which, and why, for
	// people.
	Refused       []string `protobuf:"bytes,3,rep,name=refused,proto3" json:"refused,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Applied) Reset() {
	*x = Applied{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[9]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Applied) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Applied) ProtoMessage() {}

func (x *Applied) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[9]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Applied.ProtoReflect.Descriptor instead.
func (*Applied) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{9}
}

func (x *Applied) GetVersion() uint64 {
	if x != nil {
		return x.Version
	}
	return 0
}

func (x *Applied) GetIntervalMs() uint32 {
	if x != nil {
		return x.IntervalMs
	}
	return 0
}

func (x *Applied) GetRefused() []string {
	if x != nil {
		return x.Refused
	}
	return nil
}

// Limits are the bounds within which the collector accepts input. A zero means
// that the collector names no bound.
type Limits struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// Bytes of one encoded frame, after decompression.
	FrameBytes uint32 `protobuf:"varint,1,opt,name=frame_bytes,json=frameBytes,proto3" json:"frame_bytes,omitempty"`
	// Series that may be defined and not ended at a time, over the stream. What
	// comes from the kernel may be more: metrics of applications are cut first.
	Series uint32 `protobuf:"varint,2,opt,name=series,proto3" json:"series,omitempty"`
	// Labels of one series, its name not counted; bytes of one label name and of
	// one label value.
	LabelsPerSeries uint32 `protobuf:"varint,3,opt,name=labels_per_series,json=labelsPerSeries,proto3" json:"labels_per_series,omitempty"`
	LabelNameBytes  uint32 `protobuf:"varint,4,opt,name=label_name_bytes,json=labelNameBytes,proto3" json:"label_name_bytes,omitempty"`
	LabelValueBytes uint32 `protobuf:"varint,5,opt,name=label_value_bytes,json=labelValueBytes,proto3" json:"label_value_bytes,omitempty"`
	unknownFields   protoimpl.UnknownFields
	sizeCache       protoimpl.SizeCache
}

func (x *Limits) Reset() {
	*x = Limits{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[10]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Limits) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Limits) ProtoMessage() {}

func (x *Limits) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[10]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Limits.ProtoReflect.Descriptor instead.
func (*Limits) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{10}
}

func (x *Limits) GetFrameBytes() uint32 {
	if x != nil {
		return x.FrameBytes
	}
	return 0
}

func (x *Limits) GetSeries() uint32 {
	if x != nil {
		return x.Series
	}
	return 0
}

func (x *Limits) GetLabelsPerSeries() uint32 {
	if x != nil {
		return x.LabelsPerSeries
	}
	return 0
}

func (x *Limits) GetLabelNameBytes() uint32 {
	if x != nil {
		return x.LabelNameBytes
	}
	return 0
}

func (x *Limits) GetLabelValueBytes() uint32 {
	if x != nil {
		return x.LabelValueBytes
	}
	return 0
}

// Frame is one tick.
type Frame struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	Seq   uint64                 `protobuf:"varint,1,opt,name=seq,proto3" json:"seq,omitempty"`
	// When the samples were read: ms since the Unix epoch by the agent's clock.
	TimestampMs int64     `protobuf:"varint,2,opt,name=timestamp_ms,json=timestampMs,proto3" json:"timestamp_ms,omitempty"`
	Symbols     []string  `protobuf:"bytes,3,rep,name=symbols,proto3" json:"symbols,omitempty"`
	Series      []*Series `protobuf:"bytes,4,rep,name=series,proto3" json:"series,omitempty"`
	Layouts     []*Layout `protobuf:"bytes,5,rep,name=layouts,proto3" json:"layouts,omitempty"`
	// Zigzag differences, see «Values» above.
	Columns []int64 `protobuf:"zigzag64,6,rep,packed,name=columns,proto3" json:"columns,omitempty"`
	Values  []byte  `protobuf:"bytes,7,opt,name=values,proto3" json:"values,omitempty"`
	// References of layouts that end with this frame.
	Ended         []uint32 `protobuf:"varint,8,rep,packed,name=ended,proto3" json:"ended,omitempty"`
	Events        []*Event `protobuf:"bytes,9,rep,name=events,proto3" json:"events,omitempty"`
	Lane          Lane     `protobuf:"varint,10,opt,name=lane,proto3,enum=plimsoll.v1.Lane" json:"lane,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Frame) Reset() {
	*x = Frame{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[11]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Frame) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Frame) ProtoMessage() {}

func (x *Frame) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[11]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Frame.ProtoReflect.Descriptor instead.
func (*Frame) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{11}
}

func (x *Frame) GetSeq() uint64 {
	if x != nil {
		return x.Seq
	}
	return 0
}

func (x *Frame) GetTimestampMs() int64 {
	if x != nil {
		return x.TimestampMs
	}
	return 0
}

func (x *Frame) GetSymbols() []string {
	if x != nil {
		return x.Symbols
	}
	return nil
}

func (x *Frame) GetSeries() []*Series {
	if x != nil {
		return x.Series
	}
	return nil
}

func (x *Frame) GetLayouts() []*Layout {
	if x != nil {
		return x.Layouts
	}
	return nil
}

func (x *Frame) GetColumns() []int64 {
	if x != nil {
		return x.Columns
	}
	return nil
}

func (x *Frame) GetValues() []byte {
	if x != nil {
		return x.Values
	}
	return nil
}

func (x *Frame) GetEnded() []uint32 {
	if x != nil {
		return x.Ended
	}
	return nil
}

func (x *Frame) GetEvents() []*Event {
	if x != nil {
		return x.Events
	}
	return nil
}

func (x *Frame) GetLane() Lane {
	if x != nil {
		return x.Lane
	}
	return Lane_LANE_UNSPECIFIED
}

// Series defines one series.
type Series struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// References to symbols: the metric's name first, then label names and
	// values in turn. The labels node and instance belong to the collector and
	// are overwritten.
	Symbols []uint32   `protobuf:"varint,1,rep,packed,name=symbols,proto3" json:"symbols,omitempty"`
	Type    MetricType `protobuf:"varint,2,opt,name=type,proto3,enum=plimsoll.v1.MetricType" json:"type,omitempty"`
	// The divisor of integer tokens, see «Values» above. 0 stands for 1.
	Divisor uint32 `protobuf:"varint,3,opt,name=divisor,proto3" json:"divisor,omitempty"`
	// References to symbols: what the metric means, and its unit as OpenMetrics
	// names it ("seconds"). 0 stands for the empty string in both; an agent
	// therefore begins its symbol table with the empty string.
	Help          uint32 `protobuf:"varint,4,opt,name=help,proto3" json:"help,omitempty"`
	Unit          uint32 `protobuf:"varint,5,opt,name=unit,proto3" json:"unit,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Series) Reset() {
	*x = Series{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[12]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Series) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Series) ProtoMessage() {}

func (x *Series) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[12]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Series.ProtoReflect.Descriptor instead.
func (*Series) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{12}
}

func (x *Series) GetSymbols() []uint32 {
	if x != nil {
		return x.Symbols
	}
	return nil
}

func (x *Series) GetType() MetricType {
	if x != nil {
		return x.Type
	}
	return MetricType_METRIC_TYPE_UNSPECIFIED
}

func (x *Series) GetDivisor() uint32 {
	if x != nil {
		return x.Divisor
	}
	return 0
}

func (x *Series) GetHelp() uint32 {
	if x != nil {
		return x.Help
	}
	return 0
}

func (x *Series) GetUnit() uint32 {
	if x != nil {
		return x.Unit
	}
	return 0
}

// Layout defines one layout.
type Layout struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// References to series, each as the difference to the one before it (the
	// first to 0), as zigzag varints. A series belongs to one layout only.
	Series        []int64 `protobuf:"zigzag64,1,rep,packed,name=series,proto3" json:"series,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Layout) Reset() {
	*x = Layout{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[13]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Layout) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Layout) ProtoMessage() {}

func (x *Layout) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[13]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Layout.ProtoReflect.Descriptor instead.
func (*Layout) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{13}
}

func (x *Layout) GetSeries() []int64 {
	if x != nil {
		return x.Series
	}
	return nil
}

// Event is something that happened, for people to read beside the graphs.
type Event struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// When, in ms since the Unix epoch by the agent's clock.
	TimestampMs int64     `protobuf:"varint,1,opt,name=timestamp_ms,json=timestampMs,proto3" json:"timestamp_ms,omitempty"`
	EventKind   EventKind `protobuf:"varint,2,opt,name=event_kind,json=eventKind,proto3,enum=plimsoll.v1.EventKind" json:"event_kind,omitempty"`
	// The container's name, or its cgroup path where it has none.
	Container string `protobuf:"bytes,3,opt,name=container,proto3" json:"container,omitempty"`
	// One line that says what happened, for people.
	Text          string `protobuf:"bytes,4,opt,name=text,proto3" json:"text,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Event) Reset() {
	*x = Event{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[14]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Event) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Event) ProtoMessage() {}

func (x *Event) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[14]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Event.ProtoReflect.Descriptor instead.
func (*Event) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{14}
}

func (x *Event) GetTimestampMs() int64 {
	if x != nil {
		return x.TimestampMs
	}
	return 0
}

func (x *Event) GetEventKind() EventKind {
	if x != nil {
		return x.EventKind
	}
	return EventKind_EVENT_KIND_UNSPECIFIED
}

func (x *Event) GetContainer() string {
	if x != nil {
		return x.Container
	}
	return ""
}

func (x *Event) GetText() string {
	if x != nil {
		return x.Text
	}
	return ""
}

// Ack tells what has become of the frames.
type Ack struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// All frames up to this one are durable, whatever lane they came in, or will
	// not be asked for again: the agent may forget them.
	Seq uint64 `protobuf:"varint,1,opt,name=seq,proto3" json:"seq,omitempty"`
	// Totals since the stream began: samples stored, samples that the collector
	// already had, and refused ones by reason.
	SamplesStored   uint64     `protobuf:"varint,2,opt,name=samples_stored,json=samplesStored,proto3" json:"samples_stored,omitempty"`
	SamplesRepeated uint64     `protobuf:"varint,3,opt,name=samples_repeated,json=samplesRepeated,proto3" json:"samples_repeated,omitempty"`
	Refused         []*Refusal `protobuf:"bytes,4,rep,name=refused,proto3" json:"refused,omitempty"`
	// All frames that were sent in the live lane up to this one are durable. It is
	// ahead of seq while the backfill lane has not caught up. Revision 1.
	LiveSeq       uint64 `protobuf:"varint,5,opt,name=live_seq,json=liveSeq,proto3" json:"live_seq,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Ack) Reset() {
	*x = Ack{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[15]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Ack) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Ack) ProtoMessage() {}

func (x *Ack) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[15]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Ack.ProtoReflect.Descriptor instead.
func (*Ack) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{15}
}

func (x *Ack) GetSeq() uint64 {
	if x != nil {
		return x.Seq
	}
	return 0
}

func (x *Ack) GetSamplesStored() uint64 {
	if x != nil {
		return x.SamplesStored
	}
	return 0
}

func (x *Ack) GetSamplesRepeated() uint64 {
	if x != nil {
		return x.SamplesRepeated
	}
	return 0
}

func (x *Ack) GetRefused() []*Refusal {
	if x != nil {
		return x.Refused
	}
	return nil
}

func (x *Ack) GetLiveSeq() uint64 {
	if x != nil {
		return x.LiveSeq
	}
	return 0
}

// Refusal counts samples that the collector did not want.
type Refusal struct {
	state protoimpl.MessageState `protogen:"open.v1"`
	// A short fixed string: "future", "too_old", "label_value_too_long", …
	Reason  string `protobuf:"bytes,1,opt,name=reason,proto3" json:"reason,omitempty"`
	Samples uint64 `protobuf:"varint,2,opt,name=samples,proto3" json:"samples,omitempty"`
	// A series this happened to, for people.
	Example       string `protobuf:"bytes,3,opt,name=example,proto3" json:"example,omitempty"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Refusal) Reset() {
	*x = Refusal{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[16]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Refusal) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Refusal) ProtoMessage() {}

func (x *Refusal) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[16]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Refusal.ProtoReflect.Descriptor instead.
func (*Refusal) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{16}
}

func (x *Refusal) GetReason() string {
	if x != nil {
		return x.Reason
	}
	return ""
}

func (x *Refusal) GetSamples() uint64 {
	if x != nil {
		return x.Samples
	}
	return 0
}

func (x *Refusal) GetExample() string {
	if x != nil {
		return x.Example
	}
	return ""
}

// Goodbye ends a stream on purpose.
type Goodbye struct {
	state         protoimpl.MessageState `protogen:"open.v1"`
	unknownFields protoimpl.UnknownFields
	sizeCache     protoimpl.SizeCache
}

func (x *Goodbye) Reset() {
	*x = Goodbye{}
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[17]
	ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
	ms.StoreMessageInfo(mi)
}

func (x *Goodbye) String() string {
	return protoimpl.X.MessageStringOf(x)
}

func (*Goodbye) ProtoMessage() {}

func (x *Goodbye) ProtoReflect() protoreflect.Message {
	mi := &file_plimsoll_v1_ingest_proto_msgTypes[17]
	if x != nil {
		ms := protoimpl.X.MessageStateOf(protoimpl.Pointer(x))
		if ms.LoadMessageInfo() == nil {
			ms.StoreMessageInfo(mi)
		}
		return ms
	}
	return mi.MessageOf(x)
}

// Deprecated: Use Goodbye.ProtoReflect.Descriptor instead.
func (*Goodbye) Descriptor() ([]byte, []int) {
	return file_plimsoll_v1_ingest_proto_rawDescGZIP(), []int{17}
}

var File_plimsoll_v1_ingest_proto protoreflect.FileDescriptor

const file_plimsoll_v1_ingest_proto_rawDesc = "" +
	"\n" +
	"\x18plimsoll/v1/ingest.proto\x12\vplimsoll.v1\"\xcd\x02\n" +
	"\vPushRequest\x12*\n" +
	"\x05hello\x18\x01 \x01(\v2\x12.plimsoll.v1.HelloH\x00R\x05hello\x12*\n" +
	"\x05frame\x18\x02 \x01(\v2\x12.plimsoll.v1.FrameH\x00R\x05frame\x12\x1f\n" +
	"\n" +
	"frame_zstd\x18\x03 \x01(\fH\x00R\tframeZstd\x120\n" +
	"\agoodbye\x18\x04 \x01(\v2\x14.plimsoll.v1.GoodbyeH\x00R\agoodbye\x120\n" +
	"\aapplied\x18\x05 \x01(\v2\x14.plimsoll.v1.AppliedH\x00R\aapplied\x12*\n" +
	"\x05clock\x18\x06 \x01(\v2\x12.plimsoll.v1.ClockH\x00R\x05clock\x12-\n" +
	"\x06filled\x18\a \x01(\v2\x13.plimsoll.v1.FilledH\x00R\x06filledB\x06\n" +
	"\x04kind\"\xd2\x01\n" +
	"\fPushResponse\x120\n" +
	"\awelcome\x18\x01 \x01(\v2\x14.plimsoll.v1.WelcomeH\x00R\awelcome\x12$\n" +
	"\x03ack\x18\x02 \x01(\v2\x10.plimsoll.v1.AckH\x00R\x03ack\x123\n" +
	"\bsettings\x18\x03 \x01(\v2\x15.plimsoll.v1.SettingsH\x00R\bsettings\x12-\n" +
	"\x06credit\x18\x04 \x01(\v2\x13.plimsoll.v1.CreditH\x00R\x06creditB\x06\n" +
	"\x04kind\"\xcc\x02\n" +
	"\x05Hello\x12\x1a\n" +
	"\bprotocol\x18\x01 \x01(\rR\bprotocol\x12\x12\n" +
	"\x04node\x18\x02 \x01(\tR\x04node\x12\x19\n" +
	"\bspool_id\x18\x03 \x01(\tR\aspoolId\x12\x17\n" +
	"\aboot_id\x18\x04 \x01(\tR\x06bootId\x12\"\n" +
	"\rwall_clock_ms\x18\x05 \x01(\x03R\vwallClockMs\x12#\n" +
	"\ragent_version\x18\x06 \x01(\tR\fagentVersion\x12\x1d\n" +
	"\n" +
	"oldest_seq\x18\a \x01(\x04R\toldestSeq\x12\x19\n" +
	"\bnext_seq\x18\b \x01(\x04R\anextSeq\x12\x1f\n" +
	"\vinterval_ms\x18\t \x01(\rR\n" +
	"intervalMs\x12\x1f\n" +
	"\vround_ticks\x18\n" +
	" \x01(\rR\n" +
	"roundTicks\x12\x1a\n" +
	"\brevision\x18\v \x01(\rR\brevision\"\xf7\x01\n" +
	"\aWelcome\x12\x1f\n" +
	"\vresume_from\x18\x01 \x01(\x04R\n" +
	"resumeFrom\x12\"\n" +
	"\rwall_clock_ms\x18\x02 \x01(\x03R\vwallClockMs\x12+\n" +
	"\x06limits\x18\x03 \x01(\v2\x13.plimsoll.v1.LimitsR\x06limits\x12+\n" +
	"\x11collector_version\x18\x04 \x01(\tR\x10collectorVersion\x121\n" +
	"\bsettings\x18\x05 \x01(\v2\x15.plimsoll.v1.SettingsR\bsettings\x12\x1a\n" +
	"\brevision\x18\x06 \x01(\rR\brevision\"+\n" +
	"\x05Clock\x12\"\n" +
	"\rwall_clock_ms\x18\x01 \x01(\x03R\vwallClockMs\"2\n" +
	"\x06Credit\x12\x12\n" +
	"\x04from\x18\x01 \x01(\x04R\x04from\x12\x14\n" +
	"\x05until\x18\x02 \x01(\x04R\x05until\"\x1e\n" +
	"\x06Filled\x12\x14\n" +
	"\x05until\x18\x01 \x01(\x04R\x05until\"l\n" +
	"\bSettings\x12\x18\n" +
	"\aversion\x18\x01 \x01(\x04R\aversion\x12\x1a\n" +
	"\bslowdown\x18\x02 \x01(\rR\bslowdown\x12*\n" +
	"\x06bursts\x18\x03 \x03(\v2\x12.plimsoll.v1.BurstR\x06bursts\"k\n" +
	"\x05Burst\x12\x1c\n" +
	"\tcontainer\x18\x01 \x01(\tR\tcontainer\x12#\n" +
	"\rresolution_ms\x18\x02 \x01(\rR\fresolutionMs\x12\x1f\n" +
	"\vremaining_s\x18\x03 \x01(\rR\n" +
	"remainingS\"^\n" +
	"\aApplied\x12\x18\n" +
	"\aversion\x18\x01 \x01(\x04R\aversion\x12\x1f\n" +
	"\vinterval_ms\x18\x02 \x01(\rR\n" +
	"intervalMs\x12\x18\n" +
	"\arefused\x18\x03 \x03(\tR\arefused\"\xc3\x01\n" +
	"\x06Limits\x12\x1f\n" +
	"\vframe_bytes\x18\x01 \x01(\rR\n" +
	"frameBytes\x12\x16\n" +
	"\x06series\x18\x02 \x01(\rR\x06series\x12*\n" +
	"\x11labels_per_series\x18\x03 \x01(\rR\x0flabelsPerSeries\x12(\n" +
	"\x10label_name_bytes\x18\x04 \x01(\rR\x0elabelNameBytes\x12*\n" +
	"\x11label_value_bytes\x18\x05 \x01(\rR\x0flabelValueBytes\"\xcd\x02\n" +
	"\x05Frame\x12\x10\n" +
	"\x03seq\x18\x01 \x01(\x04R\x03seq\x12!\n" +
	"\ftimestamp_ms\x18\x02 \x01(\x03R\vtimestampMs\x12\x18\n" +
	"\asymbols\x18\x03 \x03(\tR\asymbols\x12+\n" +
	"\x06series\x18\x04 \x03(\v2\x13.plimsoll.v1.SeriesR\x06series\x12-\n" +
	"\alayouts\x18\x05 \x03(\v2\x13.plimsoll.v1.LayoutR\alayouts\x12\x18\n" +
	"\acolumns\x18\x06 \x03(\x12R\acolumns\x12\x16\n" +
	"\x06values\x18\a \x01(\fR\x06values\x12\x14\n" +
	"\x05ended\x18\b \x03(\rR\x05ended\x12*\n" +
	"\x06events\x18\t \x03(\v2\x12.plimsoll.v1.EventR\x06events\x12%\n" +
	"\x04lane\x18\n" +
	" \x01(\x0e2\x11.plimsoll.v1.LaneR\x04lane\"\x91\x01\n" +
	"\x06Series\x12\x18\n" +
	"\asymbols\x18\x01 \x03(\rR\asymbols\x12+\n" +
	"\x04type\x18\x02 \x01(\x0e2\x17.plimsoll.v1.MetricTypeR\x04type\x12\x18\n" +
	"\adivisor\x18\x03 \x01(\rR\adivisor\x12\x12\n" +
	"\x04help\x18\x04 \x01(\rR\x04help\x12\x12\n" +
	"\x04unit\x18\x05 \x01(\rR\x04unit\" \n" +
	"\x06Layout\x12\x16\n" +
	"\x06series\x18\x01 \x03(\x12R\x06series\"\x93\x01\n" +
	"\x05Event\x12!\n" +
	"\ftimestamp_ms\x18\x01 \x01(\x03R\vtimestampMs\x125\n" +
	"\n" +
	"event_kind\x18\x02 \x01(\x0e2\x16.plimsoll.v1.EventKindR\teventKind\x12\x1c\n" +
	"\tcontainer\x18\x03 \x01(\tR\tcontainer\x12\x12\n" +
	"\x04text\x18\x04 \x01(\tR\x04text\"\xb4\x01\n" +
	"\x03Ack\x12\x10\n" +
	"\x03seq\x18\x01 \x01(\x04R\x03seq\x12%\n" +
	"\x0esamples_stored\x18\x02 \x01(\x04R\rsamplesStored\x12)\n" +
	"\x10samples_repeated\x18\x03 \x01(\x04R\x0fsamplesRepeated\x12.\n" +
	"\arefused\x18\x04 \x03(\v2\x14.plimsoll.v1.RefusalR\arefused\x12\x19\n" +
	"\blive_seq\x18\x05 \x01(\x04R\aliveSeq\"U\n" +
	"\aRefusal\x12\x16\n" +
	"\x06reason\x18\x01 \x01(\tR\x06reason\x12\x18\n" +
	"\asamples\x18\x02 \x01(\x04R\asamples\x12\x18\n" +
	"\aexample\x18\x03 \x01(\tR\aexample\"\t\n" +
	"\aGoodbye*/\n" +
	"\x04Lane\x12\x14\n" +
	"\x10LANE_UNSPECIFIED\x10\x00\x12\x11\n" +
	"\rLANE_BACKFILL\x10\x01*Y\n" +
	"\n" +
	"MetricType\x12\x1b\n" +
	"\x17METRIC_TYPE_UNSPECIFIED\x10\x00\x12\x17\n" +
	"\x13METRIC_TYPE_COUNTER\x10\x01\x12\x15\n" +
	"\x11METRIC_TYPE_GAUGE\x10\x02*\x88\x01\n" +
	"\tEventKind\x12\x1a\n" +
	"\x16EVENT_KIND_UNSPECIFIED\x10\x00\x12 \n" +
	"\x1cEVENT_KIND_CONTAINER_STARTED\x10\x01\x12\x1f\n" +
	"\x1bEVENT_KIND_CONTAINER_EXITED\x10\x02\x12\x1c\n" +
	"\x18EVENT_KIND_CONTAINER_OOM\x10\x032P\n" +
	"\rIngestService\x12?\n" +
	"\x04Push\x12\x18.plimsoll.v1.PushRequest\x1a\x19.plimsoll.v1.PushResponse(\x010\x01B>Z<github.com/plimsoll-io/plimsoll/proto/plimsoll/v1;plimsollv1b\x06proto3"

var (
	file_plimsoll_v1_ingest_proto_rawDescOnce sync.Once
	file_plimsoll_v1_ingest_proto_rawDescData []byte
)

func file_plimsoll_v1_ingest_proto_rawDescGZIP() []byte {
	file_plimsoll_v1_ingest_proto_rawDescOnce.Do(func() {
		file_plimsoll_v1_ingest_proto_rawDescData = protoimpl.X.CompressGZIP(unsafe.Slice(unsafe.StringData(file_plimsoll_v1_ingest_proto_rawDesc), len(file_plimsoll_v1_ingest_proto_rawDesc)))
	})
	return file_plimsoll_v1_ingest_proto_rawDescData
}

var file_plimsoll_v1_ingest_proto_enumTypes = make([]protoimpl.EnumInfo, 3)
var file_plimsoll_v1_ingest_proto_msgTypes = make([]protoimpl.MessageInfo, 18)
var file_plimsoll_v1_ingest_proto_goTypes = []any{
	(Lane)(0),            // 0: plimsoll.v1.Lane
	(MetricType)(0),      // 1: plimsoll.v1.MetricType
	(EventKind)(0),       // 2: plimsoll.v1.EventKind
	(*PushRequest)(nil),  // 3: plimsoll.v1.PushRequest
	(*PushResponse)(nil), // 4: plimsoll.v1.PushResponse
	(*Hello)(nil),        // 5: plimsoll.v1.Hello
	(*Welcome)(nil),      // 6: plimsoll.v1.Welcome
	(*Clock)(nil),        // 7: plimsoll.v1.Clock
	(*Credit)(nil),       // 8: plimsoll.v1.Credit
	(*Filled)(nil),       // 9: plimsoll.v1.Filled
	(*Settings)(nil),     // 10: plimsoll.v1.Settings
	(*Burst)(nil),        // 11: plimsoll.v1.Burst
	(*Applied)(nil),      // 12: plimsoll.v1.Applied
	(*Limits)(nil),       // 13: plimsoll.v1.Limits
	(*Frame)(nil),        // 14: plimsoll.v1.Frame
	(*Series)(nil),       // 15: plimsoll.v1.Series
	(*Layout)(nil),       // 16: plimsoll.v1.Layout
	(*Event)(nil),        // 17: plimsoll.v1.Event
	(*Ack)(nil),          // 18: plimsoll.v1.Ack
	(*Refusal)(nil),      // 19: plimsoll.v1.Refusal
	(*Goodbye)(nil),      // 20: plimsoll.v1.Goodbye
}
var file_plimsoll_v1_ingest_proto_depIdxs = []int32{
	5,  // 0: plimsoll.v1.PushRequest.hello:type_name -> plimsoll.v1.Hello
	14, // 1: plimsoll.v1.PushRequest.frame:type_name -> plimsoll.v1.Frame
	20, // 2: plimsoll.v1.PushRequest.goodbye:type_name -> plimsoll.v1.Goodbye
	12, // 3: plimsoll.v1.PushRequest.applied:type_name -> plimsoll.v1.Applied
	7,  // 4: plimsoll.v1.PushRequest.clock:type_name -> plimsoll.v1.Clock
	9,  // 5: plimsoll.v1.PushRequest.filled:type_name -> plimsoll.v1.Filled
	6,  // 6: plimsoll.v1.PushResponse.welcome:type_name -> plimsoll.v1.Welcome
	18, // 7: plimsoll.v1.PushResponse.ack:type_name -> plimsoll.v1.Ack
	10, // 8: plimsoll.v1.PushResponse.settings:type_name -> plimsoll.v1.Settings
	8,  // 9: plimsoll.v1.PushResponse.credit:type_name -> plimsoll.v1.Credit
	13, // 10: plimsoll.v1.Welcome.limits:type_name -> plimsoll.v1.Limits
	10, // 11: plimsoll.v1.Welcome.settings:type_name -> plimsoll.v1.Settings
	11, // 12: plimsoll.v1.Settings.bursts:type_name -> plimsoll.v1.Burst
	15, // 13: plimsoll.v1.Frame.series:type_name -> plimsoll.v1.Series
	16, // 14: plimsoll.v1.Frame.layouts:type_name -> plimsoll.v1.Layout
	17, // 15: plimsoll.v1.Frame.events:type_name -> plimsoll.v1.Event
	0,  // 16: plimsoll.v1.Frame.lane:type_name -> plimsoll.v1.Lane
	1,  // 17: plimsoll.v1.Series.type:type_name -> plimsoll.v1.MetricType
	2,  // 18: plimsoll.v1.Event.event_kind:type_name -> plimsoll.v1.EventKind
	19, // 19: plimsoll.v1.Ack.refused:type_name -> plimsoll.v1.Refusal
	3,  // 20: plimsoll.v1.IngestService.Push:input_type -> plimsoll.v1.PushRequest
	4,  // 21: plimsoll.v1.IngestService.Push:output_type -> plimsoll.v1.PushResponse
	21, // [21:22] is the sub-list for method output_type
	20, // [20:21] is the sub-list for method input_type
	20, // [20:20] is the sub-list for extension type_name
	20, // [20:20] is the sub-list for extension extendee
	0,  // [0:20] is the sub-list for field type_name
}

func init() { file_plimsoll_v1_ingest_proto_init() }
func file_plimsoll_v1_ingest_proto_init() {
	if File_plimsoll_v1_ingest_proto != nil {
		return
	}
	file_plimsoll_v1_ingest_proto_msgTypes[0].OneofWrappers = []any{
		(*PushRequest_Hello)(nil),
		(*PushRequest_Frame)(nil),
		(*PushRequest_FrameZstd)(nil),
		(*PushRequest_Goodbye)(nil),
		(*PushRequest_Applied)(nil),
		(*PushRequest_Clock)(nil),
		(*PushRequest_Filled)(nil),
	}
	file_plimsoll_v1_ingest_proto_msgTypes[1].OneofWrappers = []any{
		(*PushResponse_Welcome)(nil),
		(*PushResponse_Ack)(nil),
		(*PushResponse_Settings)(nil),
		(*PushResponse_Credit)(nil),
	}
	type x struct{}
	out := protoimpl.TypeBuilder{
		File: protoimpl.DescBuilder{
			GoPackagePath: reflect.TypeOf(x{}).PkgPath(),
			RawDescriptor: unsafe.Slice(unsafe.StringData(file_plimsoll_v1_ingest_proto_rawDesc), len(file_plimsoll_v1_ingest_proto_rawDesc)),
			NumEnums:      3,
			NumMessages:   18,
			NumExtensions: 0,
			NumServices:   1,
		},
		GoTypes:           file_plimsoll_v1_ingest_proto_goTypes,
		DependencyIndexes: file_plimsoll_v1_ingest_proto_depIdxs,
		EnumInfos:         file_plimsoll_v1_ingest_proto_enumTypes,
		MessageInfos:      file_plimsoll_v1_ingest_proto_msgTypes,
	}.Build()
	File_plimsoll_v1_ingest_proto = out.File
	file_plimsoll_v1_ingest_proto_goTypes = nil
	file_plimsoll_v1_ingest_proto_depIdxs = nil
}

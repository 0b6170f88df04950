package stream

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is the other side of the wire, as far as an agent sees it: it
// remembers what it got.
type collector struct {
	plimsollv1.UnimplementedIngestServiceServer

	mu       sync.Mutex
	welcome  *plimsollv1.Welcome
	refuse   error // instead of a welcome
	mute     bool  // no answer to hello
	deaf     bool  // no acknowledgements
	ack      func(seq uint64) *plimsollv1.Ack
	hellos   []*plimsollv1.Hello
	frames   []*plimsollv1.Frame
	packed   int // how many of them came compressed
	goodbyes int
	applied  []*plimsollv1.Applied
	clocks   []*plimsollv1.Clock
	filled   []uint64
	early    bool // a frame came before clock, of an agent that was to say it
	listener *bufconn.Listener
	cut      bool // packets are dropped without a word

	sending sync.Mutex
	push    grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse] // the latest
}

func (c *collector) Push(s grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse]) error {
	c.with(func() { c.push = s })
	for {
		req, err := s.Recv()
		if err != nil {
			return nil // the agent has gone
		}
		resp, err := c.take(req)
		if err != nil {
			return err
		}
		if resp == nil {
			continue
		}
		if err := c.say(s, resp); err != nil {
			return err
		}
	}
}

func (c *collector) say(s grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse], resp *plimsollv1.PushResponse) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return s.Send(resp)
}

// want sends settings in the middle of a stream.
func (c *collector) want(w *plimsollv1.Settings) error {
	return c.tell(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Settings{Settings: w}})
}

// credit asks for frames of the past.
func (c *collector) credit(from, until uint64) error {
	return c.tell(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Credit{Credit: &plimsollv1.Credit{From: from, Until: until}}})
}

func (c *collector) tell(resp *plimsollv1.PushResponse) error {
	c.mu.Lock()
	push := c.push
	c.mu.Unlock()
	return c.say(push, resp)
}

func (c *collector) take(req *plimsollv1.PushRequest) (*plimsollv1.PushResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	frame := req.GetFrame()
	switch {
	case req.GetHello() != nil:
		c.hellos = append(c.hellos, req.GetHello())
		if c.refuse != nil || c.mute {
			return nil, c.refuse
		}
		return &plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Welcome{Welcome: proto.CloneOf(c.welcome)}}, nil
	case req.GetGoodbye() != nil:
		c.goodbyes++
		return nil, nil
	case req.GetApplied() != nil:
		c.applied = append(c.applied, req.GetApplied())
		return nil, nil
	case req.GetClock() != nil:
		c.clocks = append(c.clocks, req.GetClock())
		return nil, nil
	case req.GetFilled() != nil:
		c.filled = append(c.filled, req.GetFilled().GetUntil())
		return nil, nil
	case req.GetFrameZstd() != nil:
		c.packed++
		z, err := zstd.NewReader(nil)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		b, err := z.DecodeAll(req.GetFrameZstd(), nil)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		frame = &plimsollv1.Frame{}
		if err := proto.Unmarshal(b, frame); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	c.frames = append(c.frames, frame)
	c.early = c.early || len(c.clocks) == 0
	if frame.GetLane() != plimsollv1.Lane_LANE_UNSPECIFIED {
		return nil, nil
	}
	c.welcome.ResumeFrom = max(c.welcome.ResumeFrom, frame.GetSeq()+1)
	if c.deaf {
		return nil, nil
	}
	ack := &plimsollv1.Ack{Seq: frame.GetSeq()}
	if c.ack != nil {
		ack = c.ack(frame.GetSeq())
	}
	return &plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: ack}}, nil
}

// with changes the collector.
func (c *collector) with(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// streams is how many of them have begun.
func (c *collector) streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.hellos)
}

// seqs are the numbers of the frames it got.
func (c *collector) seqs() []uint64 {
	return append(c.inLane(plimsollv1.Lane_LANE_UNSPECIFIED), c.inLane(plimsollv1.Lane_LANE_BACKFILL)...)
}

// inLane are the numbers of those that came in a lane.
func (c *collector) inLane(l plimsollv1.Lane) (list []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if f.GetLane() == l {
			list = append(list, f.GetSeq())
		}
	}
	return list
}

func (c *collector) start() (stop func()) {
	g := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}))
	plimsollv1.RegisterIngestServiceServer(g, c)
	l := bufconn.Listen(1 << 20)
	c.with(func() { c.listener = l })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = g.Serve(l)
	}()
	return func() {
		c.with(func() { c.listener = nil })
		g.Stop()
		<-ended
	}
}

func (c *collector) dial(ctx context.Context, _ string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		return nil, errors.New("connection refused")
	}
	if c.cut {
		return nil, errors.New("no route to host")
	}
	conn, err := c.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: conn, c: c}, nil
}

// wire is a connection whose packets can be lost: both sides think it stands.
type wire struct {
	net.Conn
	c *collector
}

func (w *wire) Write(b []byte) (int, error) {
	w.c.mu.Lock()
	cut := w.c.cut
	w.c.mu.Unlock()
	if cut {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

// world is an agent's stream with its spool, in virtual time.
type world struct {
	t         *testing.T
	spool     *spool.Spool
	collector *collector
	stream    *Stream
	log       bytes.Buffer
	end       func() // of the agent
}

func inBubble(t *testing.T, opts Options, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, collector: &collector{welcome: &plimsollv1.Welcome{ResumeFrom: 1}}}
		var err error
		if w.spool, err = spool.Open(spool.Options{Dir: t.TempDir(), SegmentBytes: 2000, Keep: -1}); err != nil {
			t.Fatal(err)
		}
		defer w.spool.Close()
		opts.Spool, opts.Target, opts.Node = w.spool, "passthrough:collector", "n1"
		opts.Log = slog.New(slog.NewTextHandler(&w.log, nil))
		opts.DialOptions = []grpc.DialOption{grpc.WithContextDialer(w.collector.dial)}
		if w.stream, err = New(opts); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			// In virtual time: not before the test waits for something, so that
			// it decides whether there is a collector from the beginning.
			<-time.After(time.Millisecond)
			ended <- w.stream.Run(ctx)
		}()
		w.end = func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			ended <- nil
		}
		defer func() { w.end() }()
		test(w)
	})
}

var gauge = &sample.Metric{Name: "m", Type: sample.Gauge}

func newGroup(n int) *sample.Group {
	g := &sample.Group{Labels: []sample.Label{{Name: "a", Value: "b"}}}
	for range n {
		g.Series = append(g.Series, sample.Series{Metric: gauge, Labels: []sample.Label{{Name: "n", Value: string(rune('a' + len(g.Series)))}}})
	}
	return g
}

// put spools a batch of one value per series.
func (w *world) put(g *sample.Group) {
	w.t.Helper()
	var b sample.Batch
	b.Reset(0, time.Now())
	for i, v := 0, b.Add(g); i < len(v); i++ {
		v[i] = float64(w.spool.NextSeq())
	}
	if err := w.spool.Append(&b); err != nil {
		w.t.Fatal(err)
	}
}

// finish spools the end of a group.
func (w *world) finish(g *sample.Group) {
	w.t.Helper()
	var b sample.Batch
	b.Reset(0, time.Now())
	b.End(g)
	if err := w.spool.Append(&b); err != nil {
		w.t.Fatal(err)
	}
}

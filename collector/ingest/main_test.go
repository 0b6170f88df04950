package ingest

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// db is a store without durability of its own.
type db struct {
	*tsdb.DB
	mu      sync.Mutex
	syncErr error
	syncs   int
	broken  error         // of the next commits
	faulty  int64         // time of samples that bring the collector to a fault, in ms; 0 for none
	slow    time.Duration // that a commit takes
}

func openDB(t testing.TB, dir string) *db {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
	d, err := tsdb.Open(dir, nil, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &db{DB: d}
}

func (d *db) Sync(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	return d.syncErr
}

func (d *db) AppenderV2(ctx context.Context) storage.AppenderV2 {
	d.mu.Lock()
	defer d.mu.Unlock()
	app := d.DB.AppenderV2(ctx)
	switch {
	case d.broken != nil:
		return failing{app, d.broken}
	case d.faulty != 0:
		return faulty{app, d.faulty}
	case d.slow > 0:
		return slow{app, d.slow}
	}
	return app
}

func (d *db) breakWith(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = err
}

// failing is an appender on a full disk.
type failing struct {
	storage.AppenderV2
	err error
}

func (f failing) Commit() error {
	_ = f.Rollback()
	return f.err
}

// faulty is an appender with a mistake.
type faulty struct {
	storage.AppenderV2
	at int64
}

func (f faulty) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	if t == f.at {
		panic("a mistake")
	}
	return f.AppenderV2.Append(ref, ls, st, t, v, h, fh, o)
}

// slow is an appender whose commits take time.
type slow struct {
	storage.AppenderV2
	takes time.Duration
}

func (s slow) Commit() error {
	<-time.After(s.takes)
	return s.AppenderV2.Commit()
}

// world is a collector with its store, in a bubble of virtual time.
type world struct {
	t      *testing.T
	opts   Options
	db     *db
	server *Server
	log    *strings.Builder
	dial   func() *grpc.ClientConn
	conns  []*grpc.ClientConn
	cut    atomic.Bool // what agents send is lost
	cancel func()      // tells the collector to end
	stop   func()      // and waits for it
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, opts Options, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opts: opts, log: &strings.Builder{}, db: openDB(t, t.TempDir())}
		defer func() {
			if err := w.db.Close(); err != nil {
				t.Error(err)
			}
		}()
		w.start()
		defer func() { w.stop() }()
		test(w)
	})
}

// wire is a connection whose packets can be lost: both sides think it stands.
type wire struct {
	net.Conn
	cut *atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	if w.cut.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

// start starts a collector on the store.
func (w *world) start() {
	w.t.Helper()
	w.opts.Store = w.db
	w.opts.Log = slog.New(slog.NewTextHandler(w.log, nil))
	var err error
	if w.server, err = New(w.opts); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(w.t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.server.Run(ctx) }()
	g := grpc.NewServer(ServerOptions()...)
	w.server.Register(g)
	l := bufconn.Listen(1 << 20)
	go func() { _ = g.Serve(l) }()
	w.dial = func() *grpc.ClientConn { // each agent has a connection of its own
		conn, err := grpc.NewClient("passthrough:collector", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				c, err := l.DialContext(ctx)
				return &wire{c, &w.cut}, err
			}))
		if err != nil {
			w.t.Fatal(err)
		}
		w.conns = append(w.conns, conn)
		return conn
	}
	w.stop = func() {
		w.cancel()
		if err := <-ran; err != nil {
			w.t.Errorf("run: %v", err)
		}
		for _, conn := range w.conns {
			conn.Close()
		}
		w.conns = nil
		g.Stop()
		l.Close()
	}
}

// restart ends the collector and starts another on the same store, as it is on
// disk; killed leaves the store as a kill does.
func (w *world) restart(killed bool) {
	w.t.Helper()
	dir := w.db.Dir()
	if killed {
		dir = w.t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(w.db.Dir())); err != nil {
			w.t.Fatal(err)
		}
	}
	w.stop()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.db, w.opts.UncleanStop = openDB(w.t, dir), killed
	w.start()
}

// agent speaks the wire by hand.
type agent struct {
	w       *world
	push    grpc.BidiStreamingClient[plimsollv1.PushRequest, plimsollv1.PushResponse]
	welcome *plimsollv1.Welcome
	cancel  func()
}

var spoolID = uuid.MustParse("0190b2a4-7f7c-4d0a-a3bd-6a1f2f0c9f11").String()

func hello() *plimsollv1.Hello {
	return &plimsollv1.Hello{Protocol: 1, Node: "n1", SpoolId: spoolID, WallClockMs: time.Now().UnixMilli(), AgentVersion: "test", OldestSeq: 1, NextSeq: 100, IntervalMs: 1000}
}

func greeting(h *plimsollv1.Hello) *plimsollv1.PushRequest {
	return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Hello{Hello: h}}
}

func goodbye() *plimsollv1.PushRequest {
	return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Goodbye{Goodbye: &plimsollv1.Goodbye{}}}
}

// bomb is small and would be large.
func bomb(t *testing.T) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(make([]byte, 256<<20), nil)
}

// say opens a stream with a first request.
func (w *world) say(first *plimsollv1.PushRequest) *agent {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	a := &agent{w: w, cancel: cancel}
	var err error
	if a.push, err = plimsollv1.NewIngestServiceClient(w.dial()).Push(ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := a.push.Send(first); err != nil && err != io.EOF {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) connect(h *plimsollv1.Hello) *agent {
	w.t.Helper()
	a := w.say(greeting(h))
	resp, err := a.push.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	if a.welcome = resp.GetWelcome(); a.welcome == nil {
		w.t.Fatalf("hello was answered with %v", resp)
	}
	return a
}

func (a *agent) send(f *plimsollv1.Frame) {
	a.w.t.Helper()
	if err := a.push.Send(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Frame{Frame: f}}); err != nil {
		a.w.t.Fatal(err)
	}
}

// ack waits until frame seq is acknowledged.
func (a *agent) ack(seq uint64) *plimsollv1.Ack {
	a.w.t.Helper()
	for {
		resp, err := a.push.Recv()
		if err != nil {
			a.w.t.Fatalf("waiting for frame %d: %v", seq, err)
		}
		if ack := resp.GetAck(); ack.GetSeq() >= seq {
			return ack
		}
	}
}

// err waits for the end of the stream.
func (a *agent) err() error {
	for {
		if _, err := a.push.Recv(); err != nil {
			return err
		}
	}
}

// raw encodes values as raw tokens.
func raw(values ...float64) []byte {
	var b []byte
	for _, v := range values {
		b = append(b, tokenRaw)
		bits := math.Float64bits(v)
		for range 8 {
			b = append(b, byte(bits))
			bits >>= 8
		}
	}
	return b
}

// definition is a frame that defines m{c="a"} and m{c="b"} in layouts 0 and 1,
// with a value for each.
func definition(seq uint64, at time.Time, a, b float64) *plimsollv1.Frame {
	return &plimsollv1.Frame{
		Seq: seq, TimestampMs: at.UnixMilli(),
		Symbols: []string{"", "m", "c", "a", "b", "what it means", "node", "forged"},
		Series: []*plimsollv1.Series{
			{Symbols: []uint32{1, 2, 3, 6, 7}, Type: plimsollv1.MetricType_METRIC_TYPE_GAUGE, Help: 5},
			{Symbols: []uint32{1, 2, 4}, Type: plimsollv1.MetricType_METRIC_TYPE_GAUGE, Help: 5},
		},
		Layouts: []*plimsollv1.Layout{{Series: []int64{0}}, {Series: []int64{1}}},
		Columns: []int64{0, 1},
		Values:  raw(a, b),
	}
}

// values is a frame of both series that definition has defined.
func values(seq uint64, at time.Time, a, b float64) *plimsollv1.Frame {
	return &plimsollv1.Frame{Seq: seq, TimestampMs: at.UnixMilli(), Columns: []int64{0, 1}, Values: raw(a, b)}
}

type point struct {
	t int64
	v float64
}

// read returns all samples of the series that match, by their labels.
func (w *world) read(matchers ...*labels.Matcher) map[string][]point {
	w.t.Helper()
	return readDB(w.t, w.db, matchers...)
}

func readDB(t testing.TB, d *db, matchers ...*labels.Matcher) map[string][]point {
	t.Helper()
	all := map[string][]point{}
	err := eachSeries(t.Context(), d, math.MinInt64, math.MaxInt64, func(ls labels.Labels, it chunkenc.Iterator) error {
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			all[ls.String()] = append(all[ls.String()], point{at, v})
		}
		return nil
	}, matchers...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func is(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

const (
	seriesA = `{__name__="m", c="a", instance="n1:9100", node="n1"}`
	seriesB = `{__name__="m", c="b", instance="n1:9100", node="n1"}`
)

// show writes points as text, relative to a time.
func show(points []point, from time.Time) string {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(time.UnixMilli(p.t).Sub(from).String() + "=")
		if isStale(p.v) {
			b.WriteString("stale")
		} else {
			b.WriteString(strconv.FormatFloat(p.v, 'g', -1, 64))
		}
	}
	return b.String()
}

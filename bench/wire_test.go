package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/store"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// The wire from end to end: what an agent spools is what PromQL finds, to the
// bit and once, whatever is killed in between.

var divisors = []uint32{0, 1, 2, 3, 7, 100, 1000, 1e6, 1e9}

func drawGroup(t *rapid.T, n int) *sample.Group {
	g := &sample.Group{Labels: []sample.Label{{Name: "group", Value: fmt.Sprint(n)}}}
	for i := range rapid.IntRange(1, 6).Draw(t, "series") {
		g.Series = append(g.Series, sample.Series{
			Metric: &sample.Metric{Name: fmt.Sprint("m", i), Type: sample.Counter, Divisor: rapid.SampledFrom(divisors).Draw(t, "divisor")},
			Labels: []sample.Label{{Name: "series", Value: fmt.Sprint(i)}},
		})
	}
	return g
}

func drawValue(t *rapid.T, divisor uint32) float64 {
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return sample.Absent
	case 1:
		return math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
	case 2:
		return rapid.Float64().Draw(t, "float")
	case 3:
		return rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.NaN(), 1 << 53, 1<<53 + 2, math.MaxFloat64}).Draw(t, "odd")
	}
	return float64(rapid.Int64Range(-1<<54, 1<<54).Draw(t, "integer")) / float64(max(divisor, 1))
}

func TestEveryValueIsDecodedAsItWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		encoder, decoder := stream.NewEncoder(), ingest.NewDecoder("n1", ingest.Limits{})
		groups := []*sample.Group{drawGroup(t, 0), drawGroup(t, 1), drawGroup(t, 2)}
		for seq := uint64(1); seq <= uint64(rapid.IntRange(1, 20).Draw(t, "frames")); seq++ {
			rec := &spool.Record{Seq: seq, Time: time.UnixMilli(int64(seq))}
			want := map[string]uint64{}
			for i, g := range groups {
				if !rapid.Bool().Draw(t, "column") {
					continue
				}
				col := sample.Column{Group: g}
				for _, s := range g.Series {
					v := drawValue(t, s.Metric.Divisor)
					col.Values = append(col.Values, v)
					if sample.IsAbsent(v) {
						v = math.Float64frombits(value.StaleNaN)
					}
					want[labels.FromStrings("__name__", s.Metric.Name, "node", "n1", "instance", "n1:9100",
						"group", g.Labels[0].Value, "series", s.Labels[0].Value).String()] = math.Float64bits(v)
				}
				rec.Columns = append(rec.Columns, col)
				if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
					rec.Ended = append(rec.Ended, g)
					groups[i] = drawGroup(t, int(10*seq)+i)
				}
			}
			b, err := proto.Marshal(encoder.Encode(rec))
			if err != nil {
				t.Fatal(err)
			}
			var f plimsollv1.Frame
			if err := proto.Unmarshal(b, &f); err != nil {
				t.Fatal(err)
			}
			if err := decoder.Decode(&f); err != nil {
				t.Fatal(err)
			}
			got := map[string]uint64{}
			for ls, v := range decoder.Values() {
				got[ls.String()] = math.Float64bits(v)
			}
			if !maps.Equal(got, want) {
				t.Fatalf("frame %d: got %x, want %x", seq, got, want)
			}
		}
	})
}

// logs is the store with a memory of how much of its logs is on stable storage.
type logs struct {
	*store.Store
	mu   sync.Mutex
	safe map[string]int64
}

func (l *logs) Sync(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	sizes, err := logSizes(l.Dir())
	if err != nil {
		return err
	}
	if err := l.Store.Sync(ctx); err != nil {
		return err
	}
	l.safe = sizes
	return nil
}

// logSizes are the sizes of the files of the store's two logs.
func logSizes(dir string) (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, sub := range []string{"wal", "wbl"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			if info.Mode().IsRegular() {
				sizes[filepath.Join(sub, e.Name())] = info.Size()
			}
		}
	}
	return sizes, nil
}

// powerCut returns a copy of the store as a power cut leaves it: of what is not
// on stable storage, each file keeps as much as chance has it.
func (l *logs) powerCut(t *rapid.T) string {
	dir := tempDir(t)
	if err := os.CopyFS(dir, os.DirFS(l.Dir())); err != nil {
		t.Fatal(err)
	}
	sizes, err := logSizes(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		keep := rapid.Int64Range(min(l.safe[name], sizes[name]), sizes[name]).Draw(t, "keep of "+name)
		if err := os.Truncate(filepath.Join(dir, name), keep); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func tempDir(t *rapid.T) string {
	root := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		root = "/dev/shm" // where a sync costs nothing
	}
	dir, err := os.MkdirTemp(root, "wire")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// world is an agent's spool and stream, a collector's ingest and store, and a
// network between them.
type world struct {
	t *rapid.T

	spool     *spool.Spool
	spoolDir  string
	endAgent  func()
	logs      *logs
	server    *ingest.Server
	endServer func()

	mu       sync.Mutex
	listener *bufconn.Listener // nil while the collector is away
	conns    []net.Conn

	inOrder uint64 // frames that are sent in one lane
	groups  []*sample.Group
	now     time.Time
	want    map[string][]point
	n       int
}

type point struct {
	t    int64
	bits uint64
}

func (w *world) dial(ctx context.Context, _ string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener == nil {
		return nil, errors.New("connection refused")
	}
	c, err := w.listener.DialContext(ctx)
	if err == nil {
		w.conns = append(w.conns, c)
	}
	return c, err
}

// cut breaks all connections.
func (w *world) cut(*rapid.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *world) startAgent() {
	var err error
	if w.spool, err = spool.Open(spool.Options{Dir: w.spoolDir, SegmentBytes: 4 << 10, BootID: "boot"}); err != nil {
		w.t.Fatal(err)
	}
	s, err := stream.New(stream.Options{
		Spool: w.spool, Target: "passthrough:collector", Node: "n1", Log: slog.New(slog.DiscardHandler),
		Settings:    stream.NewSettings(stream.SettingsOptions{}),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(w.dial)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	w.endAgent = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		if err := w.spool.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) startCollector(dir string) {
	safe, err := logSizes(dir) // what has survived one power cut, survives another
	if err != nil {
		w.t.Fatal(err)
	}
	st, err := store.Open(context.Background(), store.Options{Dir: dir})
	if err != nil {
		w.t.Fatal(err)
	}
	w.logs = &logs{Store: st, safe: safe}
	server, err := ingest.New(ingest.Options{Store: w.logs, UncleanStop: st.UncleanStop(), InOrder: w.inOrder})
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = server
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	g := grpc.NewServer(ingest.ServerOptions()...)
	server.Register(g)
	l := bufconn.Listen(1 << 20)
	go func() { _ = g.Serve(l) }()
	w.mu.Lock()
	w.listener = l
	w.mu.Unlock()
	w.endServer = func() {
		w.mu.Lock()
		w.listener = nil
		w.mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		g.Stop()
		l.Close()
		if err := st.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// tick spools a batch and lets its second pass, or part of it.
func (w *world) tick(t *rapid.T) {
	var b sample.Batch
	b.Reset(uint64(w.n), w.now)
	for _, g := range w.groups {
		v := b.Add(g)
		for i := range v {
			if v[i] = drawValue(t, g.Series[i].Metric.Divisor); sample.IsAbsent(v[i]) || math.Float64bits(v[i]) == value.StaleNaN {
				continue
			}
			name := g.Labels[0].Value + "/" + g.Series[i].Metric.Name
			w.want[name] = append(w.want[name], point{w.now.UnixMilli(), math.Float64bits(v[i])})
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "end") == 0 {
		b.End(w.groups[0])
		w.n++
		w.groups[0] = drawGroup(t, w.n)
	}
	if err := w.spool.Append(&b); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Second)
	if ahead := time.Until(w.now); rapid.Bool().Draw(t, "wait") || ahead > 30*time.Second {
		<-time.After(time.Until(w.now))
	}
}

// silence lets the collector give the agent up, or nearly.
func (w *world) silence(t *rapid.T) {
	<-time.After(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
	if now := time.Now().Truncate(time.Second); now.After(w.now) {
		w.now = now.Add(time.Second)
	}
}

// slow has the collector ask something of the agent, in the middle of its frames.
func (w *world) slow(t *rapid.T) {
	if err := w.server.Slow("n1", rapid.Uint32Range(1, 60).Draw(t, "slowdown")); err != nil {
		t.Fatal(err)
	}
}

func (w *world) restartAgent(*rapid.T) {
	w.endAgent()
	w.startAgent()
}

// killAgent goes on with what its spool has on disk.
func (w *world) killAgent(t *rapid.T) {
	synctest.Wait()
	dir := tempDir(t)
	if err := os.CopyFS(dir, os.DirFS(w.spoolDir)); err != nil {
		t.Fatal(err)
	}
	w.endAgent()
	w.spoolDir = dir
	w.startAgent()
}

func (w *world) restartCollector(t *rapid.T) {
	dir := w.logs.Dir()
	w.endServer()
	w.away(t)
	w.startCollector(dir)
}

// part lets the agent go on without a network.
func (w *world) part(t *rapid.T) {
	w.mu.Lock()
	l := w.listener
	w.listener = nil
	w.mu.Unlock()
	w.cut(t)
	w.away(t)
	w.mu.Lock()
	w.listener = l
	w.mu.Unlock()
}

func (w *world) killCollector(t *rapid.T) {
	<-time.After(time.Duration(rapid.IntRange(0, 6000).Draw(t, "ms until the kill")) * time.Millisecond)
	synctest.Wait()
	dir := w.logs.powerCut(t)
	w.cut(t)
	w.endServer()
	w.away(t)
	w.startCollector(dir)
}

// loseDisk starts a collector on an empty one: the agent still has all.
func (w *world) loseDisk(t *rapid.T) {
	w.cut(t)
	w.endServer()
	w.away(t)
	w.startCollector(tempDir(t))
}

// away lets time pass, in which the agent goes on.
func (w *world) away(t *rapid.T) {
	for range rapid.IntRange(0, 30).Draw(t, "seconds away") {
		w.tick(t)
	}
}

// settle waits until everything is acknowledged, and there.
func (w *world) settle(t *rapid.T) {
	var err error
	for range 600 {
		if st := w.spool.Stats(); st.Acked == st.Next-1 {
			if err = w.check(t); err == nil {
				return
			}
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatalf("not all is there and acknowledged after a minute: %+v, %v", w.spool.Stats(), err)
}

// check compares the store with what was spooled, sample by sample.
func (w *world) check(t *rapid.T) error {
	q, err := w.logs.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	got := map[string][]point{}
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "m.*"))
	for set.Next() {
		ls := set.At().Labels()
		name := ls.Get("group") + "/" + ls.Get("__name__")
		for it := set.At().Iterator(nil); it.Next() != 0; {
			if at, v := it.At(); math.Float64bits(v) != value.StaleNaN {
				got[name] = append(got[name], point{at, math.Float64bits(v)})
			}
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	for name, want := range w.want {
		if !slices.Equal(got[name], want) {
			return fmt.Errorf("%s: %d samples stored, %d spooled:\n%v\n%v", name, len(got[name]), len(want), got[name], want)
		}
	}
	for name := range got {
		if len(w.want[name]) == 0 {
			return fmt.Errorf("%s was never spooled", name)
		}
	}
	return nil
}

// bubble hides a deadline in real time from rapid, which lives in virtual time.
type bubble struct{ *testing.T }

func TestEachSampleArrivesOnceWhateverIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubble{t}, func(t *rapid.T) {
			w := &world{
				t: t, spoolDir: tempDir(t), want: map[string][]point{}, now: time.Now().Truncate(time.Second),
				inOrder: rapid.SampledFrom([]uint64{1, 3, 30}).Draw(t, "in order"),
			}
			w.groups = []*sample.Group{drawGroup(t, -1), drawGroup(t, -2)}
			w.startCollector(tempDir(t))
			defer func() { w.endServer() }()
			w.startAgent()
			defer func() { w.endAgent() }()
			deeds := map[string]func(*rapid.T){
				"tick": w.tick, "two ticks": func(t *rapid.T) { w.tick(t); w.tick(t) },
				"cut": w.cut, "part": w.part, "silence": w.silence,
				"restart agent": w.restartAgent, "kill agent": w.killAgent,
				"slow": w.slow, "restart collector": w.restartCollector, "kill collector": w.killCollector, "lose its disk": w.loseDisk,
			}
			for range rapid.IntRange(1, 12).Draw(t, "deeds") {
				deeds[rapid.SampledFrom(slices.Sorted(maps.Keys(deeds))).Draw(t, "deed")](t)
			}
			w.settle(t)
			<-time.After(10 * time.Second) // it may have to connect
			if s := w.server.Settings("n1"); s.Slowdown > 1 && s.Applied != s.Version {
				t.Fatalf("of the settings %d the agent has applied %d", s.Version, s.Applied)
			}
		})
	})
}

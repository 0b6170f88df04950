package day

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a collector with its agents.
type world struct {
	t        *testing.T
	log      *slog.Logger
	registry *prometheus.Registry
	store    *store.Store
	listener *bufconn.Listener
	agents   []*agent
	metrics  []*sample.Metric

	began   time.Time
	born    int    // containers
	samples uint64 // appended to spools
	deaths  []death
	seen    []picture

	endAgents, endServer func()
}

// death is when some series had their last sample.
type death struct {
	at     time.Time
	series int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, log: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry(), began: time.Now()}
	for i := range *series {
		w.metrics = append(w.metrics, &sample.Metric{Name: fmt.Sprintf("container_%d_seconds_total", i), Type: sample.Counter, Unit: "seconds", Divisor: 1e6})
	}
	w.startServer()
	ctx, cancel := context.WithCancel(context.Background())
	all, ctx := errgroup.WithContext(ctx)
	for i := range *agents {
		a := w.newAgent(fmt.Sprintf("node-%02d", i), uint64(i))
		all.Go(func() error { return a.stream.Run(ctx) })
		w.agents = append(w.agents, a)
	}
	w.endAgents = func() {
		cancel()
		if err := all.Wait(); err != nil {
			t.Error(err)
		}
		for _, a := range w.agents {
			if err := a.spool.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	return w
}

func (w *world) startServer() {
	t := w.t
	var err error
	if w.store, err = store.Open(context.Background(), store.Options{Dir: memory(t), Log: w.log, Registerer: w.registry}); err != nil {
		t.Fatal(err)
	}
	things := inventory.New(inventory.Options{Registerer: w.registry})
	server, err := ingest.New(ingest.Options{Store: w.store, Inventory: things, HeadSeries: w.store.HeadSeries, Log: w.log, Registerer: w.registry})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	g := grpc.NewServer(ingest.ServerOptions()...)
	server.Register(g)
	w.listener = bufconn.Listen(1 << 20)
	go func() { _ = g.Serve(w.listener) }()
	w.endServer = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		g.Stop()
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (w *world) end() {
	w.endAgents()
	w.endServer()
}

// agent is one of ours without its sources.
type agent struct {
	*world
	node       string
	rng        *rand.Rand
	spool      *spool.Spool
	stream     *stream.Stream
	containers []*container
	batch      sample.Batch
}

func (w *world) newAgent(node string, seed uint64) *agent {
	a := &agent{world: w, node: node, rng: rand.New(rand.NewPCG(seed, 3))}
	var err error
	// Its second-by-second syncs would be most of what there is to do: it is
	// bounded instead, and drops what is acknowledged when it is full.
	if a.spool, err = spool.Open(spool.Options{Dir: memory(w.t), MaxBytes: 2 << 20}); err != nil {
		w.t.Fatal(err)
	}
	a.stream, err = stream.New(stream.Options{
		Spool: a.spool, Target: "passthrough:collector", Node: node, Interval: *interval, Log: w.log,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return w.listener.DialContext(ctx)
		})},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range *containers {
		a.containers = append(a.containers, w.newContainer(node, i, a.rng))
	}
	return a
}

// memory is a directory where a sync costs nothing, if there is such a place.
func memory(t *testing.T) string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "day")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// tick spools what all containers show now. One that ends shows it for the last
// time, and another takes its place.
func (a *agent) tick(number uint64) {
	now := time.Now()
	a.batch.Reset(number, now)
	for i, c := range a.containers {
		c.move(a.batch.Add(c.group), a.rng)
		if now.Before(c.ends) {
			continue
		}
		a.batch.End(c.group)
		a.batch.Happened(sample.Event{Time: now, Kind: sample.ContainerExited, Container: c.group.Labels[1].Value, Text: "exited with code 0"})
		a.deaths = append(a.deaths, death{now, *series})
		a.containers[i] = a.newContainer(a.node, i, a.rng)
	}
	a.samples += uint64(a.batch.Len())
	if err := a.spool.Append(&a.batch); err != nil {
		a.t.Fatal(err)
	}
}

// look takes a picture.
func (w *world) look() {
	synctest.Wait() // until nobody makes or moves files
	now := time.Now()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p := picture{
		hour: int(now.Sub(w.began) / time.Hour), goroutines: runtime.NumGoroutine(), heap: float64(m.HeapAlloc) / 1e6,
		head: int(w.store.HeadSeries()), alive: *agents * *containers * *series,
		unmerged: w.metric("prometheus_tsdb_compactions_failed_total"),
		disk:     size(w.t, w.store.Dir()), log: size(w.t, filepath.Join(w.store.Dir(), "wal")),
	}
	p.lately = p.alive
	for _, d := range w.deaths {
		if now.Sub(d.at) <= headSpan+headSlack {
			p.lately += d.series
		}
	}
	if oldest := w.metric("prometheus_tsdb_head_min_time"); oldest > 0 && p.hour > 0 {
		p.span = now.Sub(time.UnixMilli(int64(oldest)))
	}
	blocks, err := w.store.BlockMetas()
	if err != nil {
		w.t.Fatal(err)
	}
	p.blocks = len(blocks)
	w.seen = append(w.seen, p)
	if *heaps != "" && p.hour%3 == 0 {
		w.profile(filepath.Join(*heaps, fmt.Sprintf("heap-%02d", p.hour)))
	}
}

// profile writes what is on the heap after the collection of look.
func (w *world) profile(file string) {
	f, err := os.Create(file)
	if err == nil {
		err = errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// metric is the value of one of the collector's own that has no labels.
func (w *world) metric(name string) float64 {
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}

func size(t *testing.T, dir string) float64 {
	total := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return float64(total) / 1e6
}

// nothingIsLost counts all samples that there are in the store.
func (w *world) nothingIsLost() {
	q, err := w.store.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close()
	stored := uint64(0)
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "container_.*"))
	var it chunkenc.Iterator
	for set.Next() {
		it = set.At().Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			if _, v := it.At(); math.Float64bits(v) != value.StaleNaN {
				stored++
			}
		}
	}
	if err := set.Err(); err != nil {
		w.t.Fatal(err)
	}
	if stored != w.samples {
		w.t.Errorf("%d samples are stored, %d were spooled", stored, w.samples)
	}
}

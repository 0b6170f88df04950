package forward

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/compression"
)

// target is Prometheus' own remote-write receiver on a store of its own. A
// script may answer in its place.
type target struct {
	t      testing.TB
	db     *tsdb.DB
	server *httptest.Server

	mu       sync.Mutex
	script   func(n int, body []byte, w http.ResponseWriter, r *http.Request) (answered bool)
	requests int
	metadata map[string]prompb.MetricMetadata // of version 1
}

func newTarget(t testing.TB, outOfOrder time.Duration) *target {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.OutOfOrderTimeWindow = outOfOrder.Milliseconds()
	opts.RetentionDuration = 0
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	tg := &target{t: t, db: db, metadata: map[string]prompb.MetricMetadata{}}
	messages := remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}
	handler := remote.NewWriteHandler(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), db, messages, false, false, true)
	tg.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if !tg.answer(body, w, r) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		tg.server.Close()
		db.Close()
	})
	return tg
}

func (tg *target) answer(body []byte, w http.ResponseWriter, r *http.Request) bool {
	tg.mu.Lock()
	tg.learn(body, r)
	tg.requests++
	n, script := tg.requests, tg.script
	tg.mu.Unlock()
	return script != nil && script(n, body, w, r)
}

// learn keeps the metadata of version 1, which the handler does not.
func (tg *target) learn(body []byte, r *http.Request) {
	if r.Header.Get(remote.RemoteWriteVersionHeader) != remote.RemoteWriteVersion1HeaderValue {
		return
	}
	for _, m := range decode1(tg.t, body).Metadata {
		tg.metadata[m.MetricFamilyName] = m
	}
}

func decode1(t testing.TB, body []byte) prompb.WriteRequest {
	raw, err := compression.Decode(compression.Snappy, body, nil)
	if err != nil {
		t.Error(err)
	}
	var req prompb.WriteRequest
	if err := req.Unmarshal(raw); err != nil {
		t.Error(err)
	}
	return req
}

func (tg *target) answers(script func(n int, body []byte, w http.ResponseWriter, r *http.Request) bool) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	tg.script, tg.requests = script, 0
}

func (tg *target) asked() int {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	return tg.requests
}

// samples is what the store holds: values by series and time.
func (tg *target) samples() map[string]map[int64]float64 {
	tg.t.Helper()
	q, err := tg.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		tg.t.Fatal(err)
	}
	defer q.Close()
	all := map[string]map[int64]float64{}
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	for set.Next() {
		s := set.At()
		points := map[int64]float64{}
		it := s.Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			points[at] = v
		}
		all[s.Labels().String()] = points
	}
	if set.Err() != nil {
		tg.t.Fatal(set.Err())
	}
	return all
}

func (tg *target) count() int {
	n := 0
	for _, points := range tg.samples() {
		n += len(points)
	}
	return n
}

// configured writes a forward.yaml and loads it.
func configured(t testing.TB, text string) Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forward.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := LoadFile(path)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return cfg
}

// quick is an endpoint that does not wait long for anything.
func quick(url string, more string) string {
	return fmt.Sprintf(`remote_write:
- url: %s/api/v1/write
  name: target
  queue_config: {batch_send_deadline: 20ms, min_backoff: 1ms, max_backoff: 10ms, max_samples_per_send: 500, max_shards: 4%s
`, url, more)
}

const (
	version1 = "}"
	message2 = "}\n  protobuf_message: io.prometheus.write.v2.Request"
)

// running is a forwarder that sends, until stop.
type running struct {
	*Forwarder
	stop func()
}

func start(t testing.TB, opts Options, cfg Config) running {
	t.Helper()
	f, err := Open(opts, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return running{f, stop}
}

// eventually waits for something that takes as long as it takes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(60 * time.Second)
	defer timeout.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatal("a minute has passed without: " + what)
		}
	}
}

func (r running) drained(t testing.TB) Endpoint {
	t.Helper()
	eventually(t, "an empty spool", func() bool { return r.Status()[0].Pending == 0 })
	return r.Status()[0]
}

// container is n series as an agent has them.
func container(n int, name string) []labels.Labels {
	list := make([]labels.Labels, n)
	for i := range list {
		list[i] = labels.FromStrings("__name__", "container_memory_usage_bytes", "node", "n1", "name", fmt.Sprint(name, i))
	}
	return list
}

func valued(n int, v float64) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = v + float64(i)/4
	}
	return list
}

func hand(t testing.TB, f *Forwarder, at int64, ls []labels.Labels, vs []float64) {
	t.Helper()
	if err := f.Stored(at, ls, vs); err != nil {
		t.Fatal(err)
	}
}

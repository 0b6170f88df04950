package receive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/collector/receive"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

// world is a store behind a receiver behind a server.
type world struct {
	t        testing.TB
	store    *store.Store
	registry *prometheus.Registry
	receiver *receive.Receiver
	url      string
}

// newWorld has the receiver write to what in makes of the store.
func newWorld(t testing.TB, opts receive.Options, in func(*store.Store) receive.Store) *world {
	t.Helper()
	free := store.Space{Bytes: -1} // whatever the disk of the test has
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), MinFree: free, Ballast: free})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	opts.Store = s
	if in != nil {
		opts.Store = in(s)
	}
	w := &world{t: t, store: s, registry: prometheus.NewRegistry()}
	opts.Registerer = w.registry
	if w.receiver, err = receive.New(opts); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/write", w.receiver.RemoteWrite())
	mux.Handle("POST /v1/metrics", w.receiver.OTLP())
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// answer is what a sender gets.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.code, strings.TrimSpace(a.body)) }

// post sends a body, with headers in pairs.
func (w *world) post(path string, body []byte, headers ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, w.url+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(text)}
}

const (
	type1 = "application/x-protobuf"
	type2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// write sends what remote write would.
func (w *world) write(kind string, message interface{ Marshal() ([]byte, error) }) answer {
	w.t.Helper()
	return w.post("/api/v1/write", snapped(w.t, message), "Content-Type", kind, "Content-Encoding", "snappy")
}

func snapped(t testing.TB, message interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := message.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

// entry is a series with its samples, for either version.
type entry struct {
	labels     []string // pairs
	samples    []prompb.Sample
	histograms []prompb.Histogram
}

func float(at time.Time, v float64) prompb.Sample {
	return prompb.Sample{Timestamp: at.UnixMilli(), Value: v}
}

func version1(entries ...entry) *prompb.WriteRequest {
	m := new(prompb.WriteRequest)
	for _, e := range entries {
		ts := prompb.TimeSeries{Samples: e.samples, Histograms: e.histograms}
		for i := 0; i < len(e.labels); i += 2 {
			ts.Labels = append(ts.Labels, prompb.Label{Name: e.labels[i], Value: e.labels[i+1]})
		}
		m.Timeseries = append(m.Timeseries, ts)
	}
	return m
}

func version2(entries ...entry) *writev2.Request {
	table := writev2.NewSymbolTable()
	m := new(writev2.Request)
	for _, e := range entries {
		ts := writev2.TimeSeries{}
		for _, s := range e.labels {
			ts.LabelsRefs = append(ts.LabelsRefs, table.Symbolize(s))
		}
		for _, s := range e.samples {
			ts.Samples = append(ts.Samples, writev2.Sample{Timestamp: s.Timestamp, Value: s.Value})
		}
		for _, h := range e.histograms {
			ts.Histograms = append(ts.Histograms, writev2.FromIntHistogram(0, h.Timestamp, h.ToIntHistogram()))
		}
		m.Timeseries = append(m.Timeseries, ts)
	}
	m.Symbols = table.Symbols()
	return m
}

// both runs a test in either version of remote write.
func both(t *testing.T, f func(t *testing.T, send func(*world, ...entry) answer)) {
	t.Run("1.0", func(t *testing.T) {
		f(t, func(w *world, e ...entry) answer { return w.write(type1, version1(e...)) })
	})
	t.Run("2.0", func(t *testing.T) {
		f(t, func(w *world, e ...entry) answer { return w.write(type2, version2(e...)) })
	})
}

// stored reads all samples, by series, as "value@ms".
func (w *world) stored() map[string][]string {
	w.t.Helper()
	q, err := w.store.Querier(0, time.Now().Add(time.Hour).UnixMilli())
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, ""))
	all := map[string][]string{}
	for set.Next() {
		it := set.At().Iterator(nil)
		name := set.At().Labels().String()
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind == chunkenc.ValFloat {
				t, v := it.At()
				all[name] = append(all[name], fmt.Sprintf("%v@%d", v, t))
				continue
			}
			t, h := it.AtFloatHistogram(nil)
			all[name] = append(all[name], fmt.Sprintf("%v@%d", h, t))
		}
		if it.Err() != nil {
			w.t.Fatal(it.Err())
		}
	}
	if set.Err() != nil {
		w.t.Fatal(set.Err())
	}
	return all
}

// total is a counter or gauge, summed over the series that have these labels.
func (w *world) total(name string, with ...string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "plimsoll_collector_receive_"+name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, p := range m.GetLabel() {
				has[p.GetName()] = p.GetValue()
			}
			for i := 0; i < len(with); i += 2 {
				if has[with[i]] != with[i+1] {
					continue metrics
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// spoilt is a store with which something is wrong.
type spoilt struct {
	*store.Store
	append func() // before each transaction
	sync   func() error
	done   func(deed string)
}

func (s spoilt) AppenderV2(ctx context.Context) storage.AppenderV2 {
	if s.append != nil {
		s.append()
	}
	return s.Store.AppenderV2(ctx)
}

func (s spoilt) Sync(ctx context.Context) error {
	if s.done != nil {
		s.done("sync")
	}
	if s.sync != nil {
		return s.sync()
	}
	return s.Store.Sync(ctx)
}

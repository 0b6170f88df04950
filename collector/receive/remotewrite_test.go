package receive_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage/remote"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	"github.com/plimsoll-io/plimsoll/collector/receive"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

func native(at time.Time) prompb.Histogram {
	return prompb.FromIntHistogram(at.UnixMilli(), &histogram.Histogram{
		Schema: 1, Count: 7, Sum: 12.5, ZeroThreshold: 1e-9, ZeroCount: 1,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []int64{2, 2},
	})
}

func TestBothVersionsOfRemoteWriteAreStored(t *testing.T) {
	both(t, func(t *testing.T, send func(*world, ...entry) answer) {
		w := newWorld(t, receive.Options{}, nil)
		now := time.Now().Truncate(time.Second)
		got := send(w,
			entry{labels: []string{"__name__", "m", "job", "j", "none", ""}, samples: []prompb.Sample{float(now.Add(-time.Minute), 1), float(now, math.Float64frombits(value.StaleNaN))}},
			entry{labels: []string{"__name__", "h", "job", "j"}, histograms: []prompb.Histogram{native(now)}},
		)
		if got.code != http.StatusNoContent || got.body != "" {
			t.Fatalf("answer %s", got)
		}
		for what, want := range map[string]string{"Samples": "2", "Histograms": "1", "Exemplars": "0"} {
			if strings.Contains(t.Name(), "1.0") {
				want = "" // it has no such headers
			}
			if written := got.header.Get("X-Prometheus-Remote-Write-" + what + "-Written"); written != want {
				t.Errorf("told of %q %s written, want %q", written, what, want)
			}
		}
		all := w.stored()
		if m := all[`{__name__="m", job="j"}`]; len(m) != 2 || m[0] != fmt.Sprintf("1@%d", now.Add(-time.Minute).UnixMilli()) {
			t.Errorf("stored %v", all)
		}
		if h := all[`{__name__="h", job="j"}`]; len(h) != 1 || !strings.HasPrefix(h[0], "{count:7, sum:12.5") {
			t.Errorf("stored %v", all)
		}
		if n := w.total("samples_total"); n != 3 {
			t.Errorf("%v samples counted, want 3", n)
		}
	})
}

func TestGoodSamplesAreStoredAndTheRestRefusedWithItsReason(t *testing.T) {
	now := time.Now()
	long := strings.Repeat("x", 5000)
	good := []prompb.Sample{float(now, 1)}
	bad := map[string]struct {
		entry entry
		want  gate.Reason
	}{
		"a year ahead":         {entry{labels: []string{"__name__", "b"}, samples: []prompb.Sample{float(now.AddDate(1, 0, 0), 1)}}, gate.Future},
		"two days old":         {entry{labels: []string{"__name__", "b"}, samples: []prompb.Sample{float(now.AddDate(0, 0, -2), 1)}}, gate.TooOld},
		"no name":              {entry{labels: []string{"job", "j"}, samples: good}, gate.NoName},
		"a label twice":        {entry{labels: []string{"__name__", "b", "l", "1", "l", "2"}, samples: good}, gate.Twice},
		"a long value":         {entry{labels: []string{"__name__", "b", "l", long}, samples: good}, gate.LabelValue},
		"no text":              {entry{labels: []string{"__name__", "b", "l", "\xff"}, samples: good}, gate.UTF8},
		"an alert":             {entry{labels: []string{"__name__", "ALERTS", "alertname", "a"}, samples: good}, gate.Reserved},
		"an agent's series":    {entry{labels: []string{"__name__", "up", "instance", "n:9100", "job", "plimsoll-agent", "node", "n"}, samples: good}, gate.Identity},
		"two values at a time": {entry{labels: []string{"__name__", "b"}, samples: []prompb.Sample{float(now, 1), float(now, 2)}}, gate.Duplicate},
		"an impossible histogram": {entry{labels: []string{"__name__", "b"}, histograms: []prompb.Histogram{prompb.FromIntHistogram(now.UnixMilli(), &histogram.Histogram{
			Schema: 1, Count: 1, PositiveSpans: []histogram.Span{{Length: 5}}, PositiveBuckets: []int64{9},
		})}}, gate.Histogram},
	}
	both(t, func(t *testing.T, send func(*world, ...entry) answer) {
		for name, tt := range bad {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, receive.Options{}, nil)
				got := send(w, entry{labels: []string{"__name__", "before"}, samples: good}, tt.entry, entry{labels: []string{"__name__", "behind"}, samples: good})
				if got.code != http.StatusBadRequest || !strings.Contains(got.body, " 1 refused: 1 "+tt.want) {
					t.Errorf("answer %s, want it to name %s", got, tt.want)
				}
				all := w.stored()
				if len(all[`{__name__="before"}`]) != 1 || len(all[`{__name__="behind"}`]) != 1 {
					t.Errorf("stored %v", all)
				}
				if n := w.total("refused_samples_total", "reason", tt.want); n != 1 {
					t.Errorf("%v counted for the reason", n)
				}
				want := "" // version 1 has no such header
				if strings.Contains(t.Name(), "2.0") {
					want = fmt.Sprint(w.total("samples_total"))
				}
				if written := got.header.Get("X-Prometheus-Remote-Write-Samples-Written"); written != want {
					t.Errorf("told of %q written, want %q", written, want)
				}
			})
		}
	})
}

func TestABatchThatComesAgainChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, send func(*world, ...entry) answer) {
		w := newWorld(t, receive.Options{}, nil)
		now := time.Now()
		older := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(now.Add(-2*time.Minute), 1), float(now.Add(-time.Minute), 2)}}
		newer := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(now, 3)}, histograms: nil}
		hist := entry{labels: []string{"__name__", "h"}, histograms: []prompb.Histogram{native(now)}}
		for i, batch := range [][]entry{{older}, {newer, hist}, {older}, {newer, hist}, {older, newer}} {
			if got := send(w, batch...); got.code != http.StatusNoContent {
				t.Fatalf("batch %d: %s", i, got)
			}
		}
		if all := w.stored(); len(all[`{__name__="m"}`]) != 3 || len(all[`{__name__="h"}`]) != 1 {
			t.Errorf("stored %v", all)
		}
	})
}

// Prometheus' own sender draws the right conclusions from what it is answered.
func TestPrometheusClientKnowsWhatToSendAgain(t *testing.T) {
	var refuse error
	w := newWorld(t, receive.Options{Refuse: func() error { return refuse }}, nil)
	address, err := url.Parse(w.url + "/api/v1/write")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(now, 1)}}
	bad := entry{labels: []string{"__name__", "b"}, samples: []prompb.Sample{float(now.AddDate(1, 0, 0), 1)}}
	for version, bodies := range map[remoteapi.WriteMessageType][2][]byte{
		remoteapi.WriteV1MessageType: {snapped(t, version1(good)), snapped(t, version1(good, bad))},
		remoteapi.WriteV2MessageType: {snapped(t, version2(good)), snapped(t, version2(good, bad))},
	} {
		t.Run(string(version), func(t *testing.T) {
			client, err := remote.NewWriteClient("test", &remote.ClientConfig{
				URL: &config_util.URL{URL: address}, Timeout: model.Duration(time.Minute), WriteProtoMsg: version,
				HTTPClientConfig: config_util.HTTPClientConfig{},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.(*remote.Client).Client.CloseIdleConnections()
			two := version == remoteapi.WriteV2MessageType

			refuse = nil
			stats, err := client.Store(t.Context(), bodies[0], 0)
			if err != nil || two && stats.Samples != 1 {
				t.Errorf("a good batch: %+v, error %v", stats, err)
			}
			stats, err = client.Store(t.Context(), bodies[1], 0)
			if again := new(remote.RecoverableError); err == nil || errors.As(err, again) || two && stats.Samples != 1 {
				t.Errorf("a batch with a bad sample: %+v, error %v; want one for good", stats, err)
			}
			refuse = errors.New("the disk is nearly full")
			stats, err = client.Store(t.Context(), bodies[0], 0)
			if again := new(remote.RecoverableError); !errors.As(err, again) || stats.Samples != 0 || !strings.Contains(err.Error(), "nearly full") {
				t.Errorf("while nothing is taken in: %+v, error %v; want one to try again", stats, err)
			}
		})
	}
	if n := w.total("turned_away_total", "why", "store"); n != 2 {
		t.Errorf("%v requests counted as turned away", n)
	}
}

func TestWhatCannotBeReadIsAnsweredWithWhatIsWrong(t *testing.T) {
	w := newWorld(t, receive.Options{RequestBytes: 1 << 20, MemoryBytes: 4 << 20}, nil)
	good := snapped(t, version1(entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(time.Now(), 1)}}))
	tests := map[string]struct {
		body           []byte
		kind, encoding string
		code           int
		says           string
	}{
		"no content type is version 1":      {good, "", "snappy", 204, ""},
		"no encoding is snappy":             {good, type1, "", 204, ""},
		"version 1 by name":                 {good, type1 + ";proto=prometheus.WriteRequest", "snappy", 204, ""},
		"a space before the parameter":      {snapped(t, version2()), "application/x-protobuf; proto=io.prometheus.write.v2.Request", "snappy", 204, ""},
		"version 1 under the name of 2":     {good, type2, "snappy", 400, "is it a prometheus.WriteRequest?"},
		"JSON":                              {good, "application/json", "snappy", 415, "application/x-protobuf"},
		"a content type that is none":       {good, "a b c", "snappy", 415, "application/x-protobuf"},
		"another message":                   {good, type1 + ";proto=other", "snappy", 415, "io.prometheus.write.v2.Request"},
		"gzip":                              {good, type1, "gzip", 415, "snappy"},
		"zstd":                              {good, type1, "zstd", 415, "snappy"},
		"nothing":                           {nil, type1, "snappy", 400, "snappy"},
		"no snappy":                         {[]byte("hello, world"), type1, "snappy", 400, "snappy"},
		"no protobuf":                       {snappy.Encode(nil, []byte("hello, world")), type1, "snappy", 400, "protobuf"},
		"a message cut short":               {snappy.Encode(nil, []byte{10, 200}), type1, "snappy", 400, "protobuf"},
		"a body over the limit":             {make([]byte, 2<<20), type1, "snappy", 413, "1048576"},
		"a few bytes that become many":      {snappy.Encode(nil, make([]byte, 2<<20)), type1, "snappy", 413, "1048576"},
		"a length that is a lie":            {[]byte{255, 255, 255, 255, 15, 0}, type1, "snappy", 413, "1048576"},
		"a million series of nothing":       {snappy.Encode(nil, []byte(strings.Repeat("\x0a\x00", 500_000))), type1, "snappy", 413, "memory"},
		"a million histograms of nothing":   {snappy.Encode(nil, wrap(1, []byte(strings.Repeat("\x22\x00", 300_000)))), type1, "snappy", 413, "memory"},
		"a million symbols of nothing":      {snappy.Encode(nil, []byte(strings.Repeat("\x22\x00", 500_000))), type2, "snappy", 413, "memory"},
		"a million series of nothing again": {snappy.Encode(nil, []byte(strings.Repeat("\x2a\x00", 500_000))), type2, "snappy", 413, "memory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := w.post("/api/v1/write", tt.body, "Content-Type", tt.kind, "Content-Encoding", tt.encoding)
			if got.code != tt.code || !strings.Contains(got.body, tt.says) {
				t.Errorf("answer %s, want %d with %q", got, tt.code, tt.says)
			}
		})
	}
}

// wrap makes a field of bytes.
func wrap(field byte, inside []byte) []byte {
	b := []byte{field<<3 | 2}
	for n := len(inside); ; n >>= 7 {
		if n < 128 {
			b = append(b, byte(n))
			break
		}
		b = append(b, byte(n)|128)
	}
	return append(b, inside...)
}

// A symbol of version 2 costs four bytes where it is used, however long it is.
func TestLongSymbolsUsedOftenAreRefused(t *testing.T) {
	w := newWorld(t, receive.Options{}, nil)
	m := &writev2.Request{Symbols: []string{"", "__name__", "m", strings.Repeat("x", 1<<20)}}
	refs := make([]uint32, 20_000)
	for i := range refs {
		refs[i] = 3
	}
	m.Timeseries = []writev2.TimeSeries{
		{LabelsRefs: refs, Samples: []writev2.Sample{{Timestamp: time.Now().UnixMilli()}}},
		{LabelsRefs: refs[:10], Samples: []writev2.Sample{{Timestamp: time.Now().UnixMilli()}}},
		{LabelsRefs: []uint32{1}, Samples: []writev2.Sample{{Timestamp: time.Now().UnixMilli()}}},
		{LabelsRefs: []uint32{1, 99}, Samples: []writev2.Sample{{Timestamp: time.Now().UnixMilli()}}},
		{LabelsRefs: []uint32{1, 2}},
		{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: time.Now().UnixMilli()}}, Metadata: writev2.Metadata{HelpRef: 99}},
	}
	got := w.write(type2, m)
	for _, want := range []string{"1 samples stored", "1 " + gate.Labels, "1 " + gate.TooLong, "3 " + gate.Malformed} {
		if !strings.Contains(got.body, want) {
			t.Errorf("answer %s, want it to say %q", got, want)
		}
	}
}

func TestConcurrentSendersOfOneSeriesAreToldApart(t *testing.T) {
	w := newWorld(t, receive.Options{}, nil)
	const senders, rounds = 8, 20
	now := time.Now().Add(-time.Minute)
	for round := range rounds {
		var wg sync.WaitGroup
		codes := make([]int, senders)
		for i := range senders {
			wg.Go(func() {
				codes[i] = w.write(type1, version1(entry{
					labels:  []string{"__name__", "m"},
					samples: []prompb.Sample{float(now.Add(time.Duration(round)*time.Second), float64(i))},
				})).code
			})
		}
		wg.Wait()
		slices.Sort(codes)
		if codes[0] != http.StatusNoContent || codes[1] != http.StatusBadRequest {
			t.Fatalf("round %d: %v, want one stored and the others refused", round, codes)
		}
	}
	if all := w.stored(); len(all[`{__name__="m"}`]) != rounds {
		t.Errorf("stored %v", all)
	}
}

func TestWhatIsAnsweredIsOnDiskFirst(t *testing.T) {
	var synced int
	var broken error
	var heard []string
	w := newWorld(t, receive.Options{Failed: func(deed string, _ error) { heard = append(heard, deed) }}, func(s *store.Store) receive.Store {
		return spoilt{Store: s, done: func(string) { synced++ }, sync: func() error {
			if broken != nil {
				return broken
			}
			return s.Sync(context.Background())
		}}
	})
	e := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(time.Now(), 1)}}
	if got := w.write(type2, version2(e)); got.code != http.StatusNoContent || synced != 1 {
		t.Errorf("answer %s, synced %d times", got, synced)
	}
	broken = errors.New("input/output error")
	got := w.write(type2, version2(e))
	if got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("X-Prometheus-Remote-Write-Samples-Written") != "0" {
		t.Errorf("answer %s %v", got, got.header)
	}
	if !slices.Equal(heard, []string{"sync"}) {
		t.Errorf("the owner heard %q", heard)
	}
}

// What a life of the store committed may be gone in the next, whose Sync knows
// nothing of it.
func TestABatchDuringWhichTheStoreIsOpenedAnewIsToBeSentAgain(t *testing.T) {
	var lives atomic.Uint64
	w := newWorld(t, receive.Options{Lives: lives.Load}, func(s *store.Store) receive.Store {
		return spoilt{Store: s, done: func(string) { lives.CompareAndSwap(0, 1) }}
	})
	e := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(time.Now(), 1)}}
	if got := w.write(type1, version1(e)); got.code != http.StatusServiceUnavailable {
		t.Errorf("answer %s", got)
	}
	if got := w.write(type1, version1(e)); got.code != http.StatusNoContent {
		t.Errorf("the next: %s", got)
	}
}

func TestAPanicCostsItsRequestAlone(t *testing.T) {
	panics := 1
	w := newWorld(t, receive.Options{Concurrent: 1}, func(s *store.Store) receive.Store {
		return spoilt{Store: s, append: func() {
			if panics > 0 {
				panics--
				panic("a mistake of ours")
			}
		}}
	})
	e := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(time.Now(), 1)}}
	if got := w.write(type1, version1(e)); got.code != http.StatusBadRequest || strings.Contains(got.body, "a mistake of ours") {
		t.Errorf("answer %s", got)
	}
	if got := w.write(type1, version1(e)); got.code != http.StatusNoContent {
		t.Errorf("the next: %s", got)
	}
	if w.total("panics_total") != 1 {
		t.Error("not counted")
	}
}

func TestNewSeriesOverTheLimitAreRefusedAndTheOthersGoOn(t *testing.T) {
	series := uint64(0)
	w := newWorld(t, receive.Options{MaxSeries: 2, HeadSeries: func() uint64 { return series }}, nil)
	now := time.Now()
	at := func(name string, second int) entry {
		return entry{labels: []string{"__name__", name}, samples: []prompb.Sample{float(now.Add(time.Duration(second)*time.Second), 1)}}
	}
	if got := w.write(type1, version1(at("a", 0), at("b", 0))); got.code != http.StatusNoContent {
		t.Fatalf("answer %s", got)
	}
	series = 2
	got := w.write(type1, version1(at("a", 1), at("c", 1), at("b", 1)))
	if got.code != http.StatusBadRequest || !strings.Contains(got.body, "2 samples stored, 1 refused: 1 "+gate.Series+`, such as {__name__="c"}`) {
		t.Errorf("answer %s", got)
	}
}

// hold takes a place for a sender that takes its time over the body.
func hold(w *world) {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", type1)
	buf := make([]byte, 64)
	if n, err := conn.Read(buf); err != nil || !strings.Contains(string(buf[:n]), "100 Continue") {
		w.t.Fatalf("%q, %v", buf[:n], err) // now the server reads the body, in the place
	}
}

func TestRequestsOverTheNumberWaitAndAreToldToComeAgain(t *testing.T) {
	w := newWorld(t, receive.Options{Concurrent: 1, Patience: 50 * time.Millisecond}, nil)
	hold(w)
	e := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(time.Now(), 1)}}
	if got := w.write(type1, version1(e)); got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("answer %s", got)
	}
	if n := w.total("turned_away_total", "why", "busy"); n != 1 {
		t.Errorf("%v counted", n)
	}
}

// A batch takes memory until the store has it, and none while the disk is waited
// for.
func TestARequestHasItsPlaceUntilItIsAppended(t *testing.T) {
	for _, at := range []string{"append", "sync"} {
		t.Run(at, func(t *testing.T) {
			first, entered, leave := true, make(chan struct{}), make(chan struct{})
			stay := func() {
				if first {
					first = false
					close(entered)
					<-leave
				}
			}
			w := newWorld(t, receive.Options{Concurrent: 1, Patience: 50 * time.Millisecond}, func(s *store.Store) receive.Store {
				if at == "append" {
					return spoilt{Store: s, append: stay}
				}
				return spoilt{Store: s, done: func(string) { stay() }}
			})
			e := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(time.Now(), 1)}}
			answers := make(chan answer, 1)
			go func() { answers <- w.write(type1, version1(e)) }()
			<-entered
			want := map[string]int{"append": http.StatusServiceUnavailable, "sync": http.StatusNoContent}[at]
			if got := w.write(type1, version1(e)); got.code != want {
				t.Errorf("another meanwhile: %s, want %d", got, want)
			}
			close(leave)
			if got := <-answers; got.code != http.StatusNoContent {
				t.Errorf("the first: %s", got)
			}
		})
	}
}

func TestASlowSenderLosesItsPlace(t *testing.T) {
	w := newWorld(t, receive.Options{Concurrent: 1, ReadTimeout: 50 * time.Millisecond}, nil)
	hold(w)
	e := entry{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(time.Now(), 1)}}
	if got := w.write(type1, version1(e)); got.code != http.StatusNoContent {
		t.Errorf("the next sender: %s", got)
	}
}

func TestWhatIsSaidOfMetricsIsRemembered(t *testing.T) {
	w := newWorld(t, receive.Options{}, nil)
	m1 := version1()
	m1.Metadata = []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "a_total", Help: "A.", Unit: "bytes"}}
	if got := w.write(type1, m1); got.code != http.StatusNoContent {
		t.Fatal(got)
	}
	m2 := &writev2.Request{Symbols: []string{"", "__name__", "b", "B.", "seconds"}, Timeseries: []writev2.TimeSeries{{
		LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: time.Now().UnixMilli()}},
		Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE, HelpRef: 3, UnitRef: 4},
	}}}
	if got := w.write(type2, m2); got.code != http.StatusNoContent {
		t.Fatal(got)
	}
	known := w.receiver.Metadata()
	slices.SortFunc(known, func(a, b receive.Metric) int { return strings.Compare(a.Name, b.Name) })
	want := []receive.Metric{{"a_total", "counter", "A.", "bytes"}, {"b", "gauge", "B.", "seconds"}}
	if !slices.Equal(known, want) {
		t.Errorf("known %v", known)
	}
}

// A few bytes of references become a series of 16 KiB, within the limits of each.
func TestSeriesThatShareLongSymbolsAreBoundedTogether(t *testing.T) {
	w := newWorld(t, receive.Options{MemoryBytes: 1 << 20}, nil)
	m := &writev2.Request{Symbols: []string{"", "__name__", "m", "a", "b", "c", strings.Repeat("x", 4096)}}
	now := time.Now().UnixMilli()
	add := func(series int) {
		for range series {
			m.Timeseries = append(m.Timeseries, writev2.TimeSeries{
				LabelsRefs: []uint32{1, 2, 3, 6, 4, 6, 5, 6}, Samples: []writev2.Sample{{Timestamp: now}},
			})
		}
	}
	add(80)
	if got := w.write(type2, m); got.code != http.StatusNoContent {
		t.Fatalf("1 MB of labels: %s", got)
	}
	add(80)
	if got := w.write(type2, m); got.code != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MB of labels: %s", got)
	}
}

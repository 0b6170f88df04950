package receive_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	"github.com/plimsoll-io/plimsoll/collector/receive"
)

func attribute(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func nano(at time.Time) uint64 { return uint64(at.UnixNano()) }

func gauge(name string, at ...time.Time) *metricspb.Metric {
	g := &metricspb.Gauge{}
	for _, t := range at {
		g.DataPoints = append(g.DataPoints, &metricspb.NumberDataPoint{TimeUnixNano: nano(t), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: 1.5}})
	}
	return &metricspb.Metric{Name: name, Data: &metricspb.Metric_Gauge{Gauge: g}}
}

func export(metrics ...*metricspb.Metric) *collectorpb.ExportMetricsServiceRequest {
	return &collectorpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			attribute("service.name", "shop"), attribute("service.namespace", "prod"), attribute("service.instance.id", "i1"),
			attribute("container.name", "web"), attribute("os.type", "linux"),
		}},
		ScopeMetrics: []*metricspb.ScopeMetrics{{Scope: &commonpb.InstrumentationScope{Name: "lib"}, Metrics: metrics}},
	}}}
}

// send sends OTLP in protobuf, and reads the answer.
func (w *world) send(m proto.Message) (answer, *collectorpb.ExportMetricsServiceResponse) {
	w.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	got := w.post("/v1/metrics", b, "Content-Type", type1)
	said := new(collectorpb.ExportMetricsServiceResponse)
	if got.code == http.StatusOK {
		if err := proto.Unmarshal([]byte(got.body), said); err != nil {
			w.t.Fatal(err)
		}
	}
	return got, said
}

func TestOTLPIsStoredAsPrometheusTranslatesIt(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	request := export(
		gauge("room.temperature", now),
		&metricspb.Metric{Name: "http.requests", Unit: "1", Description: "Requests.", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{
			IsMonotonic: true, AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE,
			DataPoints: []*metricspb.NumberDataPoint{{
				TimeUnixNano: nano(now), Value: &metricspb.NumberDataPoint_AsInt{AsInt: 7},
				Attributes: []*commonpb.KeyValue{attribute("http.method", "GET")},
			}},
		}}},
		&metricspb.Metric{Name: "latency", Unit: "s", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{
			AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE,
			DataPoints: []*metricspb.HistogramDataPoint{{
				TimeUnixNano: nano(now), Count: 3, Sum: new(4.5), ExplicitBounds: []float64{1, 2}, BucketCounts: []uint64{1, 1, 1},
			}},
		}}},
		&metricspb.Metric{Name: "size", Unit: "By", Data: &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{
			AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE,
			DataPoints: []*metricspb.ExponentialHistogramDataPoint{{
				TimeUnixNano: nano(now), Count: 3, Sum: new(6.0), Scale: 0, ZeroCount: 1,
				Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: 0, BucketCounts: []uint64{1, 1}},
			}},
		}}},
		&metricspb.Metric{Name: "rpc", Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{
			DataPoints: []*metricspb.SummaryDataPoint{{TimeUnixNano: nano(now), Count: 2, Sum: 3, QuantileValues: []*metricspb.SummaryDataPoint_ValueAtQuantile{{Quantile: 0.5, Value: 1}}}},
		}}},
	)
	const who = `container_name="web", instance="i1", job="prod/shop"`
	want := map[string]string{
		`{__name__="room_temperature", ` + who + `}`:                                                                "1.5",
		`{__name__="http_requests_total", container_name="web", http_method="GET", instance="i1", job="prod/shop"}`: "7",
		`{__name__="latency_seconds_bucket", container_name="web", instance="i1", job="prod/shop", le="1"}`:         "1",
		`{__name__="latency_seconds_bucket", container_name="web", instance="i1", job="prod/shop", le="+Inf"}`:      "3",
		`{__name__="latency_seconds_count", ` + who + `}`:                                                           "3",
		`{__name__="size_bytes", ` + who + `}`:                                                                      "{count:3, sum:6",
		`{__name__="rpc", container_name="web", instance="i1", job="prod/shop", quantile="0.5"}`:                    "1",
		`{__name__="target_info", container_name="web", instance="i1", job="prod/shop", os_type="linux"}`:           "1",
	}
	plain, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := protojson.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		body           []byte
		kind, encoding string
	}{
		"protobuf": {plain, type1, ""}, "protobuf in gzip": {zipped(t, plain), type1, "gzip"},
		"JSON": {text, "application/json", ""}, "JSON in gzip, with its character set": {zipped(t, text), "application/json; charset=utf-8", "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, receive.Options{}, nil)
			got := w.post("/v1/metrics", tt.body, "Content-Type", tt.kind, "Content-Encoding", tt.encoding)
			if got.code != http.StatusOK || strings.Contains(got.body, "rejected") || got.header.Get("Content-Type") != strings.Split(tt.kind, ";")[0] {
				t.Fatalf("answer %s %v", got, got.header)
			}
			all := w.stored()
			for series, value := range want {
				if len(all[series]) != 1 || !strings.HasPrefix(all[series][0], value) || !strings.HasSuffix(all[series][0], fmt.Sprint("@", now.UnixMilli())) {
					t.Errorf("%s: %v, want %s", series, all[series], value)
				}
			}
			if t.Failed() {
				t.Logf("stored %v", all)
			}
		})
	}
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestPointsOfOTLPThatAreNotWantedAreTold(t *testing.T) {
	now := time.Now()
	delta := &metricspb.Metric{Name: "d", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{
		AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA,
		DataPoints:             []*metricspb.NumberDataPoint{{TimeUnixNano: nano(now)}, {TimeUnixNano: nano(now)}},
	}}}
	tests := map[string]struct {
		bad      *metricspb.Metric
		reason   gate.Reason
		rejected int64
	}{
		"a year ahead":             {gauge("b", now.AddDate(1, 0, 0)), gate.Future, 1},
		"the end of time":          {gauge("b", time.Unix(0, 1<<63-1)), gate.Future, 1},
		"two days old":             {gauge("b", now.AddDate(0, 0, -2), now.AddDate(0, 0, -3)), gate.TooOld, 2},
		"no time":                  {gauge("b", time.Unix(0, 0)), gate.TooOld, 1},
		"differences":              {delta, gate.Delta, 2},
		"the collector's own name": {gauge("plimsoll_ingest_seq", now), gate.Reserved, 1},
		"two values at a time":     {gauge("b", now, now), "", 0}, // the same value: not two
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, receive.Options{}, nil)
			got, said := w.send(export(gauge("before", now), tt.bad, gauge("behind", now)))
			if got.code != http.StatusOK || said.GetPartialSuccess().GetRejectedDataPoints() != tt.rejected || !strings.Contains(said.GetPartialSuccess().GetErrorMessage(), tt.reason) {
				t.Errorf("answer %d %v, want %d %s", got.code, said, tt.rejected, tt.reason)
			}
			found := 0
			for series := range w.stored() {
				if strings.Contains(series, `"before"`) || strings.Contains(series, `"behind"`) {
					found++
				}
			}
			if found != 2 {
				t.Errorf("stored %v", w.stored())
			}
		})
	}
}

// The translator repeats target_info from the first point of a resource to its
// last: were those 1970 and 2554, for hours, and out of memory.
func TestAResourceThatSpansTheAgesCostsNoMoreThanOthers(t *testing.T) {
	w := newWorld(t, receive.Options{}, nil)
	now := time.Now()
	_, said := w.send(export(gauge("m", time.Unix(1, 0), now.Add(-20*time.Hour), now, time.Unix(0, 1<<63-1))))
	if n := said.GetPartialSuccess().GetRejectedDataPoints(); n != 2 {
		t.Errorf("%d rejected, want 2", n)
	}
	for series, samples := range w.stored() {
		if len(samples) != 2 {
			t.Errorf("%s has %d samples, want 2", series, len(samples))
		}
	}
}

func TestOTLPThatCannotBeReadIsAnsweredWithAStatus(t *testing.T) {
	w := newWorld(t, receive.Options{RequestBytes: 1 << 20, MemoryBytes: 4 << 20}, nil)
	deep := []byte{}
	for range 1000 { // an array in an array in …
		deep = wrap(5, wrap(1, deep))
	}
	tests := map[string]struct {
		body           []byte
		kind, encoding string
		code           int
		says           string
	}{
		"another content type":     {nil, "text/plain", "", 415, "application/json"},
		"another encoding":         {nil, type1, "zstd", 415, "gzip"},
		"no gzip":                  {[]byte("hello"), type1, "gzip", 400, "gzip"},
		"no protobuf":              {[]byte("hello"), type1, "", 400, "protobuf"},
		"no JSON":                  {[]byte("hello"), "application/json", "", 400, "JSON"},
		"gzip that becomes much":   {zipped(t, make([]byte, 2<<20)), type1, "gzip", 413, "1048576"},
		"too much":                 {make([]byte, 2<<20), type1, "", 413, "1048576"},
		"points of nothing":        {wrap(1, wrap(2, wrap(2, wrap(5, []byte(strings.Repeat("\x0a\x00", 100_000)))))), type1, "", 413, "memory"},
		"points of nothing, JSON":  {[]byte(`{"resourceMetrics":[` + strings.Repeat("{},", 100_000) + "{}]}"), "application/json", "", 413, "memory"},
		"values in values":         {wrap(1, wrap(1, wrap(1, wrap(2, deep)))), type1, "", 400, "deep"},
		"values in values in JSON": {[]byte(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":` + strings.Repeat(`{"arrayValue":{"values":[`, 12_000) + "}]}]}"), "application/json", "", 400, "JSON"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := w.post("/v1/metrics", tt.body, "Content-Type", tt.kind, "Content-Encoding", tt.encoding)
			said := new(rpcstatus.Status)
			var err error
			if tt.kind == "application/json" {
				err = protojson.Unmarshal([]byte(got.body), said)
			} else {
				err = proto.Unmarshal([]byte(got.body), said)
			}
			if err != nil || got.code != tt.code || !strings.Contains(said.GetMessage(), tt.says) {
				t.Errorf("answer %d %v %v, want %d with %q", got.code, said, err, tt.code, tt.says)
			}
		})
	}
}

func TestOTLPIsToldToComeAgainWhileNothingIsTakenIn(t *testing.T) {
	w := newWorld(t, receive.Options{Refuse: func() error { return fmt.Errorf("the disk is nearly full") }}, nil)
	got, _ := w.send(export(gauge("m", time.Now())))
	if got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "nearly full") {
		t.Errorf("answer %s", got)
	}
}

// The name of a service stands in a request once, and in each of its series.
func TestPointsThatShareALongResourceAreBoundedTogether(t *testing.T) {
	w := newWorld(t, receive.Options{MemoryBytes: 1 << 20}, nil)
	times := slices.Repeat([]time.Time{time.Now()}, 1000)
	if got, _ := w.send(export(gauge("m", times...))); got.code != http.StatusOK {
		t.Fatalf("short names: %s", got)
	}
	m := export(gauge("m", times...))
	m.ResourceMetrics[0].Resource.Attributes = []*commonpb.KeyValue{attribute("service.name", strings.Repeat("x", 4000))}
	if got, _ := w.send(m); got.code != http.StatusRequestEntityTooLarge {
		t.Errorf("4 MB of labels: %s", got)
	}
}

// What the translator says of each metric has all that it said before in it: of
// so many together, hundreds of gigabytes.
func TestManyMetricsThatAreNotTranslatedAreToldOfBriefly(t *testing.T) {
	w := newWorld(t, receive.Options{}, nil)
	now := time.Now()
	metrics := []*metricspb.Metric{gauge("good", now)}
	for range 100_000 {
		metrics = append(metrics, gauge("_", now))
	}
	got, said := w.send(export(metrics...))
	if text := said.GetPartialSuccess().GetErrorMessage(); got.code != http.StatusOK || !strings.Contains(text, "not translated: ") || len(text) > 500 {
		t.Errorf("%d %.1000q", got.code, text)
	}
}

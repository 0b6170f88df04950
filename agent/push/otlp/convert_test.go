package otlp

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

func TestPointsBecomeSamples(t *testing.T) {
	now := ago(0)
	tests := map[string]struct {
		request *collectorpb.ExportMetricsServiceRequest
		want    string
	}{
		"a gauge with its unit":       {request(gauge("queue.size", "By", number(5, now, "http.route", "/cart"))), "queue_size_bytes{http_route=/cart,job=shop} 5"},
		"a ratio":                     {request(gauge("load", "1", number(.5, now))), "load_ratio{job=shop} 0.5"},
		"a counter":                   {request(sum("requests", "{request}", true, cumulative, number(7, now))), "requests_total{job=shop} 7"},
		"a sum that may fall":         {request(sum("connections", "", false, cumulative, number(-2, now))), "connections{job=shop} -2"},
		"an instance of a namespace":  {of(attributes("service.name", "cart", "service.namespace", "shop", "service.instance.id", "i-1"), gauge("x", "", number(1, now))), "x{instance=i-1,job=shop/cart} 1"},
		"a service without a name":    {of(nil, gauge("x", "", number(1, now))), "x{job=unknown_service} 1"},
		"a service like the agent":    {of(attributes("service.name", "cadvisor"), gauge("x", "", number(1, now))), "x{job=exported_cadvisor} 1"},
		"the container it says it is": {of(attributes("service.name", "shop", "container.id", "abc"), gauge("x", "", number(1, now))), "x{container=abc,job=shop} 1"},
		"what else a resource is":     {of(attributes("service.name", "shop", "host.name", "h"), gauge("x", "", number(1, now))), "target_info{host_name=h,job=shop} 1\nx{job=shop} 1"},
		"keys that come to one name":  {request(gauge("x", "", number(1, now, "a_b", "2", "a.b", "1"))), "x{a_b=1;2,job=shop} 1"},
		"labels of who it is":         {request(gauge("x", "", number(1, now, "job", "y", "name", "z"))), "x{exported_job=y,exported_name=z,job=shop} 1"},
		"a histogram": {request(histogram("d", cumulative, &metricspb.HistogramDataPoint{
			TimeUnixNano: now, ExplicitBounds: []float64{.1, 1}, BucketCounts: []uint64{1, 2, 3}, Count: 6, Sum: proto.Float64(9),
		})), "d_seconds_bucket{job=shop,le=+Inf} 6\nd_seconds_bucket{job=shop,le=0.1} 1\nd_seconds_bucket{job=shop,le=1} 3\nd_seconds_count{job=shop} 6\nd_seconds_sum{job=shop} 9"},
		"a histogram without a sum": {request(histogram("d", cumulative, &metricspb.HistogramDataPoint{
			TimeUnixNano: now, BucketCounts: []uint64{6}, Count: 6,
		})), "d_seconds_bucket{job=shop,le=+Inf} 6\nd_seconds_count{job=shop} 6"},
		"a summary": {request(summary("s", &metricspb.SummaryDataPoint{
			TimeUnixNano: now, Count: 4, Sum: 8, QuantileValues: []*metricspb.SummaryDataPoint_ValueAtQuantile{{Quantile: .5, Value: 2}, {Quantile: .99, Value: 3}},
		})), "s_count{job=shop} 4\ns_sum{job=shop} 8\ns{job=shop,quantile=0.5} 2\ns{job=shop,quantile=0.99} 3"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s := newServer(push.Options{})
			answer, err := s.export(s.grpc, tt.request)
			if err != nil || answer.GetPartialSuccess() != nil {
				t.Errorf("answer %v, error %v", answer, err)
			}
			if diff := cmp.Diff(tt.want, c.next()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhateverAnAttributeIsItBecomesText(t *testing.T) {
	list := &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{
		{Value: &commonpb.AnyValue_StringValue{StringValue: "a"}}, {Value: &commonpb.AnyValue_IntValue{IntValue: 2}}, {},
	}}}}
	for want, v := range map[string]*commonpb.AnyValue{
		"a":                  {Value: &commonpb.AnyValue_StringValue{StringValue: "a"}},
		"true":               {Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
		"-3":                 {Value: &commonpb.AnyValue_IntValue{IntValue: -3}},
		"0.25":               {Value: &commonpb.AnyValue_DoubleValue{DoubleValue: .25}},
		"aGk=":               {Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("hi")}},
		`["a",2,null]`:       list,
		`{"k":["a",2,null]}`: {Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{{Key: "k", Value: list}}}}},
		"":                   nil,
	} {
		if got := text(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func TestTheAnswerSaysWhatWasNotTakenAndWhy(t *testing.T) {
	_, s := newServer(push.Options{SenderSeries: 3})
	now := ago(0)
	answer, err := s.export(s.grpc, request(
		gauge("old", "", number(1, ago(2*time.Minute)), number(1, 0)),
		gauge("future", "", number(1, ago(-time.Minute))),
		gauge("node_cpu", "", number(1, now)),
		gauge("___", "", number(1, now)),
		gauge(strings.Repeat("n", 300), "", number(1, now), number(2, now)),
		sum("s", "", true, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_UNSPECIFIED, number(1, now)),
		sum("negative", "", true, cumulative, number(-1, now)),
		gauge("empty", "", &metricspb.NumberDataPoint{TimeUnixNano: now}),
		histogram("h", cumulative,
			&metricspb.HistogramDataPoint{TimeUnixNano: now, ExplicitBounds: []float64{2, 1}, BucketCounts: []uint64{1, 1, 1}, Count: 3},
			&metricspb.HistogramDataPoint{TimeUnixNano: now, ExplicitBounds: []float64{1}, BucketCounts: []uint64{1}, Count: 1},
			&metricspb.HistogramDataPoint{TimeUnixNano: now, BucketCounts: []uint64{1}, Count: 2},
			&metricspb.HistogramDataPoint{TimeUnixNano: now, ExplicitBounds: make([]float64, 101), BucketCounts: make([]uint64, 102)}),
		exponentials("e", &metricspb.ExponentialHistogramDataPoint{TimeUnixNano: now, Scale: -1}),
		gauge("x", "", number(1, now, "i", "1"), number(1, now, "i", "2"), number(1, now, "i", "3"), number(1, now, "i", "4")),
	))
	if err != nil {
		t.Fatal(err)
	}
	const why = "not taken: 5 malformed, 2 unsupported, 1 too_large, 1 reserved_name, 2 label_too_long, 2 sender_series_limit, 1 bad_value, 2 too_old, 1 future"
	if p := answer.GetPartialSuccess(); p.GetRejectedDataPoints() != 17 || p.GetErrorMessage() != why {
		t.Errorf("%d: %s", p.GetRejectedDataPoints(), p.GetErrorMessage())
	}
	if taken, old := s.grpc.feed.Taken(), s.grpc.feed.Dropped(push.TooOld); taken != 2 || old != 2 {
		t.Errorf("counted %d taken, %d too old", taken, old)
	}
}

func TestDeltasAddUpFromZero(t *testing.T) {
	c, s := newServer(push.Options{Every: 100})
	at := ago(10 * time.Second)
	export := func(v float64, buckets ...uint64) string {
		t.Helper()
		at += 1e9
		answer, err := s.export(s.grpc, request(
			sum("hits", "", true, delta, number(v, at)),
			sum("open", "", false, delta, number(-v, at)),
			histogram("d", delta, &metricspb.HistogramDataPoint{TimeUnixNano: at, ExplicitBounds: []float64{1}, BucketCounts: buckets, Count: buckets[0] + buckets[1], Sum: &v}),
		))
		if err != nil || answer.GetPartialSuccess() != nil {
			t.Errorf("%v, %v", answer, err)
		}
		return c.next()
	}
	want := func(hits, open, low, all, sum int) string {
		return fmt.Sprintf("d_seconds_bucket{job=shop,le=+Inf} %d\nd_seconds_bucket{job=shop,le=1} %d\nd_seconds_count{job=shop} %d\nd_seconds_sum{job=shop} %d\nhits_total{job=shop} %d\nopen{job=shop} %d", all, low, all, sum, hits, open)
	}
	if diff := cmp.Diff(want(0, -2, 0, 0, 0), export(2, 1, 1)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want(5, -5, 4, 5, 5), export(3, 3, 0)); diff != "" {
		t.Error(diff)
	}
	answer, _ := s.export(s.grpc, request(sum("hits", "", true, delta, number(9, at)))) // an exporter that got no answer repeats itself
	if n := answer.GetPartialSuccess().GetRejectedDataPoints(); n != 1 {
		t.Errorf("%d points of a repeated delta refused", n)
	}
	if got := c.next(); got != "" {
		t.Errorf("a repeated delta counts: %s", got)
	}
}

func TestWhatIsCumulativePassesThroughItsResets(t *testing.T) {
	c, s := newServer(push.Options{Every: 100})
	var got []string
	at := ago(10 * time.Second)
	for _, v := range []float64{10, 12, 1} {
		at += 1e9
		s.export(s.grpc, request(sum("hits", "", true, cumulative, number(v, at))))
		got = append(got, c.next())
	}
	s.export(s.grpc, request(sum("hits", "", true, cumulative, number(1, at)))) // repeated: the same again
	got = append(got, c.next())
	answer, _ := s.export(s.grpc, request(sum("hits", "", true, cumulative, number(12, at-1e9)))) // late
	if n := answer.GetPartialSuccess().GetRejectedDataPoints(); n != 1 {
		t.Errorf("%d late points refused", n)
	}
	got = append(got, c.next())
	if diff := cmp.Diff([]string{"hits_total{job=shop} 10", "hits_total{job=shop} 12", "hits_total{job=shop} 1", "hits_total{job=shop} 1", ""}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAPointThatSaysItHasNoValueEnds(t *testing.T) {
	c, s := newServer(push.Options{})
	s.export(s.grpc, request(gauge("x", "", number(1, ago(time.Second)))))
	c.next()
	answer, err := s.export(s.grpc, request(gauge("x", "", &metricspb.NumberDataPoint{TimeUnixNano: ago(0), Flags: 1})))
	if err != nil || answer.GetPartialSuccess() != nil {
		t.Errorf("%v, %v", answer, err)
	}
	if got := c.next(); got != "end x{job=shop}" {
		t.Error(got)
	}
}

func TestTwoScopesMayHaveAMetricOfTheSameName(t *testing.T) {
	c, s := newServer(push.Options{})
	r := request(gauge("x", "", number(1, ago(0))))
	r.ResourceMetrics[0].ScopeMetrics[0].Scope = &commonpb.InstrumentationScope{Name: "lib", Version: "1.2"}
	r.ResourceMetrics[0].ScopeMetrics = append(r.ResourceMetrics[0].ScopeMetrics, &metricspb.ScopeMetrics{
		Scope: &commonpb.InstrumentationScope{Name: "other"}, Metrics: []*metricspb.Metric{gauge("x", "", number(2, ago(0)))},
	})
	s.export(s.grpc, r)
	if got := c.next(); got != "x{job=shop,otel_scope_name=lib,otel_scope_version=1.2} 1\nx{job=shop,otel_scope_name=other} 2" {
		t.Error(got)
	}
}

// The counts at each power of two are those that the values themselves have.
func TestExponentialHistogramsKeepTheirCountsExactly(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		scale := rapid.Int32Range(0, 20).Draw(r, "scale")
		p := &metricspb.ExponentialHistogramDataPoint{Scale: scale, ZeroCount: rapid.Uint64Range(0, 3).Draw(r, "zeros"), Negative: &metricspb.ExponentialHistogramDataPoint_Buckets{}}
		negative := rapid.Uint64Range(0, 3).Draw(r, "negative")
		p.Negative.BucketCounts = []uint64{negative}
		offset := rapid.Int32Range(-15<<scale, 35<<scale).Draw(r, "offset")
		counts := rapid.SliceOfN(rapid.Uint64Range(0, 5), 0, 160).Draw(r, "counts")
		p.Positive = &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: offset, BucketCounts: counts}
		p.Count = p.ZeroCount + negative
		for _, n := range counts {
			p.Count += n
		}
		bounds := powersOfTwo()
		got, why := exponential(p, bounds, nil)
		if why != 0 {
			r.Fatal(why)
		}
		for i, bound := range bounds {
			want := p.ZeroCount + negative
			for j, n := range counts {
				// The bucket lies below the bound if its own upper bound does:
				// 2^((i+1)/2^scale) ≤ bound.
				if int64(offset)+int64(j)+1 <= int64(math.Log2(bound))<<scale {
					want += n
				}
			}
			if got[i] != float64(want) {
				r.Fatalf("%v at %v, want %d", got[i], bound, want)
			}
		}
		if got[len(bounds)] != float64(p.Count) {
			r.Fatalf("%v in all, want %d", got[len(bounds)], p.Count)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	_, s := newServer(push.Options{})
	var points []*metricspb.NumberDataPoint
	for i := range 1000 {
		points = append(points, number(1, ago(0), "http.route", fmt.Sprint("/cart/", i), "http.status_code", "200"))
	}
	message, err := proto.Marshal(request(sum("http.requests", "{request}", true, cumulative, points...)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := new(collectorpb.ExportMetricsServiceRequest)
		if err := decode(message, r); err != nil {
			b.Fatal(err)
		}
		fresh(r)
		if answer, err := s.export(s.grpc, r); err != nil || answer.GetPartialSuccess() != nil {
			b.Fatal(answer, err)
		}
	}
	b.ReportMetric(float64(b.N*1000)/b.Elapsed().Seconds(), "points/s")
}

func FuzzRequest(f *testing.F) {
	now := ago(0)
	seed := request(
		gauge("queue.size", "By/s", number(5, now, "http.route", "/cart")),
		sum("requests", "1", true, delta, number(7, now)),
		histogram("d", delta, &metricspb.HistogramDataPoint{TimeUnixNano: now, ExplicitBounds: []float64{1}, BucketCounts: []uint64{1, 2}, Count: 3}),
		exponentials("e", &metricspb.ExponentialHistogramDataPoint{TimeUnixNano: now, Count: 1, Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: 3, BucketCounts: []uint64{1}}}),
		summary("s", &metricspb.SummaryDataPoint{TimeUnixNano: now, QuantileValues: []*metricspb.SummaryDataPoint_ValueAtQuantile{{Quantile: .5}}}),
	)
	b, err := proto.Marshal(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(collectorpb.ExportMetricsServiceRequest)
		if decode(b, r) != nil {
			return
		}
		fresh(r)
		c, s := newServer(push.Options{Series: 500, Bytes: 1 << 20})
		answer, err := s.export(s.grpc, r)
		if err != nil {
			t.Fatal(err)
		}
		taken, refused := s.grpc.feed.Taken(), answer.GetPartialSuccess().GetRejectedDataPoints()
		total := 0
		for _, of := range r.GetResourceMetrics() {
			for _, scoped := range of.GetScopeMetrics() {
				for _, m := range scoped.GetMetrics() {
					total += points(m)
				}
			}
		}
		if uint64(total) > taken+uint64(refused) {
			t.Errorf("of %d points %d are taken and %d refused", total, taken, refused)
		}
		for range 2 {
			for line := range strings.Lines(c.next()) {
				if strings.HasPrefix(line, "__") || line[0] >= '0' && line[0] <= '9' {
					t.Errorf("%s is no name", line)
				}
			}
		}
	})
}

// Of names, labels and numbers alone, which bytes seldom come to.
func FuzzPoint(f *testing.F) {
	f.Add("http.requests", "{request}/s", "http.route", "/cart", 1.5, uint8(0), []byte{1, 2, 3}, int32(2))
	f.Add("9__lives", "1", "__name__", "\x00", math.Inf(1), uint8(3), []byte{}, int32(-7))
	f.Add("ü", "%", "le", "", math.NaN(), uint8(4), []byte{0, 0, 255}, int32(1<<30))
	f.Fuzz(func(t *testing.T, name, unit, key, value string, v float64, kind uint8, counts []byte, offset int32) {
		if len(counts) > 200 {
			return
		}
		now := ago(0)
		buckets, bounds, count := []uint64{}, []float64{}, uint64(0)
		for i, n := range counts {
			buckets, count = append(buckets, uint64(n)), count+uint64(n)
			if i > 0 {
				bounds = append(bounds, v+float64(i))
			}
		}
		labels := attributes(key, value)
		as := metricspb.AggregationTemporality(kind % 3)
		var m *metricspb.Metric
		switch kind % 5 {
		case 0:
			m = gauge(name, unit, number(v, now, key, value))
		case 1:
			m = sum(name, unit, kind > 99, as, number(v, now, key, value))
		case 2:
			m = histogram(name, as, &metricspb.HistogramDataPoint{Attributes: labels, TimeUnixNano: now, ExplicitBounds: bounds, BucketCounts: buckets, Count: count, Sum: &v})
		case 3:
			m = exponentials(name, &metricspb.ExponentialHistogramDataPoint{
				Attributes: labels, TimeUnixNano: now, Count: count, Scale: int32(kind) - 10, ZeroThreshold: v,
				Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: offset, BucketCounts: buckets},
			})
		case 4:
			p := &metricspb.SummaryDataPoint{Attributes: labels, TimeUnixNano: now, Count: count, Sum: v}
			for _, b := range bounds {
				p.QuantileValues = append(p.QuantileValues, &metricspb.SummaryDataPoint_ValueAtQuantile{Quantile: b, Value: v})
			}
			m = summary(name, p)
		}
		c, s := newServer(push.Options{})
		answer, err := s.export(s.grpc, of(attributes(key, value, "service.name", value), m))
		if err != nil {
			t.Fatal(err)
		}
		if taken, refused := s.grpc.feed.Taken(), answer.GetPartialSuccess().GetRejectedDataPoints(); taken+uint64(refused) != 1 {
			t.Errorf("%d taken, %d refused", taken, refused)
		}
		for range 2 {
			c.next()
			for _, col := range c.batch.Columns {
				for _, series := range col.Group.Series {
					if !model.LegacyValidation.IsValidMetricName(series.Metric.Name) {
						t.Errorf("%q is no name", series.Metric.Name)
					}
				}
				for _, l := range col.Group.Labels {
					if !model.LegacyValidation.IsValidLabelName(l.Name) || !utf8.ValidString(l.Value) {
						t.Errorf("%q=%q is no label", l.Name, l.Value)
					}
				}
			}
		}
	})
}

// fresh makes all points of now, for otherwise hardly any would be taken.
func fresh(r *collectorpb.ExportMetricsServiceRequest) {
	now := ago(0)
	for _, of := range r.GetResourceMetrics() {
		for _, scoped := range of.GetScopeMetrics() {
			for _, m := range scoped.GetMetrics() {
				for _, p := range m.GetGauge().GetDataPoints() {
					p.TimeUnixNano = now
				}
				for _, p := range m.GetSum().GetDataPoints() {
					p.TimeUnixNano = now
				}
				for _, p := range m.GetHistogram().GetDataPoints() {
					p.TimeUnixNano = now
				}
				for _, p := range m.GetExponentialHistogram().GetDataPoints() {
					p.TimeUnixNano = now
				}
				for _, p := range m.GetSummary().GetDataPoints() {
					p.TimeUnixNano = now
				}
			}
		}
	}
}

package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// application measures something with OpenTelemetry's own SDK and exports twice.
func application(t *testing.T, exporter sdk.Exporter) {
	t.Helper()
	ctx := t.Context()
	provider := sdk.NewMeterProvider(
		sdk.WithReader(sdk.NewPeriodicReader(exporter, sdk.WithInterval(time.Hour))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "cart"), attribute.String("service.namespace", "shop"),
			attribute.String("service.instance.id", "i-1"), attribute.String("host.name", "h"))),
		sdk.WithView(sdk.NewView(sdk.Instrument{Name: "size"}, sdk.Stream{Aggregation: sdk.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})),
	)
	defer provider.Shutdown(ctx)
	meter := provider.Meter("lib")
	hits, _ := meter.Int64Counter("http.hits", metric.WithUnit("{hit}"), metric.WithDescription("Pages seen."))
	took, _ := meter.Float64Histogram("http.took", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(.1, 1))
	size, _ := meter.Int64Histogram("size", metric.WithUnit("By"))
	depth, _ := meter.Int64Gauge("queue.depth")
	for range 2 {
		hits.Add(ctx, 3, metric.WithAttributes(attribute.Int("code", 200)))
		took.Record(ctx, .5)
		size.Record(ctx, 3000)
		depth.Record(ctx, 7)
		if err := provider.ForceFlush(ctx); err != nil {
			t.Errorf("export: %v", err)
		}
	}
}

// what such an application comes to, but for most buckets of size.
var measured = []string{
	"http_hits_total{code=200,instance=i-1,job=shop/cart,otel_scope_name=lib} 6",
	"http_took_seconds_bucket{instance=i-1,job=shop/cart,le=+Inf,otel_scope_name=lib} 2",
	"http_took_seconds_bucket{instance=i-1,job=shop/cart,le=0.1,otel_scope_name=lib} 0",
	"http_took_seconds_bucket{instance=i-1,job=shop/cart,le=1,otel_scope_name=lib} 2",
	"http_took_seconds_sum{instance=i-1,job=shop/cart,otel_scope_name=lib} 1",
	"queue_depth{instance=i-1,job=shop/cart,otel_scope_name=lib} 7",
	"size_bytes_bucket{instance=i-1,job=shop/cart,le=2048,otel_scope_name=lib} 0",
	"size_bytes_bucket{instance=i-1,job=shop/cart,le=4096,otel_scope_name=lib} 2",
	"size_bytes_sum{instance=i-1,job=shop/cart,otel_scope_name=lib} 6000",
	"target_info{host_name=h,instance=i-1,job=shop/cart} 1",
}

func TestAnApplicationExportsAsItUsuallyDoes(t *testing.T) {
	deltas := func(sdk.InstrumentKind) metricdata.Temporality { return metricdata.DeltaTemporality }
	byGRPC := func(more ...otlpmetricgrpc.Option) func(*testing.T, *Server) (sdk.Exporter, error) {
		return func(t *testing.T, s *Server) (sdk.Exporter, error) {
			return otlpmetricgrpc.New(t.Context(), append(more, otlpmetricgrpc.WithEndpoint(s.GRPCAddr()), otlpmetricgrpc.WithInsecure())...)
		}
	}
	byHTTP := func(more ...otlpmetrichttp.Option) func(*testing.T, *Server) (sdk.Exporter, error) {
		return func(t *testing.T, s *Server) (sdk.Exporter, error) {
			return otlpmetrichttp.New(t.Context(), append(more, otlpmetrichttp.WithEndpoint(s.HTTPAddr()), otlpmetrichttp.WithInsecure())...)
		}
	}
	for name, exporter := range map[string]func(*testing.T, *Server) (sdk.Exporter, error){
		"by gRPC":             byGRPC(),
		"by gRPC, compressed": byGRPC(otlpmetricgrpc.WithCompressor("gzip")),
		"by gRPC, in deltas":  byGRPC(otlpmetricgrpc.WithTemporalitySelector(deltas)),
		"by HTTP":             byHTTP(),
		"by HTTP, compressed": byHTTP(otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression)),
	} {
		t.Run(name, func(t *testing.T) {
			table := push.NewTable(push.Options{})
			s := running(t, Options{Table: table, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
			e, err := exporter(t, s)
			if err != nil {
				t.Fatal(err)
			}
			application(t, e)
			c := clock{table: table, tick: 1055}
			got := strings.Split(c.next()+"\n"+c.next(), "\n") // the second has what is added up here
			for _, want := range measured {
				if !slices.Contains(got, want) {
					t.Errorf("there is no %s in\n%s", want, strings.Join(got, "\n"))
				}
			}
		})
	}
}

func connect(t *testing.T, address string) collectorpb.MetricsServiceClient {
	t.Helper()
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return collectorpb.NewMetricsServiceClient(c)
}

// post sends a body by HTTP and returns the code and the answer's text.
func post(t *testing.T, s *Server, body []byte, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.HTTPAddr()+"/v1/metrics", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", protobuf)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// hollow is a message of a great many points of two bytes each.
func hollow(bytes int) []byte {
	points := strings.Repeat("\x0a\x00", bytes/2)
	metric := append([]byte{0x2a}, appendLength(nil, points)...)        // gauge = 5
	scope := append([]byte{0x12}, appendLength(nil, string(metric))...) // metrics = 2
	res := append([]byte{0x12}, appendLength(nil, string(scope))...)    // scope_metrics = 2
	return append([]byte{0x0a}, appendLength(nil, string(res))...)      // resource_metrics = 1
}

func appendLength(dst []byte, s string) []byte {
	n := len(s)
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(append(dst, byte(n)), s...)
}

func TestAMessageThatWouldBecomeTooMuchIsNotDecoded(t *testing.T) {
	b := hollow(maxMessage - 100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := decode(b, new(collectorpb.ExportMetricsServiceRequest))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v", err)
	}
	if grew := after.TotalAlloc - before.TotalAlloc; grew > 1<<20 {
		t.Errorf("to refuse it took %d bytes", grew)
	}
	b = hollow(maxDecoded / messageBytes * 2 * 9 / 10)
	runtime.ReadMemStats(&before)
	if err := decode(b, new(collectorpb.ExportMetricsServiceRequest)); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if grew := after.TotalAlloc - before.TotalAlloc; grew > 3*maxDecoded/2 {
		t.Errorf("what is taken for %d bytes at most took %d", maxDecoded, grew)
	}
	packed, err := proto.Marshal(request(exponentials("e", &metricspb.ExponentialHistogramDataPoint{
		Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{BucketCounts: make([]uint64, 3<<20)},
	})))
	if err != nil {
		t.Fatal(err)
	}
	deep := &commonpb.AnyValue{}
	for range maxDepth {
		deep = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{deep}}}}
	}
	nested, err := proto.Marshal(of([]*commonpb.KeyValue{{Key: "x", Value: deep}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"three million packed numbers": packed, "values in values": nested} {
		if err := decode(b, new(collectorpb.ExportMetricsServiceRequest)); !errors.Is(err, errTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if decode(bytes.Repeat([]byte{0xff}, 100), new(collectorpb.ExportMetricsServiceRequest)) == nil {
		t.Error("what is no message was decoded")
	}
}

func TestHostileRequestsAreTurnedAwayAndCounted(t *testing.T) {
	table := push.NewTable(push.Options{})
	s := running(t, Options{Table: table, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", PerSecond: 100})
	good, err := proto.Marshal(request(gauge("x", "", number(1, ago(0)))))
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("x"), maxMessage+1)
	for name, tt := range map[string]struct {
		body    []byte
		headers []string
		want    int
		reason  push.Reason
	}{
		"no protobuf":            {[]byte("hello"), nil, 400, push.Malformed},
		"JSON":                   {[]byte("{}"), []string{"Content-Type", "application/json"}, 415, push.Unsupported},
		"no type":                {good, []string{"Content-Type", ""}, 415, push.Unsupported},
		"an unknown encoding":    {good, []string{"Content-Encoding", "br"}, 400, push.Malformed},
		"no gzip":                {good, []string{"Content-Encoding", "gzip"}, 400, push.Malformed},
		"a long body":            {long, nil, 413, push.TooLarge},
		"a bomb":                 {zipped(bytes.Repeat(long, 10)), []string{"Content-Encoding", "gzip"}, 413, push.TooLarge},
		"points without number":  {hollow(1 << 20), nil, 413, push.TooLarge},
		"a page of another site": {good, []string{"Sec-Fetch-Site", "cross-site"}, 403, 0},
	} {
		before := s.http.feed.Dropped(tt.reason)
		if got, text := post(t, s, tt.body, tt.headers...); got != tt.want {
			t.Errorf("%s: %d %q, want %d", name, got, text, tt.want)
		}
		if got := s.http.feed.Dropped(tt.reason) - before; tt.reason != 0 && got != 1 {
			t.Errorf("%s: counted %d times as %q", name, got, tt.reason)
		}
	}
	if code, text := post(t, s, good); code != 200 || text != "" {
		t.Errorf("a good request: %d %q", code, text)
	}

	client := connect(t, s.GRPCAddr())
	many := make([]*metricspb.NumberDataPoint, 151)
	for i := range many {
		many[i] = number(1, ago(0))
	}
	for name, tt := range map[string]struct {
		request *collectorpb.ExportMetricsServiceRequest
		want    codes.Code
		reason  push.Reason
		count   uint64
	}{
		"a long message":           {request(gauge(string(long), "")), codes.ResourceExhausted, push.TooLarge, 1},
		"more points than a burst": {request(gauge("x", "", many...)), codes.InvalidArgument, push.TooLarge, 151},
	} {
		before := s.grpc.feed.Dropped(tt.reason)
		_, err := client.Export(t.Context(), tt.request, grpc.MaxCallSendMsgSize(1<<30))
		if status.Code(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
		counted := func() uint64 { return s.grpc.feed.Dropped(tt.reason) - before }
		eventually(func() bool { return counted() >= tt.count }) // gRPC tells of the end after the answer
		if got := counted(); got != tt.count {
			t.Errorf("%s: counted %d times as %q", name, got, tt.reason)
		}
	}
	if _, err := client.Export(t.Context(), request(gauge("x", "", many[:100]...))); err != nil {
		t.Error(err)
	}
	for range 20 { // the rate allows one more if it comes half a second later
		if _, err = client.Export(t.Context(), request(gauge("x", "", many[:100]...))); err != nil {
			break
		}
	}
	if status.Code(err) != codes.Unavailable || s.grpc.feed.Dropped(push.RateLimit) != 100 {
		t.Errorf("beyond the rate: %v, %d counted", err, s.grpc.feed.Dropped(push.RateLimit))
	}
}

func TestRequestsBeyondANumberAtATimeMayTryAgain(t *testing.T) {
	table := push.NewTable(push.Options{})
	s := running(t, Options{Table: table, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	for range maxRequests {
		s.slots <- struct{}{}
	}
	client := connect(t, s.GRPCAddr())
	if _, err := client.Export(t.Context(), request()); status.Code(err) != codes.Unavailable {
		t.Errorf("gRPC: %v", err)
	}
	if code, _ := post(t, s, nil); code != http.StatusServiceUnavailable {
		t.Errorf("HTTP: %d", code)
	}
	for range maxRequests {
		<-s.slots
	}
	for range 3 * maxRequests { // slots come back
		if _, err := client.Export(t.Context(), request()); err != nil {
			t.Fatal(err)
		}
		if code, _ := post(t, s, nil); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	if g, h := s.grpc.feed.Dropped(push.Busy), s.http.feed.Dropped(push.Busy); g != 1 || h != 1 {
		t.Errorf("counted %d and %d", g, h)
	}
}

func TestConnectionsBeyondANumberAreClosed(t *testing.T) {
	table := push.NewTable(push.Options{})
	s := running(t, Options{Table: table, HTTP: "127.0.0.1:0"})
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range maxConnections {
		c, err := net.Dial("tcp", s.HTTPAddr())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	more, err := net.Dial("tcp", s.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	more.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := more.Read(make([]byte, 1)); err == nil || s.http.feed.Dropped(push.Busy) != 1 {
		t.Errorf("read %v, %d counted", err, s.http.feed.Dropped(push.Busy))
	}
	for _, c := range open {
		c.Close()
	}
	g := s.http.listener.(*guarded)
	counting := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.open
	}
	eventually(func() bool { return counting() == 0 }) // when the server has noticed
	if n := counting(); n != 0 {
		t.Fatalf("%d connections still count", n)
	}
}

// eventually waits for something that another goroutine does, but not for ever.
func eventually(ok func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(10 * time.Second); !ok() && time.Now().Before(limit); {
		<-tick.C
	}
}

func TestABugCostsAMessage(t *testing.T) {
	_, s := newServer(push.Options{})
	broken := &endpoint{feed: new(push.Feed)} // of no table
	if _, err := s.export(broken, request()); !errors.Is(err, errBug) || broken.feed.Dropped(push.Failed) != 1 {
		t.Errorf("%v, %d counted", err, broken.feed.Dropped(push.Failed))
	}
}

func TestMistakesAreToldBeforeAnythingRuns(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, opts := range map[string]Options{
		"a table and an address":                                                          {Table: push.NewTable(push.Options{})},
		"--otlp.grpc-listen-address=0.0.0.0:0 can be reached":                             {Table: push.NewTable(push.Options{}), GRPC: "0.0.0.0:0"},
		"--otlp.http-listen-address=" + taken.Addr().String() + ": the address is in use": {Table: push.NewTable(push.Options{}), GRPC: "127.0.0.1:0", HTTP: taken.Addr().String()},
	} {
		if _, err := Listen(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAServerThatIsStoppedLetsRequestsFinish(t *testing.T) {
	table := push.NewTable(push.Options{})
	s, err := Listen(Options{Table: table, HTTP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	body, err := proto.Marshal(request(gauge("x", "", number(1, ago(0)))))
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	answered := make(chan int)
	go func() {
		req, _ := http.NewRequest(http.MethodPost, "http://"+s.HTTPAddr()+"/v1/metrics", r)
		req.Header.Set("Content-Type", protobuf)
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		answer.Body.Close()
		answered <- answer.StatusCode
	}()
	w.Write(body[:10]) // returns when it is being sent
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(s.slots) == 0 { // until it is being served
		<-tick.C
	}
	stop()
	w.Write(body[10:])
	w.Close()
	if code := <-answered; code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := (&clock{table: table}).next(); got != "x{job=shop} 1" {
		t.Error(got)
	}
}

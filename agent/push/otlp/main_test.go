package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/agent/push"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a table with ticks.
type clock struct {
	table *push.Table
	tick  uint64
	batch sample.Batch
}

// next is what the next tick writes, one line for each sample, without what the
// table says of itself.
func (c *clock) next() string {
	found := map[string]float64{}
	c.batch.Reset(c.tick, time.Time{})
	c.tick++
	c.table.Collect(&c.batch, 0, func(o push.Origin, _ push.Standing, _ time.Duration) ([]sample.Label, push.Standing) {
		return []sample.Label{{Name: "job", Value: o.Job}, {Name: "instance", Value: o.Instance}, {Name: "container", Value: o.Container}}, push.Stranger
	})
	for _, col := range c.batch.Columns {
		for i, v := range col.Values {
			if s := col.Group.Series[i]; !sample.IsAbsent(v) && !strings.HasPrefix(s.Metric.Name, "plimsoll_") {
				found[name(col.Group, s)] = v
			}
		}
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(found)) {
		lines = append(lines, fmt.Sprintf("%s %g", k, found[k]))
	}
	for _, g := range c.batch.Ended {
		lines = append(lines, "end "+name(g, g.Series[0]))
	}
	return strings.Join(lines, "\n")
}

func name(g *sample.Group, s sample.Series) string {
	var labels []string
	for _, l := range slices.Concat(g.Labels, s.Labels) {
		if l.Value != "" {
			labels = append(labels, l.Name+"="+l.Value)
		}
	}
	slices.Sort(labels)
	return s.Metric.Name + "{" + strings.Join(labels, ",") + "}"
}

// running is a server that runs until the test ends.
func running(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Listen(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s
}

// newServer is a server at no address, for requests handed to it.
func newServer(opts push.Options) (*clock, *Server) {
	table := push.NewTable(opts)
	s := &Server{log: slog.New(slog.DiscardHandler), grpc: &endpoint{feed: table.Feed("test", 1e9, 1e9), burst: 1e9}}
	return &clock{table: table, tick: 1055}, s // far from anybody's turn
}

func attributes(pairs ...string) []*commonpb.KeyValue {
	var list []*commonpb.KeyValue
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, &commonpb.KeyValue{
			Key: pairs[i], Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: pairs[i+1]}},
		})
	}
	return list
}

// request is one of metrics of a service called shop.
func request(metrics ...*metricspb.Metric) *collectorpb.ExportMetricsServiceRequest {
	return of(attributes("service.name", "shop"), metrics...)
}

func of(resource []*commonpb.KeyValue, metrics ...*metricspb.Metric) *collectorpb.ExportMetricsServiceRequest {
	return &collectorpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource:     &resourcepb.Resource{Attributes: resource},
		ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: metrics}},
	}}}
}

// ago is that long ago, as points say it.
func ago(d time.Duration) uint64 { return uint64(time.Now().Add(-d).UnixNano()) }

func number(v float64, at uint64, labels ...string) *metricspb.NumberDataPoint {
	return &metricspb.NumberDataPoint{
		Attributes: attributes(labels...), TimeUnixNano: at, Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: v},
	}
}

func gauge(name, unit string, points ...*metricspb.NumberDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: name, Unit: unit, Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: points}}}
}

const (
	cumulative = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	delta      = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
)

func sum(name, unit string, monotonic bool, as metricspb.AggregationTemporality, points ...*metricspb.NumberDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: name, Unit: unit, Data: &metricspb.Metric_Sum{
		Sum: &metricspb.Sum{IsMonotonic: monotonic, AggregationTemporality: as, DataPoints: points},
	}}
}

func histogram(name string, as metricspb.AggregationTemporality, points ...*metricspb.HistogramDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: name, Unit: "s", Data: &metricspb.Metric_Histogram{
		Histogram: &metricspb.Histogram{AggregationTemporality: as, DataPoints: points},
	}}
}

func exponentials(name string, points ...*metricspb.ExponentialHistogramDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: name, Data: &metricspb.Metric_ExponentialHistogram{
		ExponentialHistogram: &metricspb.ExponentialHistogram{AggregationTemporality: cumulative, DataPoints: points},
	}}
}

func summary(name string, points ...*metricspb.SummaryDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: name, Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: points}}}
}

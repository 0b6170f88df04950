package receive_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	kv "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	"github.com/plimsoll-io/plimsoll/collector/receive"
)

// application measures something with OpenTelemetry's own SDK. What it returns
// exports that with OpenTelemetry's own exporter, once.
func (w *world) application(opts ...otlpmetrichttp.Option) (export func() error) {
	w.t.Helper()
	ctx := w.t.Context()
	exporter, err := otlpmetrichttp.New(ctx, append(opts,
		otlpmetrichttp.WithEndpointURL(w.url+"/v1/metrics"), otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{}))...)
	if err != nil {
		w.t.Fatal(err)
	}
	reader := sdk.NewManualReader(sdk.WithTemporalitySelector(exporter.Temporality))
	provider := sdk.NewMeterProvider(
		sdk.WithReader(reader),
		sdk.WithResource(resource.NewSchemaless(
			kv.String("service.name", "cart"), kv.String("service.namespace", "shop"),
			kv.String("service.instance.id", "i-1"), kv.String("container.name", "web"))),
		sdk.WithView(sdk.NewView(sdk.Instrument{Name: "size"}, sdk.Stream{Aggregation: sdk.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})),
	)
	w.t.Cleanup(func() {
		if err := errors.Join(provider.Shutdown(context.Background()), exporter.Shutdown(context.Background())); err != nil {
			w.t.Error(err)
		}
	})
	meter := provider.Meter("lib")
	hits, err1 := meter.Int64Counter("http.hits", metric.WithUnit("{hit}"), metric.WithDescription("Pages seen."))
	took, err2 := meter.Float64Histogram("http.took", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(.1, 1))
	size, err3 := meter.Int64Histogram("size", metric.WithUnit("By"))
	depth, err4 := meter.Int64Gauge("queue.depth")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		w.t.Fatal(err)
	}
	hits.Add(ctx, 3, metric.WithAttributes(kv.Int("http.status", 200)))
	took.Record(ctx, .5)
	size.Record(ctx, 3000)
	depth.Record(ctx, 7)
	return func() error {
		var read metricdata.ResourceMetrics
		if err := reader.Collect(ctx, &read); err != nil {
			return err
		}
		return exporter.Export(ctx, &read)
	}
}

func TestWhatAnApplicationExportsIsStored(t *testing.T) {
	const who = `container_name="web", instance="i-1", job="shop/cart"`
	want := map[string]string{
		`{__name__="http_hits_total", container_name="web", http_status="200", instance="i-1", job="shop/cart"}`: "3@",
		`{__name__="http_took_seconds_bucket", ` + who + `, le="0.1"}`:                                           "0@",
		`{__name__="http_took_seconds_bucket", ` + who + `, le="1"}`:                                             "1@",
		`{__name__="http_took_seconds_bucket", ` + who + `, le="+Inf"}`:                                          "1@",
		`{__name__="http_took_seconds_sum", ` + who + `}`:                                                        "0.5@",
		`{__name__="size_bytes", ` + who + `}`:                                                                   "{count:1, sum:3000",
		`{__name__="queue_depth", ` + who + `}`:                                                                  "7@",
	}
	for name, compression := range map[string]otlpmetrichttp.Compression{
		"as it is": otlpmetrichttp.NoCompression, "compressed": otlpmetrichttp.GzipCompression,
	} {
		t.Run(name, func(t *testing.T) {
			var refuse error
			w := newWorld(t, receive.Options{Refuse: func() error { return refuse }}, nil)
			export := w.application(otlpmetrichttp.WithCompression(compression))
			refuse = errors.New("the disk is nearly full")
			if err := export(); err == nil || !strings.Contains(err.Error(), "nearly full") {
				t.Errorf("while nothing is taken in: error %v", err)
			}
			refuse = nil
			if err := export(); err != nil {
				t.Fatal(err)
			}
			all := w.stored()
			for series, value := range want {
				if len(all[series]) != 1 || !strings.HasPrefix(all[series][0], value) {
					t.Errorf("%s: %v, want %s", series, all[series], value)
				}
			}
			if t.Failed() {
				t.Logf("stored %v", all)
			}
		})
	}
}

func TestAnApplicationThatExportsDifferencesIsTold(t *testing.T) {
	w := newWorld(t, receive.Options{}, nil)
	export := w.application(otlpmetrichttp.WithTemporalitySelector(func(sdk.InstrumentKind) metricdata.Temporality { return metricdata.DeltaTemporality }),
		otlpmetrichttp.WithTimeout(time.Minute))
	_ = export() // whether the exporter passes the message on differs between its releases
	if n := w.total("refused_samples_total", "reason", gate.Delta); n != 3 {
		t.Errorf("%v refused, want the counter and both histograms", n)
	}
	if all := w.stored(); len(all[`{__name__="queue_depth", container_name="web", instance="i-1", job="shop/cart"}`]) != 1 {
		t.Errorf("stored %v", all)
	}
}

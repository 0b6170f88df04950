package otlp

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/otlptranslator"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// A point's own time may be so far from now.
const (
	maxAge   = time.Minute
	maxAhead = 5 * time.Second
)

// maxText bounds a metric's description.
const maxText = 512 // bytes

// export brings one request into the table.
type export struct {
	feed    *push.Feed
	now     time.Time
	powers  []float64
	origin  push.Origin
	scope   *commonpb.InstrumentationScope
	labels  push.Labels
	values  values
	refused [push.Reasons]int // points
}

// request takes all of a request and returns the answer to it.
func (x *export) request(r *collectorpb.ExportMetricsServiceRequest) *collectorpb.ExportMetricsServiceResponse {
	for _, of := range r.GetResourceMetrics() {
		x.resource(of)
	}
	answer := new(collectorpb.ExportMetricsServiceResponse)
	rejected, why := 0, []string{}
	for reason, n := range x.refused {
		if n > 0 {
			rejected += n
			why = append(why, fmt.Sprintf("%d %s", n, push.Reason(reason)))
		}
	}
	if rejected > 0 {
		answer.PartialSuccess = &collectorpb.ExportMetricsPartialSuccess{
			RejectedDataPoints: int64(rejected),
			ErrorMessage:       "not taken: " + strings.Join(why, ", "),
		}
	}
	return answer
}

// refuse counts points that are not taken.
func (x *export) refuse(why push.Reason, points int) {
	if why != 0 {
		x.refused[why] += points
		x.feed.Drop(why, points)
	}
}

func (x *export) resource(of *metricspb.ResourceMetrics) {
	var why push.Reason
	if x.origin, why = origin(of.GetResource().GetAttributes()); why != 0 {
		for _, scoped := range of.GetScopeMetrics() {
			for _, m := range scoped.GetMetrics() {
				x.refuse(why, points(m))
			}
		}
		return
	}
	if len(of.GetScopeMetrics()) > 0 {
		x.feed.Drop(x.target(of.GetResource().GetAttributes()), 1)
	}
	for _, scoped := range of.GetScopeMetrics() {
		x.scope = scoped.GetScope()
		for _, m := range scoped.GetMetrics() {
			x.metric(m)
		}
	}
}

// target says what else is known of a resource.
func (x *export) target(attributes []*commonpb.KeyValue) push.Reason {
	if why := describe(&x.labels, attributes); why != 0 {
		return why
	}
	if x.labels.Len() == 0 {
		return 0
	}
	return x.point(&push.Metric{Name: "target_info", Help: "Target metadata.", Kind: push.Gauge}, func(p *push.Point) push.Reason { return p.Set(1) })
}

// points is how many points a metric has.
func points(m *metricspb.Metric) int {
	return len(m.GetGauge().GetDataPoints()) + len(m.GetSum().GetDataPoints()) + len(m.GetHistogram().GetDataPoints()) +
		len(m.GetExponentialHistogram().GetDataPoints()) + len(m.GetSummary().GetDataPoints())
}

// metric takes all points of a metric.
func (x *export) metric(m *metricspb.Metric) {
	to, why := translated(m)
	if why != 0 {
		x.refuse(why, max(points(m), 1))
		return
	}
	for _, p := range m.GetGauge().GetDataPoints() {
		x.refuse(x.number(to, p), 1)
	}
	for _, p := range m.GetSum().GetDataPoints() {
		x.refuse(x.number(to, p), 1)
	}
	for _, p := range m.GetHistogram().GetDataPoints() {
		x.refuse(x.histogram(to, p), 1)
	}
	for _, p := range m.GetExponentialHistogram().GetDataPoints() {
		x.refuse(x.exponential(to, p), 1)
	}
	for _, p := range m.GetSummary().GetDataPoints() {
		x.refuse(x.summary(to, p), 1)
	}
}

// translated is what a metric comes to, but for the bounds, which its points have.
func translated(m *metricspb.Metric) (push.Metric, push.Reason) {
	if len(m.GetName()) > maxIdentity || len(m.GetUnit()) > maxIdentity {
		return push.Metric{}, push.TooLong
	}
	to := push.Metric{Kind: push.Gauge, Help: strings.Clone(m.GetDescription()[:min(len(m.GetDescription()), maxText)])}
	to.Help = strings.ToValidUTF8(to.Help, "") // a character may have been cut
	from := otlptranslator.Metric{Name: m.GetName(), Unit: m.GetUnit(), Type: otlptranslator.MetricTypeGauge}
	temporality := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	switch data := m.GetData().(type) {
	case *metricspb.Metric_Gauge:
	case *metricspb.Metric_Sum:
		temporality = data.Sum.GetAggregationTemporality()
		from.Type = otlptranslator.MetricTypeNonMonotonicCounter
		if data.Sum.GetIsMonotonic() {
			to.Kind, from.Type = push.Counter, otlptranslator.MetricTypeMonotonicCounter
		}
	case *metricspb.Metric_Histogram:
		temporality = data.Histogram.GetAggregationTemporality()
		to.Kind, from.Type = push.Histogram, otlptranslator.MetricTypeHistogram
	case *metricspb.Metric_ExponentialHistogram:
		temporality = data.ExponentialHistogram.GetAggregationTemporality()
		to.Kind, from.Type = push.Histogram, otlptranslator.MetricTypeExponentialHistogram
	case *metricspb.Metric_Summary:
		to.Kind, from.Type = push.Summary, otlptranslator.MetricTypeSummary
	default:
		return to, push.Unsupported
	}
	switch temporality {
	case metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE:
	case metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA:
		to.Held = true
	default:
		return to, push.Unsupported
	}
	metrics := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	units := otlptranslator.UnitNamer{}
	var err error
	if to.Name, err = metrics.Build(from); err != nil {
		return to, push.Malformed
	}
	to.Unit = units.Build(m.GetUnit())
	return to, 0
}

// dated is what all points have.
type dated interface {
	GetAttributes() []*commonpb.KeyValue
	GetTimeUnixNano() uint64
	GetFlags() uint32
}

// prepare gathers the labels of a point, if it is of now.
func (x *export) prepare(p dated) push.Reason {
	now := x.now.UnixNano()
	switch at := p.GetTimeUnixNano(); {
	case at > uint64(now+int64(maxAhead)):
		return push.Future
	case at < uint64(now-int64(maxAge)):
		return push.TooOld
	}
	x.labels.Reset()
	for _, a := range p.GetAttributes() {
		if why := add(&x.labels, a.GetKey(), text(a.GetValue())); why != 0 {
			return why
		}
	}
	x.labels.Add("otel_scope_name", "", x.scope.GetName())
	x.labels.Add("otel_scope_version", "", x.scope.GetVersion())
	return 0
}

// point does something to the point that the labels at hand make of a metric.
func (x *export) point(m *push.Metric, do func(*push.Point) push.Reason) push.Reason {
	x.feed.Begin()
	defer x.feed.End()
	p, why := x.feed.From(x.origin).Point(m, &x.labels)
	if why != 0 {
		return why
	}
	return do(p)
}

// put gives a point its value, in its turn, or ends it if it has none.
func (x *export) put(m *push.Metric, from dated, do func(*push.Point) push.Reason) push.Reason {
	why := x.point(m, func(p *push.Point) push.Reason {
		if !p.Follows(from.GetTimeUnixNano(), !m.Held) {
			return push.OutOfOrder
		}
		if none(from) {
			p.End()
			return 0
		}
		return do(p)
	})
	if why == 0 {
		x.feed.Take(1)
	}
	return why
}

// none tells whether a point says that there is no value any more.
func none(p dated) bool {
	return p.GetFlags()&uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK) != 0
}

func (x *export) number(m push.Metric, p *metricspb.NumberDataPoint) push.Reason {
	if why := x.prepare(p); why != 0 {
		return why
	}
	v := math.NaN()
	switch n := p.GetValue().(type) {
	case *metricspb.NumberDataPoint_AsDouble:
		v = n.AsDouble
	case *metricspb.NumberDataPoint_AsInt:
		v = float64(n.AsInt)
	default:
		if !none(p) {
			return push.Malformed
		}
	}
	return x.put(&m, p, func(to *push.Point) push.Reason {
		if m.Held {
			return to.Add(v)
		}
		return to.Set(v)
	})
}

func (x *export) histogram(m push.Metric, p *metricspb.HistogramDataPoint) push.Reason {
	if why := x.prepare(p); why != 0 {
		return why
	}
	m.Bounds = p.GetExplicitBounds()
	var why push.Reason
	if x.values, why = explicit(p, x.values); why != 0 {
		return why
	}
	return x.all(&m, p)
}

func (x *export) exponential(m push.Metric, p *metricspb.ExponentialHistogramDataPoint) push.Reason {
	if why := x.prepare(p); why != 0 {
		return why
	}
	m.Bounds = x.powers
	var why push.Reason
	if x.values, why = exponential(p, m.Bounds, x.values); why != 0 {
		return why
	}
	return x.all(&m, p)
}

func (x *export) summary(m push.Metric, p *metricspb.SummaryDataPoint) push.Reason {
	if why := x.prepare(p); why != 0 {
		return why
	}
	var why push.Reason
	if x.values, m.Bounds, why = quantiles(p, x.values); why != 0 {
		return why
	}
	return x.all(&m, p)
}

// all puts the values at hand.
func (x *export) all(m *push.Metric, p dated) push.Reason {
	return x.put(m, p, func(to *push.Point) push.Reason {
		if m.Held {
			return to.AddAll(x.values)
		}
		return to.SetAll(x.values)
	})
}

package receive

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

// prune takes out of OTLP metrics what must not reach the translator: points of
// another time, since it fills the span between the first and the last; and
// differences, since nobody here keeps the totals.
func prune(b *batch, m pmetric.Metrics) {
	m.ResourceMetrics().RemoveIf(func(of pmetric.ResourceMetrics) bool {
		of.ScopeMetrics().RemoveIf(func(of pmetric.ScopeMetrics) bool {
			of.Metrics().RemoveIf(func(m pmetric.Metric) bool { return pruneMetric(b, m) == 0 })
			return of.Metrics().Len() == 0
		})
		return of.ScopeMetrics().Len() == 0
	})
}

// pruneMetric returns how many points are left.
func pruneMetric(b *batch, m pmetric.Metric) int {
	refuse := func(why gate.Reason, n int) { b.refuse(why, n, labels.FromStrings(model.MetricNameLabel, m.Name())) }
	late := func(at pcommon.Timestamp) bool {
		why := b.window.Check(int64(at / pcommon.Timestamp(time.Millisecond)))
		if why != "" {
			refuse(why, 1)
		}
		return why != ""
	}
	temporality := pmetric.AggregationTemporalityCumulative
	left := 0
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		points := m.Gauge().DataPoints()
		points.RemoveIf(func(p pmetric.NumberDataPoint) bool { return late(p.Timestamp()) })
		left = points.Len()
	case pmetric.MetricTypeSum:
		points := m.Sum().DataPoints()
		points.RemoveIf(func(p pmetric.NumberDataPoint) bool { return late(p.Timestamp()) })
		left, temporality = points.Len(), m.Sum().AggregationTemporality()
	case pmetric.MetricTypeHistogram:
		points := m.Histogram().DataPoints()
		points.RemoveIf(func(p pmetric.HistogramDataPoint) bool { return late(p.Timestamp()) })
		left, temporality = points.Len(), m.Histogram().AggregationTemporality()
	case pmetric.MetricTypeExponentialHistogram:
		points := m.ExponentialHistogram().DataPoints()
		points.RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool { return late(p.Timestamp()) })
		left, temporality = points.Len(), m.ExponentialHistogram().AggregationTemporality()
	case pmetric.MetricTypeSummary:
		points := m.Summary().DataPoints()
		points.RemoveIf(func(p pmetric.SummaryDataPoint) bool { return late(p.Timestamp()) })
		left = points.Len()
	}
	if temporality != pmetric.AggregationTemporalityCumulative {
		refuse(gate.Delta, left)
		return 0
	}
	return left
}

package receive

import (
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
)

// maxDescribed bounds what is remembered of metrics, and maxText what is said
// of each.
const (
	maxDescribed = 20_000
	maxText      = 1024 // bytes
)

// Metric is what is known of a metric besides its samples.
type Metric struct{ Name, Type, Help, Unit string } // Type as Prometheus spells it

// described remembers what senders say of their metrics.
type described struct {
	mu    sync.Mutex
	known map[Metric]struct{}
}

func (d *described) learn(m Metric) {
	if m.Name == "" || m.Type == "" || m.Type == string(model.MetricTypeUnknown) && m.Help == "" ||
		max(len(m.Name), len(m.Help), len(m.Unit)) > maxText {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[Metric]struct{}{}
	}
	if len(d.known) < maxDescribed {
		d.known[m] = struct{}{}
	}
}

// Metadata lists the metrics that senders have described since the start, in no
// order. A metric stands there once for each thing that they say of it.
func (r *Receiver) Metadata() []Metric {
	r.known.mu.Lock()
	defer r.known.mu.Unlock()
	list := make([]Metric, 0, len(r.known.known))
	for m := range r.known.known {
		list = append(list, m)
	}
	return list
}

func metricType1(t prompb.MetricMetadata_MetricType) model.MetricType {
	switch t {
	case prompb.MetricMetadata_COUNTER:
		return model.MetricTypeCounter
	case prompb.MetricMetadata_GAUGE:
		return model.MetricTypeGauge
	case prompb.MetricMetadata_HISTOGRAM:
		return model.MetricTypeHistogram
	case prompb.MetricMetadata_GAUGEHISTOGRAM:
		return model.MetricTypeGaugeHistogram
	case prompb.MetricMetadata_SUMMARY:
		return model.MetricTypeSummary
	case prompb.MetricMetadata_INFO:
		return model.MetricTypeInfo
	case prompb.MetricMetadata_STATESET:
		return model.MetricTypeStateset
	}
	return model.MetricTypeUnknown
}

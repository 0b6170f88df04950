package ingest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// What every series of a stream has, whatever the agent says.
const (
	nodeLabel     = gate.NodeLabel
	instanceLabel = model.InstanceLabel
	instancePort  = gate.InstancePort
)

// series is an entry of a stream's table. The store's reference is kept here
// and nowhere else: used for another series, it would write there.
type series struct {
	// What each value needs comes first: a frame passes thousands of series, and
	// each cache line that it touches of one costs more than what is done there.
	labels  labels.Labels
	ref     storage.SeriesRef
	refused gate.Reason // why no sample of it is wanted; "" if they are

	// What the tokens refer to.
	divisor float64
	integer int64
	last    uint64 // bits of its last value

	// What the store has of it.
	at     int64 // of its latest sample, in ms
	live   bool  // that was a value: its end has to be marked
	known  bool  // it has had a value on this stream
	asked  bool  // the store has been asked whether it knows the series
	placed bool  // stands in a layout
	class  class

	// What stands for it with the watch, as of that epoch.
	epoch   uint64
	watched any

	barred int64 // until when the store has no room for it, in ms
	meta   metadata.Metadata
}

// name is the series as people write it.
func (s *series) name() string { return s.labels.String() }

// builder makes labels of symbols, within limits. The labels node and instance
// are those of the stream, whatever the agent says.
type builder struct {
	node, instance string
	limits         Limits
	scratch        []labels.Label
	labels         labels.ScratchBuilder
}

func newBuilder(node string, limits Limits) builder {
	return builder{node: node, instance: node + instancePort, limits: limits, labels: labels.NewScratchBuilder(16)}
}

// build returns the labels of a series whose symbols are name, then label names
// and values in turn; or why they are not wanted.
func (b *builder) build(symbols []string) (labels.Labels, gate.Reason) {
	name, pairs := symbols[0], symbols[1:]
	if why := b.limits.Limits.Series(name, pairs); why != "" {
		return labels.FromStrings(model.MetricNameLabel, shorten(name), nodeLabel, b.node), why
	}
	b.scratch = append(b.scratch[:0],
		labels.Label{Name: model.MetricNameLabel, Value: name},
		labels.Label{Name: nodeLabel, Value: b.node},
		labels.Label{Name: instanceLabel, Value: b.instance})
	for i := 0; i < len(pairs); i += 2 {
		switch {
		case pairs[i] == nodeLabel || pairs[i] == instanceLabel:
		case pairs[i+1] == "": // the same as no label
		default:
			b.scratch = append(b.scratch, labels.Label{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	slices.SortFunc(b.scratch, func(a, b labels.Label) int { return cmp.Compare(a.Name, b.Name) })
	b.labels.Reset()
	for i, l := range b.scratch {
		if i > 0 && l.Name == b.scratch[i-1].Name {
			return labels.FromStrings(model.MetricNameLabel, name, nodeLabel, b.node), gate.Twice
		}
		b.labels.Add(l.Name, l.Value)
	}
	return b.labels.Labels(), ""
}

// shorten makes of a name something to show.
func shorten(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func metricType(t plimsollv1.MetricType) model.MetricType {
	switch t {
	case plimsollv1.MetricType_METRIC_TYPE_COUNTER:
		return model.MetricTypeCounter
	case plimsollv1.MetricType_METRIC_TYPE_GAUGE:
		return model.MetricTypeGauge
	}
	return model.MetricTypeUnknown
}

package ingest

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// instancePort stands in every instance label, so that dashboards made for
// node_exporter find what they expect.
const instancePort = ":9100"

const (
	nodeLabel     = "node"
	instanceLabel = "instance"
)

// series is an entry of a stream's table. The store's reference is kept here
// and nowhere else: used for another series, it would write there.
type series struct {
	labels  labels.Labels
	meta    metadata.Metadata
	ref     storage.SeriesRef
	refused string // why no sample of it is wanted; "" if they are
	placed  bool   // stands in a layout

	// What the tokens refer to.
	divisor float64
	integer int64
	last    uint64 // bits of its last value
	known   bool   // it has had a value on this stream

	// What the store has of it.
	at    int64 // of its latest sample, in ms
	live  bool  // that was a value: its end has to be marked
	asked bool  // the store has been asked whether it knows the series
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
func (b *builder) build(symbols []string) (labels.Labels, string) {
	name, pairs := symbols[0], symbols[1:]
	if why := b.check(name, pairs); why != "" {
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
			return labels.FromStrings(model.MetricNameLabel, name, nodeLabel, b.node), reasonTwice
		}
		b.labels.Add(l.Name, l.Value)
	}
	return b.labels.Labels(), ""
}

func (b *builder) check(name string, pairs []string) string {
	if name == "" {
		return reasonNoName
	}
	if len(name) > int(b.limits.LabelValueBytes) {
		return reasonLabelValue
	}
	if !utf8.ValidString(name) {
		return reasonUTF8
	}
	if strings.HasPrefix(name, reservedPrefix) {
		return reasonReserved
	}
	if len(pairs)/2 > int(b.limits.LabelsPerSeries) {
		return reasonLabels
	}
	for i := 0; i < len(pairs); i += 2 {
		key, value := pairs[i], pairs[i+1]
		switch {
		case len(key) > int(b.limits.LabelNameBytes):
			return reasonLabelName
		case len(value) > int(b.limits.LabelValueBytes):
			return reasonLabelValue
		case !utf8.ValidString(key) || !utf8.ValidString(value):
			return reasonUTF8
		case key == "":
			return reasonNoName
		case key == model.MetricNameLabel:
			return reasonReserved
		case name == upName && key == model.JobLabel && value == agentJob:
			return reasonReserved // whether an agent is there is not for it to say
		}
	}
	return ""
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

package push

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Kind is what a metric is.
type Kind uint8

// The kinds.
const (
	Counter   Kind = iota + 1
	Gauge          //
	Histogram      // with classic buckets
	Summary        // with quantiles that the sender has computed
	Set            // a gauge: how many distinct things were seen between its last two turns
)

// Metric is what a listener makes of what it was sent.
type Metric struct {
	Name string // as Prometheus allows it, with its suffixes
	Help string
	Unit string
	Kind Kind
	// Bounds are the upper bounds of a histogram's buckets, ascending and
	// without +Inf, or the quantiles of a summary.
	Bounds []float64
	// Held says that the values are added up or kept here rather than by the
	// sender, so that they are true for as long as nothing else is said.
	Held bool
}

// width is the number of a metric's series. Their order is: buckets or
// quantiles, sum, count.
func (m *Metric) width() int {
	switch m.Kind {
	case Histogram:
		return len(m.Bounds) + 3
	case Summary:
		return len(m.Bounds) + 2
	}
	return 1
}

// names are what the series are called, for nobody else to be called so.
func (m *Metric) names() []string {
	switch m.Kind {
	case Histogram:
		return []string{m.Name, m.Name + "_bucket", m.Name + "_sum", m.Name + "_count"}
	case Summary:
		return []string{m.Name, m.Name + "_sum", m.Name + "_count"}
	}
	return []string{m.Name}
}

// family is a sender's metric: what its points share.
type family struct {
	Metric
	key    string
	series []sample.Series
	points int
}

// appendFamilyKey makes of m what tells it from others of the same sender.
func appendFamilyKey(dst []byte, m *Metric) []byte {
	dst = append(dst, m.Name...)
	dst = append(dst, 0, byte(m.Kind), 0)
	if m.Held {
		dst[len(dst)-1] = 1
	}
	for _, b := range m.Bounds {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(b))
	}
	return dst
}

func newFamily(m *Metric, key string) *family {
	f := &family{Metric: *m, key: key}
	f.Bounds = slices.Clone(m.Bounds)
	add := func(suffix string, t sample.Type, labels ...string) {
		var metric *sample.Metric
		if n := len(f.series); n > 0 && f.series[n-1].Metric.Name == m.Name+suffix {
			metric = f.series[n-1].Metric
		} else {
			metric = &sample.Metric{Name: m.Name + suffix, Help: m.Help, Type: t, Unit: m.Unit}
		}
		s := sample.Series{Metric: metric}
		if len(labels) > 0 {
			s.Labels = []sample.Label{{Name: labels[0], Value: labels[1]}}
		}
		f.series = append(f.series, s)
	}
	switch m.Kind {
	case Counter:
		add("", sample.Counter)
	case Gauge, Set:
		add("", sample.Gauge)
	case Histogram:
		for _, bound := range m.Bounds {
			add("_bucket", sample.Counter, "le", number(bound))
		}
		add("_bucket", sample.Counter, "le", "+Inf")
	case Summary:
		for _, q := range m.Bounds {
			add("", sample.Gauge, "quantile", number(q))
		}
	}
	if m.Kind == Histogram || m.Kind == Summary {
		add("_sum", sample.Counter)
		add("_count", sample.Counter)
	}
	return f
}

// Ascending tells whether bounds can be those of a Metric.
func Ascending(bounds []float64) bool {
	for i, b := range bounds {
		if !finite(b) || i > 0 && b <= bounds[i-1] {
			return false
		}
	}
	return true
}

// number is a bound as Prometheus writes it in labels.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

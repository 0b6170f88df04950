package textfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// The bounds of one series.
const (
	maxLabels     = 32
	maxNameBytes  = 200
	maxValueBytes = 1024
)

// Sample is one line of a file.
type Sample struct {
	Name, Help string
	Type       sample.Type
	Labels     []sample.Label // sorted by name
	Value      float64
}

// ErrTime says that a line has a time of its own. What a file says is as old
// as the file, and node_textfile_mtime_seconds tells that.
var ErrTime = errors.New("lines with times are not taken, remove the times")

// Parse reads Prometheus' text format. Histograms and summaries come as the
// series they consist of. The samples are sorted by name and labels. leftOut
// are those whose labels are beyond bounds.
func Parse(data []byte) (samples []Sample, leftOut int, err error) {
	all, err := decode(data)
	if err != nil {
		return nil, 0, err
	}
	found := len(all)
	samples = slices.DeleteFunc(all, func(s Sample) bool { return !s.bounded() })
	slices.SortStableFunc(samples, Sample.compare)
	return samples, found - len(samples), nil
}

// decode leaves the parsing to the library, which panics at some broken input,
// such as a line "{}0".
func decode(data []byte) (all []Sample, err error) {
	defer func() {
		if p := recover(); p != nil {
			all, err = nil, fmt.Errorf("not Prometheus' text format: %v", p)
		}
	}()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		of := family{name: name, help: families[name].GetHelp(), all: &all}
		for _, m := range families[name].GetMetric() {
			if m.TimestampMs != nil {
				return nil, fmt.Errorf("%s: %w", name, ErrTime)
			}
			of.labels = of.labels[:0]
			for _, l := range m.GetLabel() {
				of.labels = append(of.labels, sample.Label{Name: export(l.GetName()), Value: l.GetValue()})
			}
			switch {
			case m.Counter != nil:
				of.add("", sample.Counter, m.GetCounter().GetValue())
			case m.Gauge != nil:
				of.add("", sample.Gauge, m.GetGauge().GetValue())
			case m.Untyped != nil:
				of.add("", sample.Untyped, m.GetUntyped().GetValue())
			case m.Summary != nil:
				s := m.GetSummary()
				for _, q := range s.GetQuantile() {
					of.add("", sample.Gauge, q.GetValue(), sample.Label{Name: "quantile", Value: number(q.GetQuantile())})
				}
				of.total(s.GetSampleSum(), float64(s.GetSampleCount()))
			case m.Histogram != nil:
				h := m.GetHistogram()
				count := max(h.GetSampleCountFloat(), float64(h.GetSampleCount()))
				unbounded := false
				for _, bucket := range h.GetBucket() {
					unbounded = unbounded || math.IsInf(bucket.GetUpperBound(), 1)
					of.bucket(bucket.GetUpperBound(), max(bucket.GetCumulativeCountFloat(), float64(bucket.GetCumulativeCount())))
				}
				if !unbounded {
					of.bucket(math.Inf(1), count)
				}
				of.total(h.GetSampleSum(), count)
			}
		}
	}
	return all, nil
}

// family is one metric of a file, whose series are added to all.
type family struct {
	name, help string
	labels     []sample.Label // of the series at hand
	all        *[]Sample
}

func (f family) add(suffix string, t sample.Type, v float64, more ...sample.Label) {
	labels := append(slices.Clone(f.labels), more...)
	slices.SortFunc(labels, func(a, b sample.Label) int { return strings.Compare(a.Name, b.Name) })
	*f.all = append(*f.all, Sample{Name: f.name + suffix, Help: f.help, Type: t, Labels: labels, Value: v})
}

func (f family) bucket(bound, count float64) {
	f.add("_bucket", sample.Counter, count, sample.Label{Name: "le", Value: number(bound)})
}

func (f family) total(sum, count float64) {
	f.add("_sum", sample.Counter, sum)
	f.add("_count", sample.Counter, count)
}

// export renames the labels that say where a series is from, as Prometheus does
// with those of a target.
func export(label string) string {
	switch label {
	case "job", "instance", "node", "agent":
		return "exported_" + label
	}
	return label
}

// number is a bound as Prometheus writes it in labels.
func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// bounded tells whether s has few and short enough labels, each once.
func (s *Sample) bounded() bool {
	if len(s.Name) > maxNameBytes || len(s.Labels) > maxLabels {
		return false
	}
	for i, l := range s.Labels {
		if len(l.Name) > maxNameBytes || len(l.Value) > maxValueBytes || i > 0 && s.Labels[i-1].Name == l.Name {
			return false
		}
	}
	return true
}

func (s Sample) compare(other Sample) int {
	return cmp.Or(
		strings.Compare(s.Name, other.Name),
		slices.CompareFunc(s.Labels, other.Labels, func(a, b sample.Label) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
		}),
	)
}

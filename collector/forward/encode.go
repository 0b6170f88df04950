package forward

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/util/compression"
)

// encoder makes requests of batches. It belongs to one goroutine. What it
// returns is never used again: a transport may still read a body whose request
// has been answered.
type encoder struct {
	version2 bool

	v1      prompb.WriteRequest
	v2      writev2.Request
	symbols writev2.SymbolsTable
	raw     []byte
}

func newEncoder(version2 bool) *encoder {
	return &encoder{version2: version2, symbols: writev2.NewSymbolTable()}
}

func (e *encoder) encode(b batch) ([]byte, error) {
	var err error
	if e.version2 {
		e.fill2(b)
		e.raw, err = e.v2.OptimizedMarshal(e.raw)
	} else {
		e.fill1(b)
		err = e.marshal(&e.v1)
	}
	if err != nil {
		return nil, err
	}
	return compression.Encode(compression.Snappy, e.raw, nil)
}

func (e *encoder) marshal(r *prompb.WriteRequest) error {
	n := r.Size()
	if cap(e.raw) < n {
		e.raw = make([]byte, n+n/4)
	}
	e.raw = e.raw[:n]
	_, err := r.MarshalToSizedBuffer(e.raw)
	return err
}

func (e *encoder) fill1(b batch) {
	list := resized(e.v1.Timeseries, len(b.parts))
	for i, p := range b.parts {
		ts := &list[i]
		ts.Labels = prompb.FromLabels(p.labels, ts.Labels)
		ts.Samples = ts.Samples[:0]
		for _, s := range p.samples {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: s.value, Timestamp: s.at})
		}
	}
	e.v1.Timeseries = list
}

func (e *encoder) fill2(b batch) {
	e.symbols.Reset()
	list := resized(e.v2.Timeseries, len(b.parts))
	for i, p := range b.parts {
		ts := &list[i]
		ts.LabelsRefs = e.symbols.SymbolizeLabels(p.labels, ts.LabelsRefs)
		ts.Metadata.Type = writev2.FromMetadataType(model.MetricType(p.metric.Type))
		ts.Metadata.HelpRef, ts.Metadata.UnitRef = e.symbols.Symbolize(p.metric.Help), e.symbols.Symbolize(p.metric.Unit)
		ts.Samples = ts.Samples[:0]
		for _, s := range p.samples {
			ts.Samples = append(ts.Samples, writev2.Sample{Value: s.value, Timestamp: s.at})
		}
	}
	e.v2.Timeseries, e.v2.Symbols = list, e.symbols.Symbols()
}

// encodeMetadata makes a request of what is known of metrics, by name: version 1
// has it apart from the samples.
func (e *encoder) encodeMetadata(metrics map[string]Metric) ([]byte, error) {
	r := prompb.WriteRequest{}
	for name, m := range metrics {
		r.Metadata = append(r.Metadata, prompb.MetricMetadata{
			MetricFamilyName: name, Type: prompb.FromMetadataType(model.MetricType(m.Type)), Help: m.Help, Unit: m.Unit,
		})
	}
	if err := e.marshal(&r); err != nil {
		return nil, err
	}
	return compression.Encode(compression.Snappy, e.raw, nil)
}

// resized keeps the elements of list, with what they have allocated.
func resized[T any](list []T, n int) []T {
	if cap(list) < n {
		list = append(list[:cap(list)], make([]T, n-cap(list))...)
	}
	return list[:n]
}

// family is the metric that a series' name belongs to: histograms and summaries
// have several names.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if f, ok := strings.CutSuffix(name, suffix); ok {
			return f
		}
	}
	return name
}

package scrape

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// What a parser may be given. While it works, a label of five bytes takes it a
// hundred, and an empty bucket in protobuf two hundred.
const (
	maxProtobufBytes = 256 << 10
	maxSeriesBytes   = 256 << 10 // of one series in text
)

// manySamples is how many times more samples than a target may have series it
// may write. The rest would only take time.
const manySamples = 10

// maxHelpBytes of a metric; the rest is cut off.
const maxHelpBytes = 1024

// point is one sample as the target wrote it. It is only good during the call
// that it is given to.
type point struct {
	family *family
	labels labels.Labels // the name among them
	dated  bool          // it has a time of its own that is far from now
	value  float64
}

// parse gives each sample of an exposition to put, in its order, until that
// fails. It leaves parsing to Prometheus, which panics at some input. What is of
// no type that it knows is taken for text, as Prometheus 2 did.
func parse(e exposition, now time.Time, tolerance time.Duration, put func(point) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = failed(Malformed, fmt.Errorf("the parser gave up: %v", p))
		}
	}()
	if !e.isProtobuf() && !shortSeries(e.body) {
		return failed(TooLarge, fmt.Errorf("a series is longer than %d bytes", maxSeriesBytes))
	}
	parser, err := textparse.New(e.body, e.contentType, labels.NewSymbolTable(), textparse.ParserOptions{
		IgnoreNativeHistograms:  true, // their count and sum are taken
		OpenMetricsSkipSTSeries: true,
		FallbackContentType:     "text/plain",
	})
	if parser == nil {
		return failed(Malformed, err)
	}
	f := new(family)
	of := func(name []byte) *family {
		if f.name != string(name) {
			f = &family{name: string(name)}
		}
		return f
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return failed(Malformed, shortened(err))
		}
		switch entry {
		case textparse.EntryType:
			name, kind := parser.Type()
			of(name).kind = kind
		case textparse.EntryHelp:
			name, help := parser.Help()
			of(name).help = strings.ToValidUTF8(string(help[:min(len(help), maxHelpBytes)]), "")
		case textparse.EntryUnit:
			name, unit := parser.Unit()
			of(name).unit = string(unit)
		case textparse.EntrySeries:
			_, at, v := parser.Series()
			p := point{family: f, value: v}
			if at != nil {
				p.dated = now.Sub(time.UnixMilli(*at)).Abs() > tolerance
			}
			if math.IsNaN(v) {
				p.value = math.NaN() // some NaNs mean what no target may say
			}
			parser.Labels(&p.labels)
			if err := put(p); err != nil {
				return err
			}
		}
	}
}

// shortSeries tells whether no line of a text is too long for a series. A
// newline in quotes ends no line, and in comments quotes are letters.
func shortSeries(text []byte) bool {
	start, blank, comment, quoted := 0, true, false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' && !quoted:
			if i-start > maxSeriesBytes {
				return false
			}
			start, blank, comment = i+1, true, false
			continue
		case comment, blank && (c == ' ' || c == '\t'):
			continue
		case blank && c == '#':
			comment = true
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		}
		blank = false
	}
	return len(text)-start <= maxSeriesBytes
}

// shortened is a parser's error without most of the input that it quotes.
func shortened(err error) error {
	text := err.Error() // it quotes what the target wrote
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return errors.New(strings.ToValidUTF8(text, "\uFFFD"))
}

// family is what a target says of the metrics of a name.
type family struct {
	name, help, unit string
	kind             model.MetricType
}

// metric is that of a series of the family, or of one that it says nothing of.
func (f *family) metric(name string) *sample.Metric {
	suffix, ok := strings.CutPrefix(name, f.name)
	if !ok {
		return &sample.Metric{Name: name}
	}
	t, ok := f.typeOf(suffix)
	if !ok {
		return &sample.Metric{Name: name}
	}
	unit := f.unit
	if suffix == "_count" || suffix == "_gcount" || suffix == "_bucket" {
		unit = ""
	}
	return &sample.Metric{Name: name, Help: f.help, Type: t, Unit: unit}
}

// typeOf tells what the series with a suffix are, and whether the family has
// such. Those of a histogram and of a summary count, but for the quantiles.
func (f *family) typeOf(suffix string) (sample.Type, bool) {
	switch f.kind {
	case model.MetricTypeCounter:
		return sample.Counter, suffix == "" || suffix == "_total"
	case model.MetricTypeGauge, model.MetricTypeStateset:
		return sample.Gauge, suffix == ""
	case model.MetricTypeInfo:
		return sample.Gauge, suffix == "" || suffix == "_info"
	case model.MetricTypeHistogram:
		return sample.Counter, suffix == "_bucket" || suffix == "_sum" || suffix == "_count"
	case model.MetricTypeGaugeHistogram:
		return sample.Gauge, suffix == "_bucket" || suffix == "_gsum" || suffix == "_gcount" || suffix == "_sum" || suffix == "_count"
	case model.MetricTypeSummary:
		if suffix == "" {
			return sample.Gauge, true
		}
		return sample.Counter, suffix == "_sum" || suffix == "_count"
	}
	return sample.Untyped, suffix == ""
}

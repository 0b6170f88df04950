package expose

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

const wantOpenMetrics = "application/openmetrics-text;version=1.0.0"

// parsed is what a Prometheus server makes of an exposition.
type parsed struct {
	values             map[string]float64 // by series
	types, help, units map[string]string  // by family
}

func parse(body []byte, contentType string) (parsed, error) {
	p := parsed{map[string]float64{}, map[string]string{}, map[string]string{}, map[string]string{}}
	parser, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return p, err
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return p, err
		}
		switch entry {
		case textparse.EntryType:
			name, kind := parser.Type()
			p.types[string(name)] = string(kind)
		case textparse.EntryHelp:
			name, help := parser.Help()
			p.help[string(name)] = string(help)
		case textparse.EntryUnit:
			name, unit := parser.Unit()
			p.units[string(name)] = string(unit)
		case textparse.EntrySeries:
			var ls labels.Labels
			_, at, value := parser.Series()
			parser.Labels(&ls)
			if at != nil {
				return p, fmt.Errorf("%s has a time", ls)
			}
			if _, twice := p.values[ls.String()]; twice {
				return p, fmt.Errorf("%s comes twice", ls)
			}
			p.values[ls.String()] = value
		}
	}
}

func TestPrometheusUnderstandsBothFormats(t *testing.T) {
	for _, accept := range []string{"text/plain", wantOpenMetrics} {
		w := get(fleet(), "/metrics", "Accept", accept)
		got, err := parse(w.Body.Bytes(), w.Header().Get("Content-Type"))
		if err != nil {
			t.Fatalf("%s: %v", accept, err)
		}
		want := map[string]float64{
			`{__name__="container_cpu_usage_seconds_total", cpu="total", id="/docker/web", job="cadvisor", name="web"}`: 12.5,
			`{__name__="container_cpu_usage_seconds_total", cpu="total", id="/docker/db", job="cadvisor", name="db"}`:   7,
			`{__name__="container_memory_failcnt", id="/docker/web", job="cadvisor", name="web"}`:                       3,
			`{__name__="container_memory_failcnt", id="/docker/db", job="cadvisor", name="db"}`:                         0,
			`{__name__="container_memory_usage_bytes", id="/docker/web", job="cadvisor", name="web"}`:                   1 << 20,
			`{__name__="container_memory_usage_bytes", id="/docker/db", job="cadvisor", name="db"}`:                     2 << 20,
			`{__name__="node_load1", job="node-exporter"}`:                                                              0.25,
			`{__name__="plimsoll_agent_build_info", job="plimsoll-agent", version="a\"b\\c\n"}`:                         1,
		}
		if diff := cmp.Diff(want, got.values); diff != "" {
			t.Errorf("%s:\n%s", accept, diff)
		}
		if accept == wantOpenMetrics {
			if diff := cmp.Diff(map[string]string{"container_cpu_usage_seconds": "seconds", "container_memory_usage_bytes": "bytes"}, got.units); diff != "" {
				t.Error(diff)
			}
			if k := got.types["container_cpu_usage_seconds"]; k != "counter" {
				t.Errorf("a counter is of type %q", k)
			}
		}
	}
}

func TestALargeExpositionIsWholeAndSaysNothingTwice(t *testing.T) {
	const containers = 1000 // which make several chunks of each family
	e := New(Options{})
	var b batch
	for i := range containers {
		b.with(one(fmt.Sprint("c", i)), float64(i), float64(i), float64(i))
	}
	e.Observe(&b.Batch)
	w := get(e, "/metrics", "Accept", wantOpenMetrics)
	got, err := parse(w.Body.Bytes(), w.Header().Get("Content-Type"))
	if err != nil || len(got.values) != 3*containers || len(got.types) != 3 {
		t.Errorf("%v, %d series of %d families", err, len(got.values), len(got.types))
	}
}

// TestTheTextPassesTheLinter runs what promtool check metrics runs.
func TestTheTextPassesTheLinter(t *testing.T) {
	e := New(Options{})
	var b batch
	b.with(one("web"), 1, 2, sample.Absent).with(ofJob("plimsoll-agent", sample.Series{Metric: info}), 1)
	e.Observe(&b.Batch)
	problems, err := promlint.New(get(e, "/metrics").Body).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestWhatPrometheusReadsIsWhatWasObserved renders any labels, help and values
// and has three parsers read them back.
func TestWhatPrometheusReadsIsWhatWasObserved(t *testing.T) {
	anyText := rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.SampledFrom([]rune("\"\\\n\r\t {},=#aé世\u2028"))),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	name := rapid.StringMatching(`[a-zA-Z_][a-zA-Z0-9_]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		metric := &sample.Metric{
			Name: rapid.StringMatching(`[a-zA-Z_:][a-zA-Z0-9_:]{0,12}(_total|_bytes|)`).Draw(t, "metric"),
			Help: strings.TrimLeft(anyText.Draw(t, "help"), " \t"), // which parsers take for the gap before it
			Type: rapid.SampledFrom([]sample.Type{sample.Untyped, sample.Counter, sample.Gauge}).Draw(t, "type"),
			Unit: rapid.SampledFrom([]string{"", "bytes", "seconds"}).Draw(t, "unit"),
		}
		names := rapid.SliceOfNDistinct(name, 0, 6, rapid.ID).Draw(t, "names")
		all := make([]sample.Label, len(names))
		want := labels.NewBuilder(labels.FromStrings("__name__", metric.Name))
		for i, n := range names {
			all[i] = sample.Label{Name: n, Value: anyText.Draw(t, "value of "+n)}
			want.Set(n, carried(all[i].Value))
		}
		cut := rapid.IntRange(0, len(all)).Draw(t, "labels of the group")
		value := rapid.OneOf(
			rapid.Float64(),
			rapid.Map(rapid.Int64(), func(n int64) float64 { return float64(n) }),
			rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1<<53 - 1, 1 << 53, math.MaxFloat64, math.SmallestNonzeroFloat64}),
		).Draw(t, "value")

		e := New(Options{})
		var b batch
		b.with(&sample.Group{Labels: all[:cut], Series: []sample.Series{{Metric: metric, Labels: all[cut:]}}}, value)
		e.Observe(&b.Batch)

		help, series := carried(metric.Help), want.Labels().String()
		for _, accept := range []string{"text/plain", wantOpenMetrics} {
			w := get(e, "/metrics", "Accept", accept)
			got, err := parse(w.Body.Bytes(), w.Header().Get("Content-Type"))
			if err != nil {
				t.Fatalf("%v in\n%s", err, w.Body)
			}
			if v, ok := got.values[series]; !ok || len(got.values) != 1 || !same(v, value) {
				t.Fatalf("read %v, want %s %v in\n%s", got.values, series, value, w.Body)
			}
			for family, read := range got.help {
				if read != help {
					t.Fatalf("help of %s is %q, want %q", family, read, help)
				}
			}
		}
		fromText(t, get(e, "/metrics").Body, series, value)
	})
}

// carried is what of s can be written: no format has a way to write what is not
// UTF-8, or a zero.
func carried(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// fromText reads with the parser that the rest of the world has.
func fromText(t *rapid.T, body io.Reader, series string, value float64) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(body)
	if err != nil || len(families) != 1 {
		t.Fatalf("expfmt: %v, %d families", err, len(families))
	}
	for name, family := range families {
		m := family.GetMetric()[0]
		got := labels.NewBuilder(labels.FromStrings("__name__", name))
		for _, l := range m.GetLabel() {
			got.Set(l.GetName(), l.GetValue())
		}
		read := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue() // one is set
		if got.Labels().String() != series || !same(read, value) && value != 0 {
			t.Fatalf("expfmt read %s %v, want %s %v", got.Labels(), read, series, value)
		}
	}
}

// same holds for a NaN and another, and tells the zeros apart.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

package scrape

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

const (
	textFormat  = "text/plain; version=0.0.4"
	openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// shelf is a book of a test with all that it counts. It checks what has to hold
// for all that comes out of it.
type shelf struct {
	t      testing.TB
	room   atomic.Int64
	counts counts
	book   book
	now    time.Time

	ended map[*sample.Group]bool
	began map[*sample.Group]int // groups that were out, and how many series they had
}

const shelfRoom = 100_000

func newShelf(t testing.TB) *shelf {
	s := &shelf{t: t, ended: map[*sample.Group]bool{}, began: map[*sample.Group]int{}, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	s.room.Store(shelfRoom)
	s.book = book{
		labels: []sample.Label{{Name: "id", Value: "/docker/1"}, {Name: "job", Value: "shop"}},
		every:  15, limit: 5000, room: &s.room, counts: &s.counts,
	}
	return s
}

// read is a scrape that brings text.
func (s *shelf) read(contentType, text string) ([]sample.Column, error) {
	s.t.Helper()
	s.book.begin(s.now)
	err := parse(exposition{[]byte(text), contentType}, s.now, time.Minute, s.book.put)
	if err != nil {
		columns := s.book.abandon()
		s.check(columns, nil, false)
		return columns, err
	}
	columns, ended, renewed := s.book.finish()
	s.check(columns, ended, renewed)
	return columns, nil
}

func (s *shelf) check(columns []sample.Column, ended []*sample.Group, renewed bool) {
	s.t.Helper()
	if renewed {
		for _, g := range ended {
			delete(s.began, g)
		}
	}
	for _, g := range ended {
		if s.ended[g] {
			s.t.Error("a group ends twice")
		}
		s.ended[g] = true
	}
	series := make(map[string]bool)
	for _, c := range columns {
		switch n, known := s.began[c.Group]; {
		case s.ended[c.Group]:
			s.t.Error("a group that has ended is back")
		case known && n != len(c.Group.Series):
			s.t.Error("a group has changed")
		case len(c.Values) != len(c.Group.Series), len(c.Values) == 0:
			s.t.Errorf("%d values of %d series", len(c.Values), len(c.Group.Series))
		}
		s.began[c.Group] = len(c.Group.Series)
		for _, one := range c.Group.Series {
			key := written(c.Group, one)
			if series[key] {
				s.t.Errorf("two cells of %s", key)
			}
			series[key] = true
		}
	}
	weighs := 0
	for key := range s.book.cells {
		weighs += weight(len(key))
	}
	if used := shelfRoom - int(s.room.Load()); used != weighs || len(series) != len(s.book.cells) {
		s.t.Errorf("%d series, %d of them known, take the room of %d, not %d", len(series), len(s.book.cells), used, weighs)
	}
}

// take is read of what has to be understood, as lines.
func (s *shelf) take(contentType, text string) []string {
	s.t.Helper()
	columns, err := s.read(contentType, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return lines(columns)
}

// lines are the values that are there, each with its type and labels.
func lines(columns []sample.Column) []string {
	var all []string
	for _, c := range columns {
		for i, v := range c.Values {
			if !sample.IsAbsent(v) {
				all = append(all, c.Group.Series[i].Metric.Type.String()+" "+written(c.Group, c.Group.Series[i])+" "+strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
	}
	return all
}

// written is a series as people write it, its name and labels in any order.
func written(g *sample.Group, s sample.Series) string {
	labels := make(map[string]string)
	var pairs []string
	for _, l := range s.Labels {
		if _, twice := labels[l.Name]; twice {
			panic("a label twice: " + l.Name)
		}
		labels[l.Name] = l.Value
		pairs = append(pairs, l.Name+"="+strconv.Quote(l.Value))
	}
	for _, l := range g.Labels {
		if _, twice := labels[l.Name]; twice {
			panic("a label twice: " + l.Name)
		}
	}
	slices.Sort(pairs)
	if len(pairs) == 0 {
		return s.Metric.Name
	}
	return s.Metric.Name + "{" + strings.Join(pairs, ",") + "}"
}

func (s *shelf) counted() map[string]uint64 {
	all := make(map[string]uint64)
	for r := range s.counts {
		if n := s.counts[r].Load(); n > 0 {
			all[Reason(r).String()] = n
		}
	}
	return all
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// delimited is families in protobuf, each behind its length.
func delimited(t testing.TB, families ...*dto.MetricFamily) string {
	t.Helper()
	var b bytes.Buffer
	for _, f := range families {
		data, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(binary.AppendUvarint(nil, uint64(len(data))))
		b.Write(data)
	}
	return b.String()
}

func TestEveryTypeComesAsTheSeriesItConsistsOf(t *testing.T) {
	all := []string{
		`counter orders_total{shop="a"} 7`,
		`gauge depth_bytes 1.5`,
		`counter took_seconds_bucket{le="0.5"} 1`,
		`counter took_seconds_bucket{le="+Inf"} 3`,
		`counter took_seconds_sum 4.5`,
		`counter took_seconds_count 3`,
		`gauge size{quantile="0.5"} 12`,
		`counter size_sum 30`,
		`counter size_count 2`,
		`untyped plain 5`,
	}
	tests := map[string]struct{ contentType, body string }{
		"text": {textFormat, `# HELP orders_total Orders taken.
# TYPE orders_total counter
orders_total{shop="a"} 7
# TYPE depth_bytes gauge
depth_bytes 1.5
# TYPE took_seconds histogram
took_seconds_bucket{le="0.5"} 1
took_seconds_bucket{le="+Inf"} 3
took_seconds_sum 4.5
took_seconds_count 3
# TYPE size summary
size{quantile="0.5"} 12
size_sum 30
size_count 2
plain 5
`},
		"OpenMetrics": {openMetrics, `# HELP orders Orders taken.
# TYPE orders counter
orders_total{shop="a"} 7 # {trace="x"} 1
orders_created{shop="a"} 1.7e9
# TYPE depth_bytes gauge
# UNIT depth_bytes bytes
depth_bytes 1.5
# TYPE took_seconds histogram
took_seconds_bucket{le="0.5"} 1
took_seconds_bucket{le="+Inf"} 3
took_seconds_sum 4.5
took_seconds_count 3
# TYPE size summary
size{quantile="0.5"} 12
size_sum 30
size_count 2
# TYPE plain unknown
plain 5
# EOF
`},
		"protobuf": {protobuf, delimited(t,
			&dto.MetricFamily{
				Name: proto.String("orders_total"), Help: proto.String("Orders taken."), Type: dto.MetricType_COUNTER.Enum(),
				Metric: []*dto.Metric{{Label: []*dto.LabelPair{{Name: proto.String("shop"), Value: proto.String("a")}}, Counter: &dto.Counter{Value: proto.Float64(7)}}},
			},
			&dto.MetricFamily{
				Name: proto.String("depth_bytes"), Type: dto.MetricType_GAUGE.Enum(), Unit: proto.String("bytes"),
				Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(1.5)}}},
			},
			&dto.MetricFamily{
				Name: proto.String("took_seconds"), Type: dto.MetricType_HISTOGRAM.Enum(),
				Metric: []*dto.Metric{{Histogram: &dto.Histogram{
					SampleCount: proto.Uint64(3), SampleSum: proto.Float64(4.5),
					Bucket: []*dto.Bucket{{UpperBound: proto.Float64(0.5), CumulativeCount: proto.Uint64(1)}},
				}}},
			},
			&dto.MetricFamily{
				Name: proto.String("size"), Type: dto.MetricType_SUMMARY.Enum(),
				Metric: []*dto.Metric{{Summary: &dto.Summary{
					SampleCount: proto.Uint64(2), SampleSum: proto.Float64(30),
					Quantile: []*dto.Quantile{{Quantile: proto.Float64(0.5), Value: proto.Float64(12)}},
				}}},
			},
			&dto.MetricFamily{
				Name: proto.String("plain"), Type: dto.MetricType_UNTYPED.Enum(),
				Metric: []*dto.Metric{{Untyped: &dto.Untyped{Value: proto.Float64(5)}}},
			},
		)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			columns, err := s.read(tt.contentType, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			got, all := lines(columns), slices.Clone(all)
			slices.Sort(got)
			slices.Sort(all)
			want(t, "series", got, all)
			g := columns[0].Group
			if g.Every != 15 || !slices.Equal(g.Labels, s.book.labels) {
				t.Errorf("group %v every %d", g.Labels, g.Every)
			}
			for _, series := range g.Series {
				switch m := series.Metric; m.Name {
				case "orders_total":
					want(t, "help", m.Help, "Orders taken.")
				case "depth_bytes":
					if name != "text" { // which has none
						want(t, "unit", m.Unit, "bytes")
					}
				}
			}
		})
	}
}

func TestANativeHistogramComesAsItsCountAndSum(t *testing.T) {
	s := newShelf(t)
	got := s.take(protobuf, delimited(t, &dto.MetricFamily{
		Name: proto.String("took_seconds"), Type: dto.MetricType_HISTOGRAM.Enum(),
		Metric: []*dto.Metric{{Histogram: &dto.Histogram{
			SampleCount: proto.Uint64(3), SampleSum: proto.Float64(4.5), Schema: proto.Int32(3), ZeroThreshold: proto.Float64(0.001), ZeroCount: proto.Uint64(1),
			PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(1)}}, PositiveDelta: []int64{2},
		}}},
	}))
	want(t, "series", got, []string{`counter took_seconds_count 3`, `counter took_seconds_sum 4.5`, `counter took_seconds_bucket{le="+Inf"} 3`})
}

func TestTheInfoAndStatesOfOpenMetricsAreGauges(t *testing.T) {
	s := newShelf(t)
	want(t, "series", s.take(openMetrics, `# TYPE build info
build_info{version="1"} 1
# TYPE light stateset
light{light="red"} 1
# TYPE wait gaugehistogram
wait_bucket{le="+Inf"} 2
wait_gsum 3
wait_gcount 2
# EOF
`), []string{
		`gauge build_info{version="1"} 1`, `gauge light{light="red"} 1`,
		`gauge wait_bucket{le="+Inf"} 2`, `gauge wait_gsum 3`, `gauge wait_gcount 2`,
	})
}

func TestAServerThatDoesNotSayWhatItSendsIsTakenForText(t *testing.T) {
	for _, contentType := range []string{"", "application/octet-stream", "text/html", ";;;"} {
		want(t, contentType, newShelf(t).take(contentType, "x 1\n"), []string{"untyped x 1"})
	}
}

func TestAnExpositionIsTakenAsAWholeOrNotAtAll(t *testing.T) {
	for name, body := range map[string]struct{ contentType, text string }{
		"nonsense":            {textFormat, "x 2\n<html>\n"},
		"invalid text":        {textFormat, "x 2\ny{a=\"\xff\"} 1\n"},
		"a bad value":         {textFormat, "x 2\ny one\n"},
		"without its end":     {openMetrics, "x 2\n"},
		"half a protobuf":     {protobuf, "\x20\x0a\x01x"},
		"no name":             {textFormat, "x 2\n{a=\"b\"} 1\n"},
		"what makes it panic": {textFormat, "# TYPE A \n{}0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			s.take(textFormat, "x 1\n")
			columns, err := s.read(body.contentType, body.text)
			if reasonOf(err, Broken) != Malformed {
				t.Errorf("error %v", err)
			}
			if len(columns) != 1 || len(lines(columns)) != 0 {
				t.Errorf("%d groups with %q, want one with nothing", len(columns), lines(columns))
			}
			want(t, "afterwards", s.take(textFormat, "x 3\n"), []string{"untyped x 3"})
		})
	}
}

func TestLabelsThatSayWhereASeriesIsFromAreRenamed(t *testing.T) {
	s := newShelf(t)
	got := s.take(textFormat, `x{job="a",instance="b",node="c",agent="d",id="e",le="f"} 1
y{job="a",exported_job="b"} 2
z{exported_job="a",f="g"} 3
z{job="a",f="g"} 4
w{container_label_com_docker_swarm_service_name="other",name="h",image="i",pod="k"} 1
`)
	want(t, "series", got, []string{
		`untyped x{exported_agent="d",exported_id="e",exported_instance="b",exported_job="a",exported_node="c",le="f"} 1`,
		`untyped y{exported_exported_job="a",exported_job="b"} 2`,
		`untyped z{exported_job="a",f="g"} 3`,
		`untyped w{exported_container_label_com_docker_swarm_service_name="other",exported_image="i",exported_name="h",pod="k"} 1`,
	})
	want(t, "dropped", s.counted(), map[string]uint64{"duplicate": 1})
}

func TestNamesThatAreNotForTargetsAreDropped(t *testing.T) {
	s := newShelf(t)
	got := s.take(textFormat, `up 1
scrape_duration_seconds 1
scrape_samples_scraped 1
scrape_samples_post_metric_relabeling 1
a{__name__="up"} 1
b{__address__="169.254.169.254",c=""} 1
{"d.e"} 1
{"f","g.h"="i"} 1
j:k 1
ALERTS{alertname="x"} 1
ALERTS_FOR_STATE{alertname="x"} 1
container_cpu_usage_seconds_total 1
machine_cpu_cores 1
plimsoll_container_cpu_burst_max_ratio 1
containers 1
`)
	want(t, "series", got, []string{`untyped b 1`, `untyped j:k 1`, `untyped containers 1`})
	want(t, "dropped", s.counted(), map[string]uint64{"name": 11, "duplicate": 1})
}

func TestASeriesOutOfBoundsCostsNoOther(t *testing.T) {
	many := func(n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf(`l%d="v"`, i))
		}
		return strings.Join(pairs, ",")
	}
	long := func(n int) string { return strings.Repeat("n", n) }
	s := newShelf(t)
	got := s.take(textFormat, strings.Join([]string{
		`a{` + many(maxLabels) + `} 1`,
		`b{` + many(maxLabels+1) + `} 1`,
		`c{` + long(maxNameBytes) + `="` + long(maxValueBytes) + `"} 1`,
		`d{` + long(maxNameBytes+1) + `="v"} 1`,
		`e{l="` + long(maxValueBytes+1) + `"} 1`,
		long(maxNameBytes) + ` 1`,
		long(maxNameBytes+1) + ` 1`,
		`f{` + many(10_000) + `} 1`,
		`g 1`,
		"h{a=\"line\nwith \u0000 and \\\"\"} 1",
	}, "\n")+"\n")
	var names []string
	for _, line := range got {
		names = append(names, line[len("untyped "):][:1])
	}
	want(t, "series", names, []string{"a", "c", "n", "g", "h"})
	want(t, "dropped", s.counted(), map[string]uint64{"labels": 2, "length": 3})
}

// It would take the parser a hundred times its length.
func TestASeriesWithoutEndIsNotEvenParsed(t *testing.T) {
	labels := func(n int, one string) string { return strings.Repeat(one, n) }
	tests := map[string]struct {
		text string
		ok   bool
	}{
		"as long as may be":     {"x 1\ny{a=\"" + labels(maxSeriesBytes-10, "v") + "\"} 1\nz 1\n", true},
		"one label without end": {"x 1\ny{a=\"" + labels(maxSeriesBytes, "v") + "\"} 1\n", false},
		"labels without end":    {"x{" + labels(1<<20, `a="",`) + "} 1\n", false},
		"with newlines in them": {"x{" + labels(1<<20, "a=\"\n\",") + "} 1\n", false},
		"with quotes in them":   {"x{" + labels(1<<20, `a="\"",`) + "} 1\n", false},
		"after odd comments":    {" \t# HELP y 5\" wide\n" + labels(1<<18, "x 1\n"), true},
		"many short ones":       {labels(1<<18, "x{a=\"\\\"\"} 1\n"), true},
		"no newline at all":     {labels(maxSeriesBytes+1, "x"), false},
	}
	for name, tt := range tests {
		if shortSeries([]byte(tt.text)) != tt.ok {
			t.Errorf("%s: %v", name, !tt.ok)
		}
	}
	_, err := newShelf(t).read(textFormat, tests["labels without end"].text)
	if reasonOf(err, Broken) != TooLarge {
		t.Error(err)
	}
}

func TestAnExpositionOfFarTooManySamplesIsNotReadToItsEnd(t *testing.T) {
	s := newShelf(t)
	s.book.limit = 10
	s.take(textFormat, strings.Repeat("x 1\n", 10*manySamples))
	if _, err := s.read(textFormat, strings.Repeat("x 1\n", 10*manySamples+1)); reasonOf(err, Broken) != TooLarge {
		t.Error(err)
	}
}

func TestTheFirstOfTwoSamplesOfASeriesCounts(t *testing.T) {
	s := newShelf(t)
	got := s.take(textFormat, "x{a=\"1\",b=\"2\"} 1\nx{b=\"2\",a=\"1\"} 2\nx {a=\"1\",b=\"2\"} 3\ny 1\ny{a=\"\"} 2\nz{a=\"1\",a=\"2\"} 1\n")
	want(t, "series", got, []string{`untyped x{a="1",b="2"} 1`, `untyped y 1`})
	want(t, "dropped", s.counted(), map[string]uint64{"duplicate": 4})
}

func TestASampleWithATimeOfItsOwnIsTakenIfItIsNow(t *testing.T) {
	s := newShelf(t)
	at := func(d time.Duration) int64 { return s.now.Add(d).UnixMilli() }
	got := s.take(textFormat, fmt.Sprintf("a 1 %d\nb 1 %d\nc 1 %d\nd 1 %d\ne 1 0\n",
		at(0), at(-time.Minute), at(-61*time.Second), at(61*time.Second)))
	want(t, "series", got, []string{"untyped a 1", "untyped b 1"})
	want(t, "dropped", s.counted(), map[string]uint64{"dated": 3})
}

func TestNoNaNOfATargetMeansAnythingButItself(t *testing.T) {
	absent, stale := sample.Absent, math.Float64frombits(0x7ff0000000000002)
	var families []*dto.MetricFamily
	for i, v := range []float64{absent, stale, math.NaN()} {
		families = append(families, &dto.MetricFamily{
			Name: proto.String(fmt.Sprint("x", i)), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &v}}},
		})
	}
	columns, err := newShelf(t).read(protobuf, delimited(t, families...))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range columns[0].Values {
		if math.Float64bits(v) != math.Float64bits(math.NaN()) {
			t.Errorf("%d: %x", i, math.Float64bits(v))
		}
	}
}

func TestGroupsStayWhileTheSeriesDo(t *testing.T) {
	s := newShelf(t)
	s.take(textFormat, "a 1\nb 2\n")
	first := s.book.pages[0].group
	want(t, "in another order", s.take(textFormat, "b 4\na 3\n"), []string{"untyped a 3", "untyped b 4"})
	if len(s.book.pages) != 1 || s.book.pages[0].group != first {
		t.Fatal("the group did not stay")
	}

	want(t, "with one more", s.take(textFormat, "b 4\nc 5\na 3\n"), []string{"untyped a 3", "untyped b 4", "untyped c 5"})
	if len(s.book.pages) != 2 || s.book.pages[0].group != first {
		t.Fatal("the group of the others did not stay")
	}
	want(t, "with one less", s.take(textFormat, "b 4\nc 5\n"), []string{"untyped b 4", "untyped c 5"})
	if len(s.book.pages) != 2 {
		t.Error("a group did not stay")
	}
	want(t, "with one back", s.take(textFormat, "a 6\nb 4\n"), []string{"untyped a 6", "untyped b 4"})
	if len(s.book.pages) != 1 || s.book.pages[0].group != first {
		t.Error("the group with nothing left did not end")
	}
}

// A name per request is the mistake that everybody makes once.
func TestSeriesThatKeepChangingTakeNoMoreAndMoreRoom(t *testing.T) {
	s := newShelf(t)
	groups := make(map[*sample.Group]bool)
	for i := range 100 {
		var text strings.Builder
		fmt.Fprintln(&text, "stays 1")
		for j := range 99 {
			// One of each scrape stays a while, so that its group does.
			fmt.Fprintf(&text, "x{request=\"%d\"} 1\n", i*100+j)
			if j == 0 {
				for back := range min(i, 50) {
					fmt.Fprintf(&text, "x{request=\"%d\"} 1\n", (i-back-1)*100)
				}
			}
		}
		s.now = s.now.Add(time.Minute)
		columns, err := s.read(textFormat, text.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := len(lines(columns)); got != 100+min(i, 50) {
			t.Fatalf("scrape %d: %d series", i, got)
		}
		for _, c := range columns {
			groups[c.Group] = true
		}
		if n := len(s.book.cells); n > 2*(maxDead+200) {
			t.Fatalf("scrape %d: %d series are kept of %d", i, n, 100+min(i, 50))
		}
	}
	if len(groups) > 120 {
		t.Errorf("%d groups", len(groups))
	}
}

func TestNewSeriesOfATargetAreRationed(t *testing.T) {
	s := newShelf(t)
	s.book.limit = 60
	n := 0
	scrape := func() int {
		var text strings.Builder
		for range 60 {
			n++
			fmt.Fprintf(&text, "x{n=\"%d\"} 1\n", n)
		}
		return len(s.take(textFormat, text.String()))
	}
	for _, step := range []struct {
		later time.Duration
		want  int
	}{{0, 60}, {time.Second, 0}, {churn / 2, 30}, {churn / 4, 15}, {-time.Hour, 0}, {time.Hour, 60}, {0, 0}} {
		s.now = s.now.Add(step.later)
		if got := scrape(); got != step.want {
			t.Errorf("after %s: %d new series, want %d", step.later, got, step.want)
		}
	}
	if s.counted()["churn"] != 60+30+45+60+60 {
		t.Errorf("dropped %v", s.counted())
	}

	s = newShelf(t)
	s.book.limit = 10
	for range 5 { // what was in a scrape that failed was not new
		_, _ = s.read(textFormat, "a 1\nb 1\nc 1\nnonsense\n")
	}
	want(t, "after failures", s.take(textFormat, "a 1\n"), []string{"untyped a 1"})
}

func TestASeriesWithLongLabelsCountsAsSeveral(t *testing.T) {
	s := newShelf(t)
	s.book.limit = 10
	long := strings.Repeat("v", maxValueBytes)
	got := s.take(textFormat, `x{a="`+long+`",b="`+long+`"} 1
y{a="`+long+`",b="`+long+`"} 1
z{a="`+long+`",b="`+long+`"} 1
`)
	if len(got) != 2 {
		t.Errorf("%d series of five each", len(got))
	}
	want(t, "dropped", s.counted(), map[string]uint64{"target_limit": 1})
}

func TestSeriesBeyondALimitAreCountedAndTheOthersStay(t *testing.T) {
	var ten strings.Builder
	for i := range 10 {
		fmt.Fprintf(&ten, "x{n=\"%d\"} 1\n", i)
	}
	s := newShelf(t)
	s.book.limit = 4
	for range 2 {
		if got := s.take(textFormat, ten.String()); len(got) != 4 {
			t.Errorf("%d series", len(got))
		}
	}
	want(t, "dropped", s.counted(), map[string]uint64{"target_limit": 12})

	s = newShelf(t)
	s.room.Store(3)
	s.book.begin(s.now)
	if err := parse(exposition{[]byte(ten.String()), textFormat}, s.now, time.Minute, s.book.put); err != nil {
		t.Fatal(err)
	}
	columns, _, _ := s.book.finish()
	if got := len(lines(columns)); got != 3 {
		t.Errorf("%d series where there is room for three", got)
	}
	want(t, "dropped", s.counted(), map[string]uint64{"node_limit": 7})
	s.book.close()
	if s.room.Load() != 3 {
		t.Errorf("room for %d after all", s.room.Load())
	}
}

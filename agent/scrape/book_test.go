package scrape

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

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

package scrape

import (
	"fmt"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Whatever a target answers, and then answers next, what becomes of it keeps
// what batches and the wire demand; shelf.check has the rest.
func FuzzScrapes(f *testing.F) {
	f.Add(uint8(0), "# HELP x y\n# TYPE x counter\nx{a=\"b\"} 1\n", "x{a=\"b\"} 2\nz{job=\"c\"} +Inf 1763726400000\n")
	f.Add(uint8(1), "# TYPE x histogram\nx_bucket{le=\"1\"} 1 # {t=\"u\"} 0.5 1\nx_count 1\nx_created 2\n# EOF\n", "# TYPE y_seconds gauge\n# UNIT y_seconds seconds\ny_seconds NaN\n# EOF\n")
	f.Add(uint8(2), delimited(f, &dto.MetricFamily{
		Name: proto.String("x"), Type: dto.MetricType_SUMMARY.Enum(),
		Metric: []*dto.Metric{{Summary: &dto.Summary{SampleCount: proto.Uint64(2), Quantile: []*dto.Quantile{{Quantile: proto.Float64(0.5), Value: proto.Float64(12)}}}}},
	}), "")
	f.Add(uint8(0), "# TYPE A \n{}0", "{\"a.b\",\"c\"=\"d\"} 1\nx{__a=\"b\",id=\"c\",exported_id=\"d\"} 1\nup 1\n")
	formats := []string{textFormat, openMetrics, protobuf}
	f.Fuzz(func(t *testing.T, format uint8, first, second string) {
		s := newShelf(t)
		s.book.limit = 100
		for _, body := range []string{first, second, first} {
			columns, err := s.read(formats[int(format)%len(formats)], body)
			if err != nil && len(lines(columns)) > 0 {
				t.Fatal("values of a scrape that failed")
			}
			if len(lines(columns)) > 100 {
				t.Fatal("more series than the limit")
			}
			for _, c := range columns {
				for _, one := range c.Group.Series {
					checkSeries(t, one)
				}
			}
		}
		s.book.close()
		if s.room.Load() != shelfRoom {
			t.Fatalf("%d series take room for ever", shelfRoom-s.room.Load())
		}
	})
}

func checkSeries(t *testing.T, s sample.Series) {
	t.Helper()
	name := s.Metric.Name
	if !model.LegacyValidation.IsValidMetricName(name) || len(name) > maxNameBytes || reserved(name) {
		t.Fatalf("metric %q", name)
	}
	if len(s.Metric.Help) > maxHelpBytes || strings.ToValidUTF8(s.Metric.Help, "") != s.Metric.Help {
		t.Fatalf("help %q", s.Metric.Help)
	}
	if len(s.Labels) > maxLabels {
		t.Fatalf("%d labels", len(s.Labels))
	}
	for i, l := range s.Labels {
		switch {
		case !model.LegacyValidation.IsValidLabelName(l.Name), len(l.Name) > maxNameBytes, strings.HasPrefix(l.Name, "__"):
			t.Fatalf("label %q", l.Name)
		case l.Name == "id", l.Name == "job", l.Name == "instance", l.Name == "node", l.Name == "agent":
			t.Fatalf("label %q is not the target's", l.Name)
		case l.Value == "", len(l.Value) > maxValueBytes, strings.ToValidUTF8(l.Value, "") != l.Value:
			t.Fatalf("value %q", l.Value)
		case i > 0 && s.Labels[i-1].Name >= l.Name:
			t.Fatalf("%q after %q", l.Name, s.Labels[i-1].Name)
		}
	}
}

// FuzzLabels: what labels ask for is within bounds or refused.
func FuzzLabels(f *testing.F) {
	f.Add("true", "8080", "/metrics", "http", "15s", "10s", "module", "x")
	f.Add("1", "65536", "//evil@x/", "gopher", "1ns", "-1s", "", "\xff")
	f.Fuzz(func(t *testing.T, on, port, path, scheme, interval, timeout, param, value string) {
		s, ok, err := ParseLabels(map[string]string{
			"prometheus.io/scrape": on, "prometheus.io/port": port, "prometheus.io/path": path, "prometheus.io/scheme": scheme,
			"plimsoll.scrape.interval": interval, "plimsoll.scrape.timeout": timeout, "plimsoll.scrape.params." + param: value,
		})
		if ok == (s == Spec{}) || ok && err != nil {
			t.Fatalf("%+v, %v, %v", s, ok, err)
		}
		if !ok {
			return
		}
		if s.Port == 0 || s.Path[0] != '/' || s.Interval < MinInterval || s.Interval > MaxInterval || s.Timeout <= 0 || s.Timeout > min(s.Interval, MaxTimeout) {
			t.Fatalf("%+v", s)
		}
		r, err := request(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if r.URL.Host != fmt.Sprintf("localhost:%d", s.Port) || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
			t.Fatalf("%+v asks %s", s, r.URL)
		}
	})
}

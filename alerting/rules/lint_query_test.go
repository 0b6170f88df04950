package rules

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"github.com/plimsoll-io/plimsoll/alerting/place"
)

// A label that a result can have must never be told to be missing: the engine
// says which there are.
func TestNoLabelOfAResultIsToldToBeMissing(t *testing.T) {
	store, err := promqltest.NewLazyLoader(`load 1m
		up{job="a", instance="i1", node="n1"} 1x20
		up{job="a", instance="i2", node="n2"} 0x20
		up{job="b", instance="i3", node="n1"} 1x20
		size{job="a", disk="d"} 5x20
		size{job="b", disk="d"} 7x20
		h_bucket{job="a", le="1"} 0+1x20
		h_bucket{job="a", le="+Inf"} 0+2x20
`, promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	at := time.Unix(0, 0).Add(15 * time.Minute)
	store.WithSamplesTill(at, func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	for expr, missing := range map[string][]string{ // and some of those that are not there
		`up`:                              nil,
		`-up`:                             nil,
		`(up > 0)`:                        nil,
		`1 <= up`:                         nil,
		`up + 1`:                          nil,
		`up @ end()`:                      nil,
		`sum(up)`:                         {"job", "node"},
		`sum by (job) (up)`:               {"node", "instance"},
		`sum without (job) (up)`:          {"job"},
		`count_values("v", up)`:           {"job"},
		`count_values by (job) ("v", up)`: {"node"},
		`topk by (job) (1, up)`:           nil,
		`quantile by (node) (0.5, up)`:    {"job"},
		`rate(up[5m])`:                    nil,
		`max_over_time(sum by (job) (up)[5m:1m])`:                                  {"node"},
		`up and on (job) size`:                                                     nil,
		`up unless on (job, node) size`:                                            nil,
		`sum by (job) (up) or sum by (node) (up)`:                                  {"instance"},
		`sum by (job) (up) * on (job) size`:                                        {"disk", "node"},
		`sum by (job) (up) == on (job) (size - 4)`:                                 {"disk"},
		`sum by (job, node) (up) - ignoring (node) group_left sum by (job) (size)`: {"disk"},
		`up * on (job) group_left (disk) size`:                                     nil,
		`size * on (job) group_right (disk) up`:                                    nil,
		`sum by (job, disk) (size) / ignoring (disk) sum by (job) (size)`:          {"disk"},
		`histogram_quantile(0.9, rate(h_bucket[5m]))`:                              nil,
		`label_replace(sum(up), "x", "y", "", "")`:                                 {"job"},
		`label_join(sum by (job) (up), "x", "-", "job")`:                           {"node"},
		`absent(nothing{job="a"})`:                                                 nil,
		`absent_over_time(nothing{job="a"}[5m])`:                                   nil,
		`vector(1)`:                                                                {"job"},
		`vector(scalar(up{node="n2"}))`:                                            {"job"},
		`hour()`:                                                                   {"job"},
		`timestamp(up)`:                                                            nil,
		`clamp_max(sum by (job) (up), 1)`:                                          {"node"},
		`round(sum by (node) (up), 0.1)`:                                           {"job"},
		`predict_linear(up[10m], 60)`:                                              nil,
	} {
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		possible := resultLabels(parsed)
		for _, label := range missing {
			if possible(label) {
				t.Errorf("%s: %s is not told to be missing", expr, label)
			}
		}
		q, err := store.QueryEngine().NewInstantQuery(t.Context(), store.Queryable(), nil, expr, at)
		if err != nil {
			t.Fatal(err)
		}
		vector, err := q.Exec(t.Context()).Vector()
		if err != nil || len(vector) == 0 {
			t.Errorf("%s: %d elements, error %v", expr, len(vector), err)
		}
		for _, s := range vector {
			s.Metric.Range(func(l labels.Label) {
				if !possible(l.Name) {
					t.Errorf("%s: %s is told to be missing, and is there: %s", expr, l.Name, s.Metric)
				}
			})
		}
		q.Close()
	}
}

func FuzzLint(f *testing.F) {
	f.Add("up == 0", "{{ $labels.node }}")
	f.Add(`sum by (a) (rate(x{a="b",a!="b"}[5m:1m])) / on (a) group_left (c) y > bool 1`, `{{ range query "up" }}{{ .Labels.x }}{{ end }}`)
	f.Add(`count_values("v", label_replace(up, "a", "b", "c", "d"))`, "{{")
	f.Add(`{__name__=~"node_.+",__name__!="x"} offset 5m`, `{{ index $labels "x" }}`)
	known, promql := Exported(), parser.NewParser(parser.Options{})
	f.Fuzz(func(_ *testing.T, query, text string) {
		expr, err := promql.ParseExpr(query)
		if err != nil {
			return
		}
		l := &linter{known: known}
		l.query(place.Node{}, expr)
		l.comparison(place.Node{}, expr)
		l.templates(place.Node{}, rulefmt.Rule{Alert: "A", Annotations: map[string]string{"a": text}}, expr) // must not panic
	})
}

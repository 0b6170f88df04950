package ruletest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/place"
)

// checkAlerts compares what fires of an alert with what is expected.
func (t *trial) checkAlerts(n place.Node, test alertTest) {
	var got, want []string
	for _, g := range t.groups {
		for _, r := range g.AlertingRules() {
			if r.Name() != test.Alertname {
				continue
			}
			for _, a := range r.ActiveAlerts() {
				if a.State == promrules.StateFiring {
					got = append(got, firing(a.Labels, a.Annotations))
				}
			}
		}
	}
	for _, e := range test.Expected {
		own := maps.Clone(e.Labels)
		if own == nil {
			own = map[string]string{}
		}
		own[labels.AlertName] = test.Alertname // which the file leaves out
		want = append(want, firing(labels.FromMap(own), labels.FromMap(e.Annotations)))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.differ(n, fmt.Sprintf("at %s, other alerts %s fire than expected", test.EvalTime, test.Alertname), want, got)
	}
}

// firing is an alert as a person compares it, one line for each text.
func firing(own, annotations labels.Labels) string {
	text := own.String()
	annotations.Range(func(l labels.Label) { text += fmt.Sprintf("\n%s: %s", l.Name, strconv.Quote(l.Value)) })
	return text
}

// sample is one that a query gave or should give.
type sample struct {
	labels    labels.Labels
	value     float64
	histogram string // as promqltest writes it; empty for a float
}

func (s sample) String() string {
	if s.histogram != "" {
		return s.labels.String() + " " + s.histogram
	}
	return s.labels.String() + " " + strconv.FormatFloat(s.value, 'g', -1, 64)
}

func (s sample) equal(o sample, fuzzy bool) bool {
	near := s.value == o.value || fuzzy && (math.Nextafter(s.value, math.Inf(-1)) == o.value || math.Nextafter(s.value, math.Inf(1)) == o.value)
	return near && s.histogram == o.histogram && labels.Equal(s.labels, o.labels)
}

// checkExpr compares what a query gives with what is expected.
func (t *trial) checkExpr(ctx context.Context, n place.Node, test exprTest) {
	got, err := t.query(ctx, test.Expr, t.group.begin().Add(time.Duration(test.EvalTime)))
	if err != nil {
		t.fail(n.At("expr"), fmt.Sprintf("at %s, the query fails: %v", test.EvalTime, err))
		return
	}
	var want []sample
	for i, e := range test.Expected {
		s, err := t.expected(e)
		if err != nil {
			t.fail(n.At("exp_samples", i), err.Error())
			return
		}
		want = append(want, s)
	}
	inOrder := func(a, b sample) int { return labels.Compare(a.labels, b.labels) }
	slices.SortStableFunc(got, inOrder)
	slices.SortStableFunc(want, inOrder)
	if !slices.EqualFunc(want, got, func(a, b sample) bool { return a.equal(b, t.file.FuzzyCompare) }) {
		t.differ(n, fmt.Sprintf("at %s, %s gives something else than expected", test.EvalTime, strings.Join(strings.Fields(test.Expr), " ")), texts(want), texts(got))
	}
}

func texts(samples []sample) []string {
	list := make([]string, len(samples))
	for i, s := range samples {
		list[i] = s.String()
	}
	return list
}

// expected reads an expected sample.
func (t *trial) expected(e expectedSample) (sample, error) {
	own, err := t.rules.parser.ParseMetric(e.Labels)
	if err != nil {
		return sample{}, fmt.Errorf("no valid labels %q: %w", e.Labels, err)
	}
	s := sample{labels: own, value: e.Value}
	if e.Histogram == "" {
		return s, nil
	}
	_, values, err := t.rules.parser.ParseSeriesDesc("{} " + e.Histogram)
	switch {
	case err != nil:
		return sample{}, fmt.Errorf("no valid histogram: %w", err)
	case len(values) != 1 || values[0].Histogram == nil:
		return sample{}, fmt.Errorf("%q is not one histogram", e.Histogram)
	}
	s.histogram = promqltest.HistogramTestExpression(values[0].Histogram)
	return s, nil
}

func (t *trial) query(ctx context.Context, text string, at time.Time) ([]sample, error) {
	q, err := t.store.QueryEngine().NewInstantQuery(ctx, t.store.Queryable(), nil, text, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	switch v := result.Value.(type) {
	case promql.Vector:
		list := make([]sample, len(v))
		for i, s := range v {
			list[i] = sample{s.Metric.Copy(), s.F, histogramText(s.H)}
		}
		return list, nil
	case promql.Scalar:
		return []sample{{value: v.V}}, nil
	}
	return nil, errors.New("it gives neither a vector nor a scalar")
}

func histogramText(h *histogram.FloatHistogram) string { return promqltest.HistogramTestExpression(h) }

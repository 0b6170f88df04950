package ruletest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/plimsoll-io/plimsoll/internal/bounded"
)

const (
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 64 << 20
	// retries is how often a collector is asked again that is busy, with a pause
	// in between.
	retries = 5
	pause   = 2 * time.Second
)

// History is what a collector has stored, asked by Prometheus' HTTP API.
type History struct{ api v1.API }

// NewHistory asks the collector, or whatever else speaks that API, at an
// address.
func NewHistory(at *url.URL) (*History, error) {
	client, err := api.NewClient(api.Config{Address: at.String(), RoundTripper: bounded.Transport{RoundTripper: http.DefaultTransport, Bytes: maxAnswer}})
	if err != nil {
		return nil, err
	}
	return &History{v1.NewAPI(client)}, nil
}

// Names are those of all metrics that are stored.
func (h *History) Names(ctx context.Context) ([]string, error) {
	var found model.LabelValues
	err := persist(ctx, func() (err error) {
		found, _, err = h.api.LabelValues(ctx, model.MetricNameLabel, nil, time.Time{}, time.Time{})
		return err
	})
	names := make([]string, len(found))
	for i, n := range found {
		names[i] = string(n)
	}
	return names, err
}

// Points is a series of an answer. It is read from its beginning on.
type Points struct {
	labels     labels.Labels
	floats     []model.SamplePair
	histograms []model.SampleHistogramPair
}

// at is the sample at a time in ms since 1970. Times must grow from call to
// call.
func (p *Points) at(t int64) (promql.Sample, bool) {
	for len(p.floats) > 0 && int64(p.floats[0].Timestamp) < t {
		p.floats = p.floats[1:]
	}
	if len(p.floats) > 0 && int64(p.floats[0].Timestamp) == t {
		return promql.Sample{Metric: p.labels, T: t, F: float64(p.floats[0].Value)}, true
	}
	for len(p.histograms) > 0 && int64(p.histograms[0].Timestamp) < t {
		p.histograms = p.histograms[1:]
	}
	// That there is one makes the alert fire; its value only goes into texts.
	return promql.Sample{Metric: p.labels, T: t}, len(p.histograms) > 0 && int64(p.histograms[0].Timestamp) == t
}

// Range evaluates a query at each step of a time.
func (h *History) Range(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]Points, error) {
	var answer model.Value
	err := persist(ctx, func() (err error) {
		answer, _, err = h.api.QueryRange(ctx, query, v1.Range{Start: from, End: to, Step: step})
		return err
	})
	if err != nil {
		return nil, err
	}
	matrix, ok := answer.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("the collector answers with a %s", answer.Type())
	}
	series := make([]Points, len(matrix))
	for i, s := range matrix {
		series[i] = Points{own(s.Metric), s.Values, s.Histograms}
	}
	return series, nil
}

// Instant evaluates a query at a time.
func (h *History) Instant(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
	var answer model.Value
	err := persist(ctx, func() (err error) {
		answer, _, err = h.api.Query(ctx, query, at)
		return err
	})
	if err != nil {
		return nil, err
	}
	switch v := answer.(type) {
	case model.Vector:
		vector := make(promql.Vector, len(v))
		for i, s := range v {
			vector[i] = promql.Sample{Metric: own(s.Metric), T: at.UnixMilli(), F: float64(s.Value)}
		}
		return vector, nil
	case *model.Scalar:
		return promql.Vector{{T: at.UnixMilli(), F: float64(v.Value)}}, nil
	}
	return nil, fmt.Errorf("the collector answers with a %s", answer.Type())
}

func own(m model.Metric) labels.Labels {
	b := labels.NewScratchBuilder(len(m))
	for name, value := range m {
		b.Add(string(name), string(value))
	}
	b.Sort()
	return b.Labels()
}

// persist asks again while a collector is busy.
func persist(ctx context.Context, ask func() error) error {
	for i := 0; ; i++ {
		err := ask()
		if !busy(err) || i == retries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func busy(err error) bool {
	var e *v1.Error
	return errors.As(err, &e) && (e.Type == v1.ErrServer || e.Type == "unavailable") && strings.Contains(e.Error(), "503")
}

// tooMuch tells whether less would be answered.
func tooMuch(err error) bool {
	if errors.Is(err, bounded.ErrTooLarge) {
		return true
	}
	var e *v1.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Type == v1.ErrTimeout || slices.ContainsFunc([]string{"too many samples", "exceeded maximum resolution", "more than", "too large"}, func(part string) bool {
		return strings.Contains(e.Msg, part)
	})
}

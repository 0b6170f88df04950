// Package history makes the load that a policy would have met out of what was
// recorded: by a collector, by anything else with Prometheus' HTTP API, or in a file.
//
// For a signal whose reading is one number for the whole workload, the load is that
// number. For one that reads what each replica uses, it is what all of them used
// together; where they were full, that is less than was asked of them, and marked as
// such. What was not recorded stays unknown.
package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/internal/bounded"
	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

const (
	// chunk is how many steps are asked for at once; Prometheus refuses more than
	// 11,000.
	chunk = 5000
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 64 << 20
	// answerTime is how long a store may take for one.
	answerTime = 2 * time.Minute
	// tries is how often a store is asked that is busy, with a pause in between.
	tries = 5
	pause = 2 * time.Second
)

// Store is what has been recorded. It remembers what it was asked, and is not to be
// used by several at a time.
type Store struct {
	api  v1.API
	kept map[question]answer
}

// question is what has been asked.
type question struct {
	query string
	span  Span
}

// answer is a query's, at each step: one series.
type answer struct {
	values []float64 // NaN where there is none
	err    error
}

// Open asks the collector, or whatever else speaks Prometheus' API, at an address.
func Open(at *url.URL) (*Store, error) {
	client, err := api.NewClient(api.Config{Address: at.String(), RoundTripper: bounded.Transport{RoundTripper: http.DefaultTransport, Bytes: maxAnswer}})
	if err != nil {
		return nil, err
	}
	return &Store{api: v1.NewAPI(client), kept: map[question]answer{}}, nil
}

// Span is a time in even steps. What is measured at the end of a step stands for it.
type Span struct {
	From  time.Time
	Steps int
	Step  time.Duration
}

// Over is the time between two, in steps that begin at even times. The step is one
// that fits how long it is if it is 0.
func Over(from, to time.Time, step time.Duration) Span {
	if step == 0 {
		step = fitting(to.Sub(from))
	}
	from = from.Truncate(step)
	return Span{From: from, Steps: max(1, int((to.Sub(from)+step-1)/step)), Step: step}
}

// fitting is a step that makes some 20,000 of a time, at most.
func fitting(span time.Duration) time.Duration {
	for _, step := range []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute} {
		if span/step <= 24*3600/5 || step == 30*time.Second && span/step <= 22000 {
			return step
		}
	}
	if span <= 31*24*time.Hour {
		return time.Minute
	}
	return 5 * time.Minute
}

// To is when the last step ends.
func (s Span) To() time.Time { return s.From.Add(time.Duration(s.Steps) * s.Step) }

// load is a load over the span.
func (s Span) load(values []float64) backtest.Load {
	return backtest.Load{Start: s.From, Step: s.Step, Values: values}
}

// single asks for a query that has one series or none, at the end of each step. told
// hears of each part that is there. What is returned is the caller's.
func (s *Store) single(ctx context.Context, query string, span Span, lookback time.Duration, told func(steps int)) ([]float64, error) {
	if a, ok := s.kept[question{query, span}]; ok {
		told(span.Steps)
		return slices.Clone(a.values), a.err
	}
	values := make([]float64, span.Steps)
	for i := range values {
		values[i] = math.NaN()
	}
	for first := 0; first < span.Steps; first += chunk {
		n := min(chunk, span.Steps-first)
		series, err := s.matrix(ctx, query, span, first, n, lookback)
		switch {
		case err != nil:
			return nil, err
		case len(series) > 1:
			err := fmt.Errorf("%s returns %d series where one is meant: aggregate them, for instance with sum(…)", query, len(series))
			s.kept[question{query, span}] = answer{err: err}
			return nil, err
		case len(series) == 1:
			for _, p := range series[0].Values {
				// The value at the end of a step is that of the step.
				i := int((p.Timestamp.Time().Sub(span.From)+span.Step/2)/span.Step) - 1
				if i >= 0 && i < span.Steps {
					values[i] = float64(p.Value)
				}
			}
		}
		told(n)
	}
	s.kept[question{query, span}] = answer{values: values}
	return slices.Clone(values), nil
}

// matrix asks for some steps of a span.
func (s *Store) matrix(ctx context.Context, query string, span Span, first, n int, lookback time.Duration) (model.Matrix, error) {
	r := v1.Range{Start: span.From.Add(time.Duration(first+1) * span.Step), End: span.From.Add(time.Duration(first+n) * span.Step), Step: span.Step}
	for i := 1; ; i++ {
		v, err := s.ask(ctx, query, r, lookback)
		if err == nil {
			m, ok := v.(model.Matrix)
			if !ok {
				return nil, fmt.Errorf("%s returns a %s", query, v.Type())
			}
			return m, nil
		}
		if !busy(err) || i == tries {
			return nil, plain(query, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (s *Store) ask(ctx context.Context, query string, r v1.Range, lookback time.Duration) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	v, _, err := s.api.QueryRange(ctx, query, r, v1.WithLookbackDelta(lookback))
	return v, err
}

func busy(err error) bool {
	var e *v1.Error
	return errors.As(err, &e) && (e.Type == v1.ErrServer || e.Type == "unavailable") && strings.Contains(e.Error(), "503")
}

// plain says which query was refused, if it was the query's fault.
func plain(query string, err error) error {
	var e *v1.Error
	if errors.As(err, &e) && (e.Type == v1.ErrBadData || e.Type == v1.ErrExec) {
		return fmt.Errorf("%s: %s", query, e.Msg)
	}
	return err
}

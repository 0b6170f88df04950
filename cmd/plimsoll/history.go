package main

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/scaler"
)

// past answers what forecasts and events ask, by an engine of its own: a month of
// history must not delay a decision.
type past struct {
	engine *promql.Engine
	store  storage.Queryable
}

// remembers is what is asked for history; nil with an upstream, which is asked for
// single moments only.
func (p *collectorParts) remembers() scaler.RangeQuerier {
	if p.upstream != nil {
		return nil
	}
	return past{p.engine("history"), p.history()}
}

// QueryRange implements scaler.RangeQuerier.
func (p past) QueryRange(ctx context.Context, text string, from, to time.Time, step time.Duration) ([]scaler.Series, error) {
	lines, err := query.Range(ctx, p.engine, p.store, text, from, to, step)
	if err != nil {
		return nil, err
	}
	series := make([]scaler.Series, len(lines))
	for i, l := range lines {
		delete(l.Labels, "__name__")
		series[i] = scaler.Series{Labels: l.Labels, Samples: make([]scaler.Point, len(l.Samples))}
		for k, s := range l.Samples {
			series[i].Samples[k] = scaler.Point(s)
		}
	}
	return series, nil
}

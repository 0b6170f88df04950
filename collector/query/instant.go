package query

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// Sample is one element of an instant vector, in plain types.
type Sample struct {
	Labels map[string]string // the name, if it is kept, as __name__
	// At is the time the query was evaluated for. The samples it was made of
	// may be older, by the lookback at most.
	At    time.Time
	Value float64
}

// Instant evaluates a query for one time. A scalar comes as one sample without
// labels; no data comes as no sample, which is not a value of zero. Strings,
// range vectors and histograms are errors. Lookback is how old a sample may be to
// count as current; 0 means as old as the engine takes it.
func Instant(ctx context.Context, engine promql.QueryEngine, store storage.Queryable, query string, at time.Time, lookback time.Duration) ([]Sample, error) {
	q, err := engine.NewInstantQuery(ctx, store, promql.NewPrometheusQueryOpts(false, lookback), query, at)
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", query, err)
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, fmt.Errorf("query %q: %w", query, result.Err)
	}
	switch v := result.Value.(type) {
	case promql.Scalar:
		return []Sample{{Labels: map[string]string{}, At: at, Value: v.V}}, nil
	case promql.Vector:
		return plain(query, v)
	}
	return nil, fmt.Errorf("query %q: gives a %s; an instant vector or a scalar is needed", query, parser.DocumentedType(result.Value.Type()))
}

func plain(query string, v promql.Vector) ([]Sample, error) {
	samples := make([]Sample, len(v))
	for i, s := range v {
		if s.H != nil {
			return nil, fmt.Errorf("query %q: gives histograms; take a quantile, a count or a sum of them", query)
		}
		samples[i] = Sample{Labels: s.Metric.Map(), At: time.UnixMilli(s.T), Value: s.F}
	}
	return samples, nil
}

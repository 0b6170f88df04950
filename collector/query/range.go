package query

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// Line is the samples of one series over a time.
type Line struct {
	Labels  map[string]string // the name, if it is kept, as __name__
	Samples []Point           // by time; where there is none, nothing is known
}

// Point is a sample of a Line.
type Point struct {
	At    time.Time
	Value float64
}

// Range evaluates a query for each step from one time to another, both inside.
// A scalar comes as one line without labels. Strings and histograms are errors.
func Range(ctx context.Context, engine promql.QueryEngine, store storage.Queryable, query string, from, to time.Time, step time.Duration) ([]Line, error) {
	q, err := engine.NewRangeQuery(ctx, store, nil, query, from, to, step)
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", query, err)
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, fmt.Errorf("query %q: %w", query, result.Err)
	}
	matrix, ok := result.Value.(promql.Matrix)
	if !ok {
		return nil, fmt.Errorf("query %q: gives a %s over time; a range of samples is needed", query, parser.DocumentedType(result.Value.Type()))
	}
	lines := make([]Line, len(matrix))
	for i, s := range matrix {
		if len(s.Histograms) > 0 {
			return nil, fmt.Errorf("query %q: gives histograms; take a quantile, a count or a sum of them", query)
		}
		lines[i] = Line{Labels: s.Metric.Map(), Samples: make([]Point, len(s.Floats))}
		for k, p := range s.Floats {
			lines[i].Samples[k] = Point{time.UnixMilli(p.T), p.F}
		}
	}
	return lines, nil
}

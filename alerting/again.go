package alerting

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
)

// tries is how often a query is asked in all.
const tries = 3

// again asks once more where the store has taken away a series between finding
// and reading it. That happens when it writes out, early, series that have ended
// (tsdb.DB.CompactStaleHead): it waits for queries that began before, not for
// those that begin meanwhile. A rule that fails for that would be told to people.
func again(ask promrules.QueryFunc) promrules.QueryFunc {
	return func(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
		for try := 1; ; try++ {
			v, err := ask(ctx, query, at)
			if try == tries || !errors.Is(err, storage.ErrNotFound) || ctx.Err() != nil {
				return v, err
			}
		}
	}
}

package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// EngineOptions bound what a query may cost.
type EngineOptions struct {
	// Name tells engines apart in metrics, as label engine. Needed if several
	// share a Registerer.
	Name string
	// Lookback is how old a sample may be to count as current; 0 means 5 min.
	Lookback time.Duration
	// Timeout ends a query; 0 means 2 min.
	Timeout time.Duration
	// MaxSamples that a query may hold in memory at a time; 0 means 50 million.
	MaxSamples int
	// MaxConcurrent is how many queries run at a time, others wait; 0 means 20.
	MaxConcurrent int
	Log           *slog.Logger
	Registerer    prometheus.Registerer
}

// subqueryStep is the step of a subquery that names none, as in x[5m:].
const subqueryStep = 15 * time.Second

// NewEngine makes a PromQL engine with all that Prometheus has on by default.
// People and rules should have one each, so that a dashboard cannot hold up a
// decision.
func NewEngine(opts EngineOptions) *promql.Engine {
	or(&opts.Lookback, 5*time.Minute)
	or(&opts.Timeout, 2*time.Minute)
	or(&opts.MaxSamples, 50_000_000)
	or(&opts.MaxConcurrent, 20)
	var registerer prometheus.Registerer
	if opts.Registerer != nil {
		registerer = prometheus.WrapRegistererWith(prometheus.Labels{"engine": opts.Name}, opts.Registerer)
	}
	return promql.NewEngine(promql.EngineOpts{
		Logger:             opts.Log,
		Reg:                registerer,
		MaxSamples:         opts.MaxSamples,
		Timeout:            opts.Timeout,
		ActiveQueryTracker: newGate(opts.MaxConcurrent),
		LookbackDelta:      opts.Lookback,
		// Without it, a subquery that names no step takes the process down.
		NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   newParser(),
	})
}

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

func or[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// gate lets a number of queries run at a time.
type gate chan struct{}

func newGate(n int) gate { return make(gate, n) }

// GetMaxConcurrent implements promql.QueryTracker.
func (g gate) GetMaxConcurrent() int { return cap(g) }

// Insert waits for a place. Its errors are those that the API knows for the end
// of a query's time.
func (g gate) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case g <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return 0, fmt.Errorf("%w: %w", promql.ErrQueryTimeout("query queue"), ctx.Err())
		}
		return 0, fmt.Errorf("%w: %w", promql.ErrQueryCanceled("query queue"), ctx.Err())
	}
}

// Delete gives the place back.
func (g gate) Delete(int) { <-g }

// Close implements promql.QueryTracker.
func (gate) Close() error { return nil }

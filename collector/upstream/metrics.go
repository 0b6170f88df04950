package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	queries *prometheus.CounterVec
	seconds prometheus.Histogram
	lag     prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_upstream_queries_total",
			Help: "Queries to the upstream, by what came of them: ok, partial, stale, too_large, timeout, error.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "plimsoll_upstream_query_duration_seconds",
			Help:    "How long queries to the upstream took.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "plimsoll_upstream_lag_seconds",
			Help: "How old the newest sample of the upstream was when it was last asked.",
		}),
	}
	for _, result := range results {
		m.queries.WithLabelValues(result)
	}
	return m
}

var results = []string{"ok", "partial", "stale", "too_large", "timeout", "error"}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.queries, m.seconds, m.lag} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) count(err error, took time.Duration) {
	result := "error"
	switch {
	case err == nil:
		result = "ok"
	case errors.Is(err, ErrPartial):
		result = "partial"
	case errors.Is(err, ErrStale):
		result = "stale"
	case errors.Is(err, ErrTooLarge):
		result = "too_large"
	case errors.Is(err, context.DeadlineExceeded):
		result = "timeout"
	}
	m.queries.WithLabelValues(result).Inc()
	m.seconds.Observe(took.Seconds())
}

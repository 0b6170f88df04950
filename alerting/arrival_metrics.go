package alerting

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// earlyMetrics count evaluations besides those at ticks.
type earlyMetrics struct {
	evaluations *prometheus.CounterVec
	seconds     prometheus.Counter
	deferred    prometheus.Counter
}

func newEarlyMetrics(reg prometheus.Registerer) (*earlyMetrics, error) {
	m := &earlyMetrics{
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_alerting_arrival_evaluations_total",
			Help: "Evaluations of rule groups before their tick, by what for: a crossing, or the end of an alert's `for`.",
		}, []string{"reason"}),
		seconds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_arrival_cpu_seconds_total",
			Help: "Processor time that evaluations of rule groups before their tick took.",
		}),
		deferred: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_arrival_deferred_total",
			Help: "Evaluations before the tick that came later because their rule group had used its share of a core.",
		}),
	}
	for _, reason := range []why{crossing, waiting} {
		m.evaluations.WithLabelValues(string(reason))
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.evaluations, m.seconds, m.deferred} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of early evaluation: %w; each alerting needs a registerer of its own", err)
	}
	return m, nil
}

func (m *earlyMetrics) evaluated(reason why, took time.Duration) {
	m.evaluations.WithLabelValues(string(reason)).Inc()
	m.seconds.Add(took.Seconds())
}

package arrival

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	alerts    *prometheus.GaugeVec
	refused   prometheus.Counter
	crossings prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, d *Detector) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &metrics{
		alerts: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plimsoll_alerting_arrival_rules",
			Help: "Alerting rules, by whether they are evaluated when a sample crosses (arrival) or at ticks alone (tick).",
		}, []string{"evaluated"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_arrival_series_refused_total",
			Help: "Series that were not followed because the limit was reached; rules about them are evaluated at ticks alone.",
		}),
		crossings: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_arrival_crossings_total",
			Help: "How often samples that came together changed the truth of some alert of a rule group.",
		}),
	}
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "plimsoll_alerting_arrival_series_limit",
		Help: "How many series are followed at the most.",
	})
	limit.Set(float64(d.max))
	series := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plimsoll_alerting_arrival_series",
		Help: "Series that are followed as their samples arrive.",
	}, func() float64 { return float64(d.size()) })
	m.rules(0, 0)

	var errs []error
	for _, c := range []prometheus.Collector{m.alerts, m.refused, m.crossings, limit, series} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of the detector: %w; each needs a registerer of its own", err)
	}
	return m, nil
}

func (m *metrics) rules(followed, left int) {
	m.alerts.WithLabelValues("arrival").Set(float64(followed))
	m.alerts.WithLabelValues("tick").Set(float64(left))
}

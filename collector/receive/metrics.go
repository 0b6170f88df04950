package receive

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests   *prometheus.CounterVec // by protocol and code
	samples    *prometheus.CounterVec // by protocol
	refused    *prometheus.CounterVec // by protocol and reason
	bytes      *prometheus.CounterVec // by protocol
	turnedAway *prometheus.CounterVec // by why
	exemplars  prometheus.Counter
	panics     prometheus.Counter
	waiting    prometheus.Gauge
}

const prefix = "plimsoll_collector_receive_"

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	m := &metrics{
		requests:   counters("requests_total", "Requests of remote write and OTLP, by how they were answered.", "protocol", "code"),
		samples:    counters("samples_total", "Samples stored.", "protocol"),
		refused:    counters("refused_samples_total", "Samples that were not stored, by reason.", "protocol", "reason"),
		bytes:      counters("bytes_total", "Bytes of requests, as they came over the wire.", "protocol"),
		turnedAway: counters("turned_away_total", "Requests that were told to come again: \"busy\" if too many were worked on, \"store\" if nothing was taken in.", "why"),
		exemplars: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "dropped_exemplars_total", Help: "Exemplars that came with samples; none are kept.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "panics_total", Help: "Requests that were given up because of a mistake in the program.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "waiting_requests", Help: "Requests that wait to be worked on.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.requests, m.samples, m.refused, m.bytes, m.turnedAway, m.exemplars, m.panics, m.waiting,
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of receiving: %w", err)
		}
	}
	return m, nil
}

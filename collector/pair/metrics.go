package pair

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	lines             prometheus.Gauge
	failures, refused prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		lines:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "plimsoll_pair_lines", Help: "Connections to the other collector of the pair that are open: 2 if each has called the other, 1 is enough, 0 if it is alone."}),
		failures: counter("plimsoll_pair_failures_total", "Calls to the other collector of the pair that failed or ended."),
		refused:  counter("plimsoll_pair_refused_total", "Calls whose other end did not prove to be the other collector of the pair."),
	}
	if reg == nil {
		return m, nil
	}
	if err := errors.Join(reg.Register(m.lines), reg.Register(m.failures), reg.Register(m.refused)); err != nil {
		return nil, fmt.Errorf("register metrics of the pair: %w", err)
	}
	return m, nil
}

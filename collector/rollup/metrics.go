package rollup

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the rollups say of themselves.
type metrics struct {
	in, out, seconds, failures prometheus.Counter
	pending                    prometheus.Gauge
	queries                    *prometheus.CounterVec

	registerer prometheus.Registerer
	registered []prometheus.Collector
}

func (s *Store) register(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "plimsoll_rollup_" + name, Help: help})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "plimsoll_rollup_" + name, Help: help}, value)
	}
	m := &metrics{
		registerer: r,
		in:         counter("samples_in_total", "Samples read to make rollups of."),
		out:        counter("samples_out_total", "Samples written as rollups."),
		seconds:    counter("seconds_total", "Time spent on rolling up, rests not counted."),
		failures:   counter("failures_total", "Attempts to roll up that failed and are made again."),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "plimsoll_rollup_pending_slices", Help: "Slices of six hours that are due and not yet rolled up.",
		}),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_rollup_selects_total",
			Help: "Series selectors of queries, by what answered: raw, rollup, or both.",
		}, []string{"from"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.in, m.out, m.seconds, m.failures, m.pending, m.queries,
		gauge("watermark_timestamp_seconds", "Up to when rollups stand in for samples without a hole; 0 if there are none.", func() float64 {
			return float64(s.watermark()) / 1000
		}),
		gauge("lag_seconds", "How much is due and cannot be answered from rollups yet; 0 if nothing is stored that long.", s.lag),
		gauge("bytes", "Size of the rollups on disk.", func() float64 {
			var sum int64
			for _, b := range s.db.Blocks() {
				sum += b.Size()
			}
			return float64(sum)
		}),
		gauge("lost_blocks", "Damaged blocks of rollups that were set aside at the start.", func() float64 { return float64(s.lost) }),
	} {
		if err := r.Register(c); err != nil {
			m.unregister()
			return nil, err
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
	m.registered = nil
}

// watermark is covered, or 0 if that cannot be told.
func (s *Store) watermark() int64 {
	from, ok, err := s.rawFrom()
	if err != nil {
		return 0
	}
	return s.covered(from, ok)
}

func (s *Store) lag() float64 {
	from, ok, err := s.rawFrom()
	if err != nil || !ok {
		return 0
	}
	due := s.due(time.Now())
	done := max(s.covered(from, ok)+window, floor(from, slice))
	return max(0, float64(due-done)/1000)
}

package ship

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	uploads, failures, missed, bytes prometheus.Counter
	succeeded, pending               prometheus.Gauge
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return &metrics{
		uploads:  counter("plimsoll_ship_uploads_total", "Blocks that were copied into the bucket."),
		bytes:    counter("plimsoll_ship_uploaded_bytes_total", "Bytes of the blocks that were copied into the bucket."),
		failures: counter("plimsoll_ship_failures_total", "Rounds over the blocks that ended with an error."),
		missed:   counter("plimsoll_ship_missed_blocks_total", "Blocks that were deleted before they were copied: their samples are not in the bucket."),
		succeeded: gauge("plimsoll_ship_last_success_timestamp_seconds",
			"When a round over the blocks last ended with all of them in the bucket; 0 if none has since the start."),
		pending: gauge("plimsoll_ship_blocks_pending", "Blocks that are not in the bucket yet."),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.uploads, m.bytes, m.failures, m.missed, m.succeeded, m.pending} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

package stream

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	prefix         = "plimsoll_agent_stream_"
	collectorLabel = "collector" // the address, as it is configured
)

// fleetMetrics are those of all collectors.
type fleetMetrics struct {
	connected, acked, offset    *prometheus.GaugeVec
	frames, bytes, reconnects   *prometheus.CounterVec
	backfilled, healed, refused *prometheus.CounterVec
}

// metrics are those of one.
type metrics struct {
	connected, acked, offset  prometheus.Gauge
	frames, bytes, reconnects prometheus.Counter
	backfilled, healed        prometheus.Counter
	refused                   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*fleetMetrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, []string{collectorLabel})
	}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, append([]string{collectorLabel}, more...))
	}
	m := &fleetMetrics{
		connected:  gauge("connected", "1 while the collector is listening."),
		acked:      gauge("acked_seq", "Number of the frame up to which the collector has all on stable storage."),
		offset:     gauge("clock_offset_seconds", "How far this node's clock is ahead of the collector's, as measured when the stream began."),
		frames:     counter("frames_sent_total", "Frames sent, repeated ones included."),
		bytes:      counter("bytes_sent_total", "Bytes of frames sent, after compression."),
		reconnects: counter("reconnects_total", "Attempts to connect after the first."),
		backfilled: counter("backfilled_frames_total", "Frames of the past sent beside the present ones."),
		healed:     counter("healed_frames_total", "Frames sent once more that the collector had acknowledged: it has lost data."),
		refused:    counter("refused_samples_total", "Samples that the collector did not want, or could not have been sent.", "reason"),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.connected, m.acked, m.offset, m.frames, m.bytes, m.reconnects, m.backfilled, m.healed, m.refused,
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the stream: %w", err)
		}
	}
	return m, nil
}

// of are the metrics of one collector, there from the start.
func (m *fleetMetrics) of(collector string) *metrics {
	return &metrics{
		connected:  m.connected.WithLabelValues(collector),
		acked:      m.acked.WithLabelValues(collector),
		offset:     m.offset.WithLabelValues(collector),
		frames:     m.frames.WithLabelValues(collector),
		bytes:      m.bytes.WithLabelValues(collector),
		reconnects: m.reconnects.WithLabelValues(collector),
		backfilled: m.backfilled.WithLabelValues(collector),
		healed:     m.healed.WithLabelValues(collector),
		refused:    m.refused.MustCurryWith(prometheus.Labels{collectorLabel: collector}),
	}
}

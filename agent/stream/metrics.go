package stream

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	connected  prometheus.Gauge
	acked      prometheus.Gauge
	frames     prometheus.Counter
	bytes      prometheus.Counter
	reconnects prometheus.Counter
	refused    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "plimsoll_agent_stream_connected",
			Help: "1 while a collector is listening.",
		}),
		acked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "plimsoll_agent_stream_acked_seq",
			Help: "Number of the last frame that the collector has on stable storage.",
		}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_agent_stream_frames_sent_total",
			Help: "Frames sent, repeated ones included.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_agent_stream_bytes_sent_total",
			Help: "Bytes of frames sent, after compression.",
		}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_agent_stream_reconnects_total",
			Help: "Attempts to connect after the first.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_agent_stream_refused_samples_total",
			Help: "Samples that the collector did not want, or could not have been sent.",
		}, []string{"reason"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connected, m.acked, m.frames, m.bytes, m.reconnects, m.refused} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the stream: %w", err)
		}
	}
	return m, nil
}

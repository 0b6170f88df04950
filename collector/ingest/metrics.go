package ingest

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	frames, repeatedFrames   prometheus.Counter
	samples, repeatedSamples prometheus.Counter
	bytes                    prometheus.Counter
	stale                    prometheus.Counter
	streams                  prometheus.Gauge
	refused                  *prometheus.CounterVec // by reason
	missing                  *prometheus.CounterVec // by node
	conflicts                *prometheus.CounterVec // by node
	lag, skew, interval      *prometheus.GaugeVec   // by node
	settingsRefused          *prometheus.CounterVec // by node
	storeErrors              *prometheus.CounterVec // by deed
	halted                   prometheus.Gauge
	syncSeconds              prometheus.Histogram
}

const prefix = "plimsoll_collector_ingest_"

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{label})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, []string{nodeLabel})
	}
	m := &metrics{
		frames:          counter("frames_total", "Frames stored."),
		repeatedFrames:  counter("repeated_frames_total", "Frames that came again and were recognised."),
		samples:         counter("samples_total", "Samples stored."),
		repeatedSamples: counter("repeated_samples_total", "Samples of frames that came again."),
		bytes:           counter("bytes_total", "Bytes of frames received, as they came over the wire."),
		stale:           counter("stale_series_total", "Series that were ended because their agent went away, or came back without them."),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "streams", Help: "Agents that are connected.",
		}),
		refused:         counters("refused_samples_total", "Samples that were not stored, by reason.", "reason"),
		missing:         counters("missing_frames_total", "Frames that an agent no longer had: holes in its series.", nodeLabel),
		conflicts:       counters("node_conflicts_total", "Times an agent came up as a node that another one was streaming as.", nodeLabel),
		lag:             gauges("lag_seconds", "Age of an agent's last frame when it was stored."),
		skew:            gauges("clock_offset_seconds", "How far an agent's clock was ahead of this one when it connected, the time of its message on the way included."),
		interval:        gauges("agent_interval_seconds", "Time from one tick of the agent to the next, slowed if it is, as the agent says."),
		settingsRefused: counters("settings_refused_total", "Settings wanted of an agent that it refused, in part or whole.", nodeLabel),
		storeErrors:     counters("store_errors_total", "Failures of the store, by what was asked of it.", "deed"),
		halted: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "halted", Help: "1 while nothing is taken in because the store has failed.",
		}),
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "commit_duration_seconds", Help: "Time to bring what was stored to stable storage, for all streams together.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 12), // 1 ms to 2 s
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.frames, m.repeatedFrames, m.samples, m.repeatedSamples, m.bytes, m.stale, m.streams, m.refused,
		m.missing, m.conflicts, m.lag, m.skew, m.interval, m.settingsRefused, m.storeErrors, m.halted, m.syncSeconds,
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of ingest: %w", err)
		}
	}
	return m, nil
}

// forget drops what is said of a node that is gone for good.
func (m *metrics) forget(node string) {
	m.missing.DeleteLabelValues(node)
	m.conflicts.DeleteLabelValues(node)
	m.lag.DeleteLabelValues(node)
	m.skew.DeleteLabelValues(node)
	m.interval.DeleteLabelValues(node)
	m.settingsRefused.DeleteLabelValues(node)
}

package ingest

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	frames, repeatedFrames   prometheus.Counter
	samples, repeatedSamples prometheus.Counter
	pastFrames               prometheus.Counter
	bytes                    prometheus.Counter
	stale                    prometheus.Counter
	faults, skipped          prometheus.Counter
	mismatches               prometheus.Counter
	streams                  prometheus.Gauge
	refused                  *prometheus.CounterVec // by reason
	refusedSeries            *prometheus.CounterVec // by node, container and reason
	missing                  *prometheus.CounterVec // by node
	conflicts                *prometheus.CounterVec // by node
	lag, skew, interval      *prometheus.GaugeVec   // by node
	pastLeft                 *prometheus.GaugeVec   // by node
	settingsRefused          *prometheus.CounterVec // by node
	storeErrors, tapErrors   *prometheus.CounterVec // by deed
	ends                     *prometheus.CounterVec // by gRPC's code
	halted, refusing, alone  prometheus.Gauge
	busy, slowdown           prometheus.Gauge
	waited, pastHeld         prometheus.Counter
	droppedEvents            prometheus.Counter
	syncSeconds              prometheus.Histogram
}

const prefix = "plimsoll_collector_ingest_"

func newMetrics(r prometheus.Registerer, limits Limits) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, []string{nodeLabel})
	}
	m := &metrics{
		frames:          counter("frames_total", "Frames stored."),
		repeatedFrames:  counter("repeated_frames_total", "Frames that came again and were recognised."),
		samples:         counter("samples_total", "Samples stored."),
		repeatedSamples: counter("repeated_samples_total", "Samples of frames that came again."),
		pastFrames:      counter("backfilled_frames_total", "Frames stored that agents had kept during an outage and sent beside the present ones."),
		bytes:           counter("bytes_total", "Bytes of frames received, as they came over the wire."),
		stale:           counter("stale_series_total", "Series that were ended because their agent went away, or came back without them."),
		faults:          counter("faults_total", "Faults of the collector while it took in a frame: its stream ended, and it was asked for once more."),
		skipped:         counter("skipped_frames_total", "Frames left out because they brought the collector to a fault twice."),
		mismatches:      counter("identity_mismatches_total", "Streams whose agent named another node than its certificate, which was believed."),
		streams:         gauge("streams", "Agents that are connected."),
		refused:         counters("refused_samples_total", "Samples that were not stored, by reason.", "reason"),
		refusedSeries:   counters("refused_series_total", "Series over the limit of their container when they were named, once per stream; beyond 1000 containers, container is \"other\".", nodeLabel, "container", "reason"),
		missing:         counters("missing_frames_total", "Frames that an agent no longer had, or in more holes than are remembered: holes in its series.", nodeLabel),
		conflicts:       counters("node_conflicts_total", "Times an agent came up as a node that another one was streaming as.", nodeLabel),
		lag:             gauges("lag_seconds", "Age of an agent's last frame when it was stored."),
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plimsoll_agent_clock_skew_seconds",
			Help: "How far an agent's clock was ahead of this one when its stream began. Beyond a second its samples are stored by the clock of the collector.",
		}, []string{nodeLabel}),
		interval:        gauges("agent_interval_seconds", "Time from one tick of the agent to the next, slowed if it is, as the agent says."),
		pastLeft:        gauges("backfill_frames", "Frames of an outage that the agent has still to send; none if it has caught up."),
		settingsRefused: counters("settings_refused_total", "Settings wanted of an agent that it refused, in part or whole.", nodeLabel),
		storeErrors:     counters("store_errors_total", "Failures of the store, by what was asked of it.", "deed"),
		tapErrors:       counters("tap_errors_total", "Times that what was stored could not be passed on as well, by what was asked.", "deed"),
		ends:            counters("streams_ended_total", "Streams that ended, by gRPC's code: InvalidArgument and ResourceExhausted are agents that broke a rule or a limit, Canceled and OK are their own doing.", "code"),
		busy:            gauge("busy_ratio", "Share of the time that the places for work on frames were taken by present ones, over some 15 seconds."),
		slowdown:        gauge("slowdown", "At how many of its intervals each agent is asked to tick, because more comes in than can be taken in; 1 if it does not."),
		waited:          counter("turn_wait_seconds_total", "Time that frames waited for their turn, all together."),
		pastHeld:        counter("backfill_held_seconds_total", "Time for which agents were kept from sending more of their past, so that all together keep to the limit."),
		droppedEvents:   counter("dropped_events_total", "Events left out because their frame had too many."),
		halted:          gauge("halted", "1 while nothing is taken in because the store has failed."),
		refusing:        gauge("refusing", "1 while nothing is taken in because there is no room."),
		alone:           gauge("unreplicated", "1 while nothing is acknowledged because no other collector has it."),
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "commit_duration_seconds", Help: "Time to bring what was stored to stable storage, for all streams together.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 12), // 1 ms to 2 s
		}),
	}
	m.slowdown.Set(1)
	if r == nil {
		return m, nil
	}
	all := []prometheus.Collector{
		m.frames, m.repeatedFrames, m.samples, m.repeatedSamples, m.pastFrames, m.bytes, m.stale, m.faults, m.skipped, m.mismatches,
		m.streams, m.refused, m.refusedSeries, m.missing, m.conflicts, m.lag, m.skew, m.interval, m.pastLeft, m.settingsRefused,
		m.storeErrors, m.tapErrors, m.ends, m.halted, m.refusing, m.alone, m.busy, m.slowdown, m.waited, m.pastHeld, m.droppedEvents,
		m.syncSeconds,
	}
	if most := limits.TotalSeries; most > 0 { // without a limit there is none to show
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "series_limit", Help: "Series that may be in memory before new ones are refused, those of applications first.",
		}, func() float64 { return float64(most) }))
	}
	for _, c := range all {
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
	m.pastLeft.DeleteLabelValues(node)
	m.settingsRefused.DeleteLabelValues(node)
	m.refusedSeries.DeletePartialMatch(prometheus.Labels{nodeLabel: node})
}

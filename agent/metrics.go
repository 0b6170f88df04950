package agent

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// watched is a source with what it cost and how it failed.
type watched struct {
	Source

	took     atomic.Int64 // ns, in all ticks
	failed   atomic.Uint64
	panicked atomic.Uint64
}

// metrics is what the agent says of itself, in two ways: as samples in its own
// batches, where every collector has them, and to a Prometheus registry, where
// they can be read when no collector can be reached.
type metrics struct {
	version   string
	backlog   func() Backlog
	discovery func() discover.Stats
	settings  func() Settings
	interval  time.Duration
	clock     *Clock
	sources   []*watched

	ticks   atomic.Uint64
	missed  atomic.Uint64
	samples atomic.Uint64
	lost    atomic.Uint64 // batches that could not be spooled
	took    atomic.Int64  // ns, the last tick
}

func newMetrics(opts Options, sources []*watched) *metrics {
	return &metrics{
		version: opts.Version, backlog: opts.Backlog, discovery: opts.Discovery,
		settings: opts.Settings, interval: opts.Interval, clock: opts.Clock, sources: sources,
	}
}

// fact is one of the agent's own metrics and where its value is.
type fact struct {
	name, help string
	counter    bool
	label      [2]string // name and value; empty if it has none
	divisor    uint32
	value      func() float64
}

// facts lists them all. It is the one place that knows their names.
func (m *metrics) facts() []fact {
	count := func(n *atomic.Uint64) func() float64 { return func() float64 { return float64(n.Load()) } }
	spent := func(n *atomic.Int64) func() float64 {
		return func() float64 { return float64(n.Load()/int64(time.Microsecond)) / 1e6 }
	}
	list := []fact{
		{
			name: "plimsoll_agent_build_info", help: "Always 1; the label says which version this is.",
			label: [2]string{"version", m.version}, value: func() float64 { return 1 },
		},
		{name: "plimsoll_agent_ticks_total", help: "Times that the sources were read.", counter: true, value: count(&m.ticks)},
		{name: "plimsoll_agent_ticks_missed_total", help: "Ticks left out because the one before took too long.", counter: true, value: count(&m.missed)},
		{name: "plimsoll_agent_tick_duration_seconds", help: "How long it took to read all sources the last time.", divisor: 1e6, value: spent(&m.took)},
		{name: "plimsoll_agent_samples_total", help: "Samples handed to the spool.", counter: true, value: count(&m.samples)},
		{name: "plimsoll_agent_batches_lost_total", help: "Batches that could not be written to the spool.", counter: true, value: count(&m.lost)},
		{
			name: "plimsoll_agent_clock_jumps_total", help: "Times that the node's clock was set, forward or back.", counter: true,
			value: func() float64 { return float64(m.clock.Jumps()) },
		},
		{
			name: "plimsoll_agent_interval_seconds", help: "Time from one tick to the next, slowed if the collector wants that.", divisor: 1000,
			value: func() float64 {
				return (m.interval * time.Duration(max(m.settings().Slowdown, 1))).Seconds()
			},
		},
		{
			name: "plimsoll_agent_settings_version", help: "Version of the collector's settings that are in force; 0 if there are none.",
			value: func() float64 { return float64(m.settings().Version) },
		},
		{
			name: "plimsoll_agent_settings_refused_total", help: "Settings of the collector that were refused, in part or whole.", counter: true,
			value: func() float64 { return float64(m.settings().Refused) },
		},
	}
	for _, s := range m.sources {
		label := [2]string{"source", s.Name()}
		list = append(list,
			fact{name: "plimsoll_agent_source_duration_seconds_total", help: "Time spent reading the source.", counter: true, label: label, divisor: 1e6, value: spent(&s.took)},
			fact{name: "plimsoll_agent_source_errors_total", help: "Ticks at which the source could not be read in full.", counter: true, label: label, value: count(&s.failed)},
			fact{name: "plimsoll_agent_source_panics_total", help: "Ticks at which the source failed by a bug and gave nothing.", counter: true, label: label, value: count(&s.panicked)},
		)
	}
	if m.backlog != nil {
		of := func(pick func(Backlog) uint64) func() float64 {
			return func() float64 { return float64(pick(m.backlog())) }
		}
		list = append(list,
			fact{name: "plimsoll_agent_spool_bytes", help: "Size of the spool on disk.", value: of(func(b Backlog) uint64 { return b.SpoolBytes })},
			fact{
				name: "plimsoll_agent_spool_limit_bytes", help: "Size that the spool may have; beyond, batches are dropped, oldest first.",
				value: of(func(b Backlog) uint64 { return b.SpoolLimit }),
			},
			fact{
				name: "plimsoll_agent_spool_dropped_batches_total", help: "Batches dropped, oldest first, because the spool was full.", counter: true,
				value: of(func(b Backlog) uint64 { return b.Dropped }),
			},
			fact{
				name: "plimsoll_agent_spool_damaged_batches_total", help: "Batches found damaged on disk and stepped over.", counter: true,
				value: of(func(b Backlog) uint64 { return b.Damaged }),
			},
			fact{
				name: "plimsoll_agent_unacknowledged_batches", help: "Batches on disk that no collector has confirmed.",
				value: of(func(b Backlog) uint64 { return b.Unacknowledged }),
			},
			fact{
				name: "plimsoll_agent_unacknowledged_bytes", help: "Part of the spool that some collector has not confirmed, to the segment.",
				value: of(func(b Backlog) uint64 { return b.WaitingBytes }),
			},
			fact{
				name: "plimsoll_agent_resent_batches_total", help: "Batches sent once more that a collector had confirmed: it has lost data.", counter: true,
				value: of(func(b Backlog) uint64 { return b.Resent }),
			},
		)
	}
	if m.discovery != nil {
		list = append(list, m.discoveryFacts()...)
	}
	return list
}

func (m *metrics) discoveryFacts() []fact {
	of := func(pick func(discover.Stats) uint64) func() float64 {
		return func() float64 { return float64(pick(m.discovery())) }
	}
	return []fact{
		{
			name: "plimsoll_agent_discovery_left_out", help: "Cgroups that are not followed because they are too many or too deep.",
			value: of(func(s discover.Stats) uint64 { return uint64(s.LeftOut) }),
		},
		{
			name: "plimsoll_agent_discovery_dropped_total", help: "Events, kills and names for which there was no room.", counter: true,
			value: of(func(s discover.Stats) uint64 { return s.Dropped }),
		},
		{
			name: "plimsoll_agent_discovery_unreadable_total", help: "Cgroups that are there and could not be listed.", counter: true,
			value: of(func(s discover.Stats) uint64 { return s.Unreadable }),
		},
		{
			name: "plimsoll_agent_discovery_inotify_fallbacks_total", help: "Times that inotify missed changes, and scans stood in for it.", counter: true,
			value: of(func(s discover.Stats) uint64 { return s.InotifyFallbacks }),
		},
		{
			name: "plimsoll_agent_engine_connected", help: "1 while the container engine is listened to.",
			value: func() float64 {
				if m.discovery().EngineConnected {
					return 1
				}
				return 0
			},
		},
		{
			name: "plimsoll_agent_engine_reconnects_total", help: "Connections to the container engine after the first.", counter: true,
			value: of(func(s discover.Stats) uint64 { return s.EngineReconnects }),
		},
	}
}

// Describe makes metrics a prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect makes metrics a prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, f := range m.facts() {
		var labels prometheus.Labels
		if f.label[0] != "" {
			labels = prometheus.Labels{f.label[0]: f.label[1]}
		}
		kind := prometheus.GaugeValue
		if f.counter {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(f.name, f.help, nil, labels), kind, f.value())
	}
}

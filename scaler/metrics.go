package scaler

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// metrics is what the scaler says of itself. What is not known has no series:
// a number of replicas that could not be read is absent, not 0.
type metrics struct {
	desired, ready, wanted, unbounded, min, max *prometheus.GaugeVec
	available                                   *prometheus.GaugeVec

	ticks, skipped, queryErrors, platformErrors *prometheus.CounterVec
	actions, refused, conflicts, gates          *prometheus.CounterVec
	duration                                    *prometheus.HistogramVec

	boot      *prometheus.GaugeVec
	evaluated *prometheus.CounterVec
	reaction  *prometheus.HistogramVec
	queries   prometheus.Counter
	looks     prometheus.Counter
	unheard   *prometheus.CounterVec
	frozen    prometheus.Gauge

	stateErrors   prometheus.Counter
	journalErrors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: "plimsoll_scaler_" + name, Help: help}, append([]string{"policy"}, labels...))
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: "plimsoll_scaler_" + name, Help: help}, append([]string{"policy"}, labels...))
	}
	m := &metrics{
		desired:   gauge("replicas_desired", "Replicas that the platform was last asked for."),
		ready:     gauge("replicas_ready", "Replicas that can serve."),
		wanted:    gauge("replicas_wanted", "Replicas that the last decision is for, also in advise mode."),
		unbounded: gauge("replicas_unbounded", "Replicas that the signals ask for, before min, max, windows and rates count."),
		min:       gauge("replicas_min", "Least number of replicas that the policy allows."),
		max:       gauge("replicas_max", "Greatest number of replicas that the policy allows."),
		available: gauge("metric_available", "Whether a signal's query had an answer at the last tick, 1 or 0.", "signal"),

		ticks:          counter("ticks_total", "Decisions made."),
		skipped:        counter("ticks_skipped_total", "Ticks left out because the one before took too long."),
		queryErrors:    counter("query_errors_total", "Queries that failed.", "signal"),
		platformErrors: counter("platform_errors_total", "Times the platform did not say how many replicas there are."),
		actions:        counter("actions_total", "Requests for another number of replicas.", "direction", "result"),
		refused:        counter("refused_total", "What was not let through: by the guard because of ceiling, negative, mode or rate, or by the decision because of a signal.", "reason"),
		conflicts:      counter("conflicts_total", "Writes that met a change by someone else and were decided again."),
		duration: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "plimsoll_scaler_tick_duration_seconds",
			Help:    "Time from the start of a tick to its end, the platform's answer included.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"policy"}),

		gates: counter("gates_total", "Decisions in which something stood in the way, by what it was.", "gate"),
		boot:  gauge("replica_boot_seconds", "Time from asking for a replica until it is ready, the 95th percentile of the last 50."),
		evaluated: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_scaler_evaluations_total",
			Help: "Times that a policy was evaluated, by what led to it.",
		}, []string{"trigger"}),
		reaction: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "plimsoll_scaler_reaction_seconds",
			Help:    "Time until the platform has accepted another number of replicas, from when the first sample that led to it was taken, or arrived here.",
			Buckets: []float64{.1, .2, .3, .5, .75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 5, 10, 30},
			// For those who scrape native ones.
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"from", "direction"}),
		queries: auto.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_scaler_queries_total",
			Help: "Queries asked. Policies that are due together and read CPU or memory the same way share theirs.",
		}),
		looks: auto.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_scaler_platform_reads_total",
			Help: "Questions to platforms about workloads, of one or of many at once.",
		}),
		unheard: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_scaler_platform_watch_errors_total",
			Help: "Times that a platform could no longer be listened to. Until it can again, policies see its changes at their interval.",
		}, []string{"driver"}),
		frozen: auto.NewGauge(prometheus.GaugeOpts{
			Name: "plimsoll_scaler_frozen",
			Help: "1 while nothing shrinks anywhere because data of many policies or agents was lost at once, 0 otherwise.",
		}),

		stateErrors: auto.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_scaler_state_errors_total",
			Help: "Times the scaler's memory could not be written. After a restart it then starts afresh, which delays shrinking.",
		}),
		journalErrors: auto.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_scaler_journal_errors_total",
			Help: "Entries that could not be written to the journal.",
		}),
	}
	for _, t := range journal.Triggers {
		m.evaluated.WithLabelValues(string(t))
	}
	return m
}

// begin makes a policy's series, counters at 0 so that a rate sees the first.
func (m *metrics) begin(app policy.App) {
	m.min.WithLabelValues(app.Name).Set(float64(app.Min))
	m.max.WithLabelValues(app.Name).Set(float64(app.Max))
	for _, c := range []*prometheus.CounterVec{m.ticks, m.skipped, m.platformErrors, m.conflicts} {
		c.WithLabelValues(app.Name)
	}
	for _, signal := range app.Signals {
		m.queryErrors.WithLabelValues(app.Name, signal.Name)
	}
}

// end removes the series of a policy that is no more.
func (m *metrics) end(name string) {
	of := prometheus.Labels{"policy": name}
	for _, g := range []*prometheus.GaugeVec{m.desired, m.ready, m.wanted, m.unbounded, m.min, m.max, m.available, m.boot} {
		g.DeletePartialMatch(of)
	}
	for _, c := range []*prometheus.CounterVec{m.ticks, m.skipped, m.queryErrors, m.platformErrors, m.actions, m.refused, m.conflicts, m.gates} {
		c.DeletePartialMatch(of)
	}
	m.duration.DeletePartialMatch(of)
}

// reacted tells how long a change took, if it is known which samples led to it.
func (m *metrics) reacted(direction string, n news, accepted time.Time) {
	if n.arrived.IsZero() {
		return
	}
	m.reaction.WithLabelValues("sample", direction).Observe(accepted.Sub(n.taken).Seconds())
	m.reaction.WithLabelValues("arrival", direction).Observe(accepted.Sub(n.arrived).Seconds())
}

// observe tells what a tick saw and decided.
func (m *metrics) observe(e journal.Entry) {
	m.ticks.WithLabelValues(e.Policy).Inc()
	m.evaluated.WithLabelValues(string(e.Trigger)).Inc()
	if e.Observation.Err != "" {
		m.platformErrors.WithLabelValues(e.Policy).Inc()
		for _, g := range []*prometheus.GaugeVec{m.desired, m.ready, m.wanted} {
			g.DeleteLabelValues(e.Policy)
		}
	} else {
		m.desired.WithLabelValues(e.Policy).Set(float64(e.Observation.Desired))
		m.ready.WithLabelValues(e.Policy).Set(float64(e.Observation.Ready))
		m.wanted.WithLabelValues(e.Policy).Set(float64(e.Decision.To))
	}
	for i, g := range e.Decision.Gates {
		named := func(other decide.Gate) bool { return other.Name == g.Name }
		if !slices.ContainsFunc(e.Decision.Gates[:i], named) {
			m.gates.WithLabelValues(e.Policy, g.Name).Inc()
		}
	}
	if n, ok := e.Decision.Unbounded(); ok {
		m.unbounded.WithLabelValues(e.Policy).Set(float64(n))
	} else {
		m.unbounded.DeleteLabelValues(e.Policy)
	}
	if e.Observation.Boot > 0 {
		m.boot.WithLabelValues(e.Policy).Set(e.Observation.Boot.Seconds())
	}
	for _, reading := range e.Observation.Signals {
		available := 0.0
		if reading.Err == "" {
			available = 1
		}
		m.available.WithLabelValues(e.Policy, reading.Signal).Set(available)
	}
}

package scaler

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/plimsoll-io/plimsoll/scaler/forecast"
)

// aheadMetrics is what is said of forecasts and events. What is not known has no
// series.
type aheadMetrics struct {
	standing *prometheus.GaugeVec
	load     *prometheus.GaugeVec
	missed   *prometheus.GaugeVec
	skill    *prometheus.GaugeVec
	gain     *prometheus.GaugeVec
	cost     *prometheus.GaugeVec
	bases    *prometheus.GaugeVec
	errors   *prometheus.CounterVec
	fits     prometheus.Histogram
}

func newAheadMetrics(reg prometheus.Registerer) *aheadMetrics {
	auto := promauto.With(reg)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: "plimsoll_scaler_" + name, Help: help}, append([]string{"policy"}, labels...))
	}
	return &aheadMetrics{
		standing: gauge("forecast_standing", "1 for what the forecast is: learning, off, on or suspended; 0 for what it is not.", "standing"),
		load:     gauge("forecast_load", "Load that is expected by the time that new replicas are ready, in the unit of the policy's first tracking signal, whether or not the forecast may act."),
		missed:   gauge("forecast_missed_ratio", "Share of the last hour that was outside of nine tenths of what was expected."),
		skill:    gauge("forecast_skill_ratio", "By how much the forecast was better than what anybody could say without it, on days that it had not seen; below 0 it was worse."),
		gain:     gauge("forecast_gain_ratio", "Share of the shortfall of replicas that the forecast took away when the last days were replayed."),
		cost:     gauge("forecast_cost_ratio", "Share of replica-hours that the forecast added when the last days were replayed."),
		bases:    gauge("event_base_load", "Load that an event multiplies, in the unit of the policy's first tracking signal; absent if it is not known.", "event"),
		errors: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_scaler_history_errors_total",
			Help: "Times the history of a load could not be had, for a forecast or an event.",
		}, []string{"policy"}),
		fits: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "plimsoll_scaler_forecast_fit_duration_seconds",
			Help:    "Time that a forecast took to read its history, to be fitted and to be tried.",
			Buckets: []float64{.1, .5, 1, 5, 10, 30, 60, 300, 1800},
		}),
	}
}

// show tells how a forecast stands.
func (m *aheadMetrics) show(v *foresight) {
	name := v.app.Name
	for _, s := range []forecast.Standing{forecast.Learning, forecast.Off, forecast.On, forecast.Suspended} {
		is := 0.0
		if v.gate.Standing == s {
			is = 1
		}
		m.standing.WithLabelValues(name, string(s)).Set(is)
	}
	set(m.load, name, v.ahead != nil, func() float64 { return v.ahead.Load })
	set(m.missed, name, v.fitted != nil && v.missed >= 0, func() float64 { return v.missed })
	t := v.gate.Trial
	set(m.skill, name, t != nil, func() float64 { return t.Skill })
	set(m.gain, name, t != nil, func() float64 { return t.Gain() })
	set(m.cost, name, t != nil, func() float64 { return t.Cost() })
}

// set gives a policy's series a value, or takes it away.
func set(g *prometheus.GaugeVec, name string, known bool, value func() float64) {
	if known {
		g.WithLabelValues(name).Set(value())
		return
	}
	g.DeleteLabelValues(name)
}

func (m *aheadMetrics) base(name string, b base) {
	if b.known {
		m.bases.WithLabelValues(name, b.event.Name).Set(b.load)
		return
	}
	m.bases.DeleteLabelValues(name, b.event.Name)
}

// end removes the series of a policy that is no more.
func (m *aheadMetrics) end(name string) {
	of := prometheus.Labels{"policy": name}
	for _, g := range []*prometheus.GaugeVec{m.standing, m.load, m.missed, m.skill, m.gain, m.cost, m.bases} {
		g.DeletePartialMatch(of)
	}
	m.errors.DeletePartialMatch(of)
}

package alerting

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// alertmanagerVersion is that of the module assembled here. Tools such as karma
// decide by it how to speak to the API, so it is not Plimsoll's own.
const alertmanagerVersion = "0.34.2"

// metrics are those that Alertmanager's main package has, under their names so
// that its dashboards and rules work, and our own.
type metrics struct {
	buildInfo       *prometheus.GaugeVec
	reloadOK        prometheus.Gauge
	reloadTime      prometheus.Gauge
	requests        *prometheus.HistogramVec
	receivers       prometheus.Gauge
	integrations    prometheus.Gauge
	inhibitionRules prometheus.Gauge
	watchdog        prometheus.Gauge
	handed, refused prometheus.Counter
	held            *prometheus.GaugeVec
	heldExpired     prometheus.Counter
	refilled        prometheus.Counter
	slow            *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		buildInfo: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "alertmanager_build_info",
			Help: "1, labelled by the version of the Alertmanager inside.",
		}, []string{"version"}),
		reloadOK:   gauge("alertmanager_config_last_reload_successful", "Whether the last reload of alertmanager.yml and rules came into force."),
		reloadTime: gauge("alertmanager_config_last_reload_success_timestamp_seconds", "When a configuration last came into force."),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "alertmanager_http_request_duration_seconds",
			Help:    "How long requests to API v2 took.",
			Buckets: prometheus.DefBuckets,
		}, []string{"handler", "method", "code"}),
		receivers:       gauge("alertmanager_receivers", "Receivers that a route leads to."),
		integrations:    gauge("alertmanager_integrations", "Integrations of those receivers."),
		inhibitionRules: gauge("alertmanager_inhibition_rules", "Inhibition rules."),
		watchdog:        gauge("plimsoll_alerting_watchdog_routed", "1 if a route that names the alert Watchdog leads to somebody, 0 if not; it fires only then."),
		handed:          counter("plimsoll_alerting_alerts_total", "Alerts handed from rules to the notification pipeline, resolved and repeated ones included."),
		refilled:        counter("plimsoll_alerting_refill_evaluations_total", "Evaluations of groups of recording rules for times in which the collector was down."),
		refused:         counter("plimsoll_alerting_alerts_refused_total", "Alerts of rules that the notification pipeline did not take."),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plimsoll_alerting_held_alerts",
			Help: "Alerts that fire because nobody has seen them end, by the reason: evaluation, their rule fails; node, their agent is away or just back; source, the agent cannot read it; restart, no data since this process started.",
		}, []string{"reason"}),
		slow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_alerting_slow_notifications_total",
			Help: "Flushes of groups that went on without an integration that took too long; it is told of what it missed later.",
		}, []string{"integration"}),
		heldExpired: counter("plimsoll_alerting_held_expired_total", "Alerts that were held without data for as long as may be, and then counted as resolved."),
	}
	m.buildInfo.WithLabelValues(alertmanagerVersion).Set(1)

	var errs []error
	for _, c := range []prometheus.Collector{
		m.buildInfo, m.reloadOK, m.reloadTime, m.requests, m.receivers, m.integrations, m.inhibitionRules, m.watchdog, m.handed, m.refused, m.held, m.heldExpired, m.refilled, m.slow,
	} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of alerting: %w; each alerting needs a registerer of its own", err)
	}
	return m, nil
}

func (m *metrics) reloaded(err error) {
	if err != nil {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadTime.SetToCurrentTime()
}

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
	handed, refused prometheus.Counter
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
		handed:          counter("plimsoll_alerting_alerts_total", "Alerts handed from rules to the notification pipeline, resolved and repeated ones included."),
		refused:         counter("plimsoll_alerting_alerts_refused_total", "Alerts of rules that the notification pipeline did not take."),
	}
	m.buildInfo.WithLabelValues(alertmanagerVersion).Set(1)

	var errs []error
	for _, c := range []prometheus.Collector{
		m.buildInfo, m.reloadOK, m.reloadTime, m.requests, m.receivers, m.integrations, m.inhibitionRules, m.handed, m.refused,
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

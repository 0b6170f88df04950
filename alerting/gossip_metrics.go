package alerting

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type gossipMetrics struct {
	sent, received, dropped, strange, wholes prometheus.Counter
}

func newGossipMetrics(reg prometheus.Registerer, g *gossip) (*gossipMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "plimsoll_alerting_peer_" + name, Help: help})
	}
	m := &gossipMetrics{
		sent:     counter("changes_sent_total", "Changes of silences and of the notification log that were sent to the other collector of the pair."),
		received: counter("changes_received_total", "Changes that came from the other collector, those that were known among them."),
		dropped:  counter("changes_dropped_total", "Changes for the other collector that there was no room for; it was sent all there is instead, unless one is too large for that."),
		strange:  counter("changes_refused_total", "Changes of the other collector that make no sense."),
		wholes:   counter("wholes_sent_total", "Times that all silences and the whole notification log were sent: at each connection, and after a drop."),
	}
	lines := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plimsoll_alerting_peer_connected",
		Help: "Connections on which the other collector of the pair was heard of lately. At 0 this one tells all alerts, and the other, if it lives, does too.",
	}, g.connected)
	var errs []error
	for _, c := range []prometheus.Collector{m.sent, m.received, m.dropped, m.strange, m.wholes, lines} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of gossip: %w", err)
	}
	return m, nil
}

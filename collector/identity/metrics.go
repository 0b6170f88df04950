package identity

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	tokens, revoked, handshakes, crowded, errors prometheus.Counter
	granted                                      *prometheus.CounterVec // by deed
	refused                                      *prometheus.CounterVec // by deed and reason
	ended                                        *prometheus.CounterVec // by reason
}

const prefix = "plimsoll_collector_identity_"

// register makes the metrics and hands them to the registerer.
func (a *Authority) register() error {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	m := &metrics{
		tokens:     counter("tokens_created_total", "Tokens made to let nodes in."),
		revoked:    counter("revocations_total", "Times that certificates were revoked by command."),
		handshakes: counter("failed_handshakes_total", "Connections that ended before TLS was agreed on."),
		crowded:    counter("crowded_out_total", "Connections that were closed at once, as many as may be had proven nothing yet."),
		errors:     counter("write_errors_total", "Changes that were not made because the disk did not take them."),
		granted:    counters("granted_total", "Certificates given to nodes, by what they came with: a token (enroll) or a certificate (renew).", "deed"),
		refused:    counters("refused_total", "Calls that were refused, by what was asked for and why.", "deed", "reason"),
		ended:      counters("streams_ended_total", "Streams that were ended because their certificate no longer counted.", "reason"),
	}
	a.metrics = m
	if a.opts.Registerer == nil {
		return nil
	}
	for _, c := range append(a.strangers.collectors(),
		m.tokens, m.revoked, m.handshakes, m.crowded, m.errors, m.granted, m.refused, m.ended,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "authority_expires_timestamp_seconds", Help: "When the authority's certificate expires, unless plimsoll ca rotate makes a new one.",
		}, a.expires),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "nodes", Help: "Nodes that have a certificate that is good."}, a.nodes),
		overdue{a},
	) {
		if err := a.opts.Registerer.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (a *Authority) expires() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return float64(a.ca.cert.NotAfter.Unix())
}

func (a *Authority) nodes() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, count := time.Now(), 0
	for _, n := range a.state.Nodes {
		if n.live(now) > 0 {
			count++
		}
	}
	return float64(count)
}

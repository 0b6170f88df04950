package chatbot

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	posts     *prometheus.CounterVec // integration, verdict
	waiting   *prometheus.GaugeVec
	merged    *prometheus.CounterVec
	shortened *prometheus.CounterVec
	cut       *prometheus.CounterVec
	overflow  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	const prefix = "plimsoll_alerting_chatbot_"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, append([]string{"integration"}, labels...))
	}
	m := &metrics{
		posts: counter("posts_total", "Messages posted to chat bots, by what the bot made of them: taken, busy (rate limit), refused, unknown, unreachable.", "verdict"),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "waiting", Help: "Notifications that wait for a chat bot to be allowed another message.",
		}, []string{"integration"}),
		merged:    counter("merged_total", "Notifications that shared a message with others because the bot may take no more messages."),
		shortened: counter("shortened_total", "Notifications told by their headline only because too many waited."),
		cut:       counter("cut_total", "Notifications whose text was cut because it was too long even for several messages."),
		overflow:  counter("overflow_total", "Notifications put off because too many waited already; Alertmanager tries them again."),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.posts, m.waiting, m.merged, m.shortened, m.cut, m.overflow} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics of chat bots: %w; each hub needs a registerer of its own", err)
	}
	return m, nil
}

// show makes the series of an integration exist from the start.
func (m *metrics) show(integration string) {
	for _, verdict := range []string{Taken.String(), Busy.String(), Refused.String(), Unknown.String(), unreachable} {
		m.posts.WithLabelValues(integration, verdict)
	}
	m.waiting.WithLabelValues(integration)
	for _, c := range []*prometheus.CounterVec{m.merged, m.shortened, m.cut, m.overflow} {
		c.WithLabelValues(integration)
	}
}

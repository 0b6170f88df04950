package scaler

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// handMetrics is what is said of what people have said.
type handMetrics struct {
	acts    *prometheus.CounterVec
	paused  *prometheus.GaugeVec
	bounds  *prometheus.GaugeVec
	refused prometheus.Counter
	shown   map[shown]*prometheus.GaugeVec // the series there are of paused and bounds
}

// shown are the labels of a series of paused or bounds, which have none in common.
type shown struct{ policy, label string }

func newHandMetrics(reg prometheus.Registerer) *handMetrics {
	auto := promauto.With(reg)
	m := &handMetrics{
		acts: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_scaler_acts_total",
			Help: "What people have said about policies: pause, resume, override or release.",
		}, []string{"act"}),
		paused: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plimsoll_scaler_paused",
			Help: "1 while a person has paused a policy in that direction; policy is * for a pause of all.",
		}, []string{"policy", "direction"}),
		bounds: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plimsoll_scaler_override_replicas",
			Help: "The floor or ceiling that a person has given a policy for a time.",
		}, []string{"policy", "bound"}),
		refused: auto.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_scaler_acts_refused_total",
			Help: "Requests to pause or override that came too fast one after the other.",
		}),
	}
	for _, v := range []journal.Verb{journal.VerbPause, journal.VerbResume, journal.VerbOverride, journal.VerbRelease} {
		m.acts.WithLabelValues(string(v))
	}
	return m
}

func (m *handMetrics) said(a journal.Act) { m.acts.WithLabelValues(string(a.Verb)).Inc() }

// show tells what counts now. Series of what does not are taken away one by one: a
// scrape must not find those that stay missing.
func (m *handMetrics) show(acts map[aim]held) {
	now := make(map[shown]*prometheus.GaugeVec)
	set := func(of *prometheus.GaugeVec, policy, label string, value float64) {
		of.WithLabelValues(policy, label).Set(value)
		now[shown{policy, label}] = of
	}
	for of, a := range acts {
		switch a.Verb {
		case journal.VerbPause:
			for _, d := range []decide.Pause{decide.PauseIn, decide.PauseOut} {
				if a.Direction == d || a.Direction == decide.PauseAll {
					set(m.paused, of.policy, string(d), 1)
				}
			}
		case journal.VerbOverride:
			if a.Floor > 0 {
				set(m.bounds, of.policy, "floor", float64(a.Floor))
			}
			if a.Ceiling > 0 {
				set(m.bounds, of.policy, "ceiling", float64(a.Ceiling))
			}
		}
	}
	for labels, of := range m.shown {
		if now[labels] == nil {
			of.DeleteLabelValues(labels.policy, labels.label)
		}
	}
	m.shown = now
}

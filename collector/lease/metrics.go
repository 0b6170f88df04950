package lease

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ changes prometheus.Counter }

func newMetrics(r prometheus.Registerer, state func() State) (*metrics, error) {
	m := &metrics{changes: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "plimsoll_lease_acquired_total", Help: "How often this collector began to lead.",
	})}
	if r == nil {
		return m, nil
	}
	gauge := func(name, help string, of func(State) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return of(state()) })
	}
	truth := func(name, help string, of func(State) bool) prometheus.Collector {
		return gauge(name, help, func(s State) float64 {
			if of(s) {
				return 1
			}
			return 0
		})
	}
	for _, c := range []prometheus.Collector{
		m.changes,
		truth("plimsoll_lease_held", "Whether this collector leads: it alone scales.", func(s State) bool { return s.Held }),
		truth("plimsoll_lease_decided", "Whether any collector leads, as far as this one is told.", func(s State) bool { return s.Leader != "" }),
		gauge("plimsoll_lease_epoch", "The epoch of the lease that this collector holds, 0 without one.", func(s State) float64 { return float64(s.Epoch) }),
		gauge("plimsoll_lease_nodes", "Nodes whose majority decides who leads.", func(s State) float64 { return float64(s.Known) }),
		gauge("plimsoll_lease_voters", "Of those nodes, the ones whose agents can be asked.", func(s State) float64 { return float64(s.Voters) }),
		gauge("plimsoll_lease_granted", "Of those, the ones that are lent to this collector.", func(s State) float64 { return float64(s.Granted) }),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

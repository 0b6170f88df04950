package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// register hands the metrics of the store, and those the TSDB has put into own,
// to the collector's registry, until Close. The TSDB gets a registry of its own
// because some of its metrics outlive it and would be in the way of the next.
func (s *Store) register(r prometheus.Registerer, own *prometheus.Registry) error {
	if r == nil {
		return nil
	}
	s.registerer = r
	for _, c := range s.metrics(own) {
		if err := r.Register(c); err != nil {
			s.unregister()
			return fmt.Errorf("open store: register metrics: %w", err)
		}
		s.registered = append(s.registered, c)
	}
	return nil
}

func (s *Store) unregister() {
	for _, c := range s.registered {
		s.registerer.Unregister(c)
	}
	s.registered = nil
}

func (s *Store) metrics(own *prometheus.Registry) []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		own,
		s.sync.seconds,
		gauge("plimsoll_store_sync_failed", "1 if the log could not be brought to stable storage; then nothing is acknowledged until the store is opened anew.", func() float64 {
			return truth(s.sync.broken())
		}),
		gauge("plimsoll_store_unclean_stop", "1 if the process before this one did not close the store.", func() float64 {
			return truth(s.UncleanStop())
		}),
		gauge("plimsoll_store_losses", "Damaged parts of the data that were set aside when the store was opened.", func() float64 {
			return float64(len(s.losses))
		}),
		gauge("plimsoll_store_lost_bytes", "Bytes of the damaged parts that were set aside when the store was opened.", func() float64 {
			var sum int64
			for _, l := range s.losses {
				sum += l.Bytes
			}
			return float64(sum)
		}),
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

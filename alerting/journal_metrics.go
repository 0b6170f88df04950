package alerting

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// journalMetrics are those of all that is kept, by the name of its snapshot.
type journalMetrics struct {
	records, errors, snapshots, damaged *prometheus.CounterVec
	bytes, unsaved                      *prometheus.GaugeVec
	unknown, dropped                    prometheus.Counter
}

// keptMetrics are those of one kind.
type keptMetrics struct {
	records, errors, snapshots, damaged prometheus.Counter
	bytes, unsaved                      prometheus.Gauge
}

func newJournalMetrics(reg prometheus.Registerer) (*journalMetrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "plimsoll_alerting_journal_" + name, Help: help}, []string{"log"})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "plimsoll_alerting_journal_" + name, Help: help}, []string{"log"})
	}
	m := &journalMetrics{
		records:   counter("records_total", "Changes written to the journal, by what they are of: silences, nflog or alerts."),
		errors:    counter("errors_total", "Attempts to write a change, to flush it or to write a snapshot that failed."),
		snapshots: counter("snapshots_total", "Snapshots written, each of which shortens the journal."),
		damaged:   counter("damaged_total", "Records, torn ends and snapshots found damaged at the start and set aside."),
		bytes:     gauge("bytes", "What the journal takes on disk."),
		unsaved:   gauge("unsaved", "1 while a change is in force but not on disk, so that a crash would forget it."),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_notifications_unknown_total",
			Help: "Notifications of which it was not known at the start whether they had been sent; those still true were sent again.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_journal_alerts_dropped_total",
			Help: "Alerts that were more than can be kept for a restart.",
		}),
	}
	for _, c := range []prometheus.Collector{m.records, m.errors, m.snapshots, m.damaged, m.bytes, m.unsaved, m.unknown, m.dropped} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the journals: %w; each alerting needs a registerer of its own", err)
		}
	}
	return m, nil
}

func (m *journalMetrics) of(k kind) keptMetrics {
	l := string(k)
	return keptMetrics{
		m.records.WithLabelValues(l), m.errors.WithLabelValues(l), m.snapshots.WithLabelValues(l), m.damaged.WithLabelValues(l),
		m.bytes.WithLabelValues(l), m.unsaved.WithLabelValues(l),
	}
}

package snapshot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what snapshots say of themselves.
type metrics struct {
	failures             prometheus.Counter
	last, seconds, bytes prometheus.Gauge
	kept                 prometheus.Collector
}

func newMetrics(dir string) metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "plimsoll_snapshot_" + name, Help: help})
	}
	m := metrics{
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "plimsoll_snapshot_failures_total", Help: "Snapshots that could not be made."}),
		last:     gauge("last_success_timestamp_seconds", "When the newest snapshot was begun; 0 if there is none."),
		seconds:  gauge("last_duration_seconds", "How long the last snapshot of this process took; 0 if it made none."),
		bytes:    gauge("last_bytes", "Size of the newest snapshot, which it shares with the stores as long as these have the same blocks."),
		kept: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "plimsoll_snapshot_kept", Help: "Snapshots on disk.",
		}, func() float64 { return float64(kept(dir)) }),
	}
	if all, _, err := List(dir); err == nil && len(all) > 0 {
		newest := all[len(all)-1]
		m.last.Set(float64(newest.Created.Unix()))
		m.bytes.Set(float64(newest.Bytes()))
	}
	return m
}

// kept counts snapshots without reading their lists, which may be long.
func kept(dir string) int {
	entries, _ := os.ReadDir(dir) // there may be none yet
	return len(slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		_, err := os.Stat(filepath.Join(dir, e.Name(), manifestFile))
		return err != nil || strings.HasPrefix(e.Name(), ".")
	}))
}

func (m metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.failures, m.last, m.seconds, m.bytes, m.kept} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m metrics) made(made Manifest, took time.Duration) {
	m.last.Set(float64(made.Created.Unix()))
	m.seconds.Set(took.Seconds())
	m.bytes.Set(float64(made.Bytes()))
}

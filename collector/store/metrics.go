package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the store that are not read from it when they are asked
// for.
type metrics struct {
	registerer  prometheus.Registerer // nil, or where registered went
	registered  []prometheus.Collector
	syncSeconds prometheus.Histogram
	reopened    prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "plimsoll_store_sync_duration_seconds",
			Help:    "Time to bring the write-ahead log to stable storage.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8), // 0.5 ms to 8 s
		}),
		reopened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_store_reopened_total",
			Help: "Times the store was opened anew after a failure.",
		}),
	}
}

// register hands the metrics of the store and of the TSDB to the collector's
// registry, until Close.
func (s *Store) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	s.metrics.registerer = r
	for _, c := range s.collectors() {
		if err := r.Register(c); err != nil {
			s.unregister()
			return fmt.Errorf("open store: register metrics: %w", err)
		}
		s.metrics.registered = append(s.metrics.registered, c)
	}
	return nil
}

func (s *Store) unregister() {
	for _, c := range s.metrics.registered {
		s.metrics.registerer.Unregister(c)
	}
	s.metrics.registered = nil
}

func (s *Store) collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		newLiving(s),
		newDiskCollector(s),
		s.metrics.syncSeconds,
		s.metrics.reopened,
		gauge("plimsoll_store_sync_failed", "1 if the log could not be written or brought to stable storage; then nothing is acknowledged until the store is opened anew.", func() float64 {
			l, err := s.current()
			return truth(err == nil && l.failure() != nil)
		}),
		gauge("plimsoll_store_unclean_stop", "1 if the process before this one did not close the store.", func() float64 {
			return truth(s.UncleanStop())
		}),
		gauge("plimsoll_store_losses", "Damaged parts of the data that were set aside or left out.", func() float64 {
			n, _ := s.lost()
			return float64(n)
		}),
		gauge("plimsoll_store_lost_bytes", "Bytes of the damaged parts that were set aside.", func() float64 {
			_, bytes := s.lost()
			return float64(bytes)
		}),
	}
}

// lost counts the losses that cost something.
func (s *Store) lost() (n int, bytes int64) {
	for _, l := range s.Losses() {
		if !l.CutShort {
			n, bytes = n+1, bytes+l.Bytes
		}
	}
	return n, bytes
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// living shows the metrics of the TSDB of the life there is, which has a registry
// of its own: one for all would not take those of the second.
type living struct {
	store *Store
	descs []*prometheus.Desc // the same for all of them
}

func newLiving(s *Store) *living {
	c := &living{store: s}
	l, err := s.current()
	if err != nil {
		return c
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		l.own.Describe(descs)
	}()
	for d := range descs {
		c.descs = append(c.descs, d)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *living) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *living) Collect(to chan<- prometheus.Metric) {
	if l, err := c.store.current(); err == nil {
		l.own.Collect(to)
	}
}

// diskCollector shows what the guard sees; what it does not know is absent.
type diskCollector struct {
	store                                                                 *Store
	free, total, freeInodes, inodes, refusing, shadow, untilFull, ballast *prometheus.Desc
}

func newDiskCollector(s *Store) *diskCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("plimsoll_store_"+name, help, nil, nil)
	}
	return &diskCollector{
		store:      s,
		free:       desc("disk_free_bytes", "Free bytes on the file system of the data directory."),
		total:      desc("disk_total_bytes", "Size of the file system of the data directory."),
		freeInodes: desc("disk_free_inodes", "Free inodes on the file system of the data directory; absent where it makes them as needed."),
		inodes:     desc("disk_inodes", "Inodes of the file system of the data directory; absent where it makes them as needed."),
		refusing:   desc("disk_refusing", "1 while ingest is refused because the disk is nearly full, does not answer or cannot be written."),
		shadow:     desc("read_only", "1 while queries are answered from memory because the data directory cannot be written."),
		untilFull:  desc("disk_seconds_until_full", "Seconds until ingest is refused if free space goes on falling as it did over the last hour; absent while it does not fall, or before it has been watched for ten minutes."),
		ballast:    desc("disk_ballast_bytes", "Bytes held by a file that is given back when the disk is full; 0 while it has been."),
	}
}

// Describe implements prometheus.Collector.
func (c *diskCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.free, c.total, c.freeInodes, c.inodes, c.refusing, c.shadow, c.untilFull, c.ballast} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *diskCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	g := c.store.guard.state()
	l, err := c.store.current()
	gauge(c.refusing, truth(c.store.Refuse() != nil))
	gauge(c.shadow, truth(err != nil || l.shadow))
	gauge(c.ballast, float64(g.ballast))
	if g.blind {
		return
	}
	gauge(c.free, float64(g.free))
	gauge(c.total, float64(g.total))
	if g.inodes > 0 {
		gauge(c.freeInodes, float64(g.freeInodes))
		gauge(c.inodes, float64(g.inodes))
	}
	if g.falls {
		gauge(c.untilFull, g.left.Seconds())
	}
}

package inventory

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	unlisted, forgotten prometheus.Counter
	failed              *prometheus.CounterVec // by whom was asked
}

// leftOutHelp describes what Inventory.leftOut counts.
var leftOutHelp = prometheus.NewDesc("plimsoll_inventory_left_out",
	"How many there are now, by kind, that are not listed because there are too many.", []string{"kind"}, nil)

func newMetrics(v *Inventory, r prometheus.Registerer) *metrics {
	m := &metrics{
		unlisted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_inventory_nodes_unlisted_total",
			Help: "Nodes that were left out of the inventory, or taken from it, because it was full.",
		}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_inventory_events_forgotten_total",
			Help: "Events that made room for later ones.",
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_inventory_read_errors_total",
			Help: "Questions, to the store or to a platform, that were not answered.",
		}, []string{"source"}),
	}
	m.failed.WithLabelValues("store")
	for platform := range v.opts.Declarers {
		m.failed.WithLabelValues(platform)
	}
	if r == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	r.MustRegister(
		m.unlisted, m.forgotten, m.failed, leftOut{v}, replicas{v},
		gauge("plimsoll_inventory_nodes_connected", "Nodes whose agents are connected.", v.connected),
		gauge("plimsoll_inventory_containers", "Containers that are listed.", func() float64 { return v.counted(func() int { return len(v.containers) }) }),
		gauge("plimsoll_inventory_gpus", "GPUs, and instances of GPUs, that are listed.", func() float64 { return v.counted(func() int { return len(v.gpus) }) }),
	)
	return m
}

func (v *Inventory) counted(count func() int) float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return float64(count())
}

// leftOut is a prometheus.Collector of what there was no room for.
type leftOut struct{ v *Inventory }

func (leftOut) Describe(ch chan<- *prometheus.Desc) { ch <- leftOutHelp }

func (l leftOut) Collect(ch chan<- prometheus.Metric) {
	l.v.mu.Lock()
	defer l.v.mu.Unlock()
	for kind, n := range l.v.leftOut {
		ch <- prometheus.MustNewConstMetric(leftOutHelp, prometheus.GaugeValue, float64(n), kind)
	}
}

// What replicas.Collect gives. It is what platforms say of themselves, so that
// its alert does not depend on agents.
var (
	desiredHelp = prometheus.NewDesc("plimsoll_service_replicas_desired",
		"Replicas of a service that its platform was asked for, as the platform says; absent while it does not answer.", []string{"platform", "namespace", "service"}, nil)
	readyHelp = prometheus.NewDesc("plimsoll_service_replicas_ready",
		"Replicas of a service that its platform takes for able to serve; absent if it does not say.", []string{"platform", "namespace", "service"}, nil)
)

// replicas is a prometheus.Collector of what platforms declare.
type replicas struct{ v *Inventory }

func (replicas) Describe(ch chan<- *prometheus.Desc) { ch <- desiredHelp; ch <- readyHelp }

func (r replicas) Collect(ch chan<- prometheus.Metric) {
	r.v.mu.Lock()
	defer r.v.mu.Unlock()
	for platform, d := range r.v.declared {
		if d.problem != "" { // an old word is none
			continue
		}
		told := map[[2]string]bool{} // one series twice would spoil all the others
		for _, s := range d.list {
			namespace, name := strings.ToValidUTF8(s.Namespace, "\uFFFD"), strings.ToValidUTF8(s.Name, "\uFFFD")
			if told[[2]string{namespace, name}] {
				continue
			}
			told[[2]string{namespace, name}] = true
			ch <- prometheus.MustNewConstMetric(desiredHelp, prometheus.GaugeValue, float64(s.Desired), platform, namespace, name)
			if s.Ready != nil {
				ch <- prometheus.MustNewConstMetric(readyHelp, prometheus.GaugeValue, float64(*s.Ready), platform, namespace, name)
			}
		}
	}
}

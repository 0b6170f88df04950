package bench

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/plimsoll-io/plimsoll/agent/expose"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// BenchmarkExpose serves a scrape of 5,000 series, by the agent's exposition
// and by client_golang, which cAdvisor and node_exporter use. The peer is given
// metrics that are made already; those exporters make them anew each time. One
// operation is one scrape:
//
//	go test -run - -bench Expose -benchmem ./bench
func BenchmarkExpose(b *testing.B) {
	batch := nodeWith(125)
	exposition := expose.New(expose.Options{Interval: time.Hour})
	exposition.Observe(batch)
	registry := prometheus.NewRegistry()
	registry.MustRegister(ready(constMetrics(b, batch)))
	handlers := []struct {
		name string
		http.Handler
	}{
		{"plimsoll", exposition},
		{"client_golang", promhttp.HandlerFor(registry, promhttp.HandlerOpts{})},
	}
	for _, encoding := range []string{"identity", "gzip"} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", "text/plain;version=0.0.4")
		r.Header.Set("Accept-Encoding", encoding)
		for _, h := range handlers {
			b.Run(h.name+"/"+encoding, func(b *testing.B) {
				w := &counted{header: http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					w.bytes = 0
					h.ServeHTTP(w, r)
				}
				b.ReportMetric(float64(w.bytes), "bytes/scrape")
			})
		}
	}
	b.Run("plimsoll/after-a-change", func(b *testing.B) {
		w, r := &counted{header: http.Header{}}, httptest.NewRequest(http.MethodGet, "/metrics", nil)
		for b.Loop() {
			g := &sample.Group{Series: batch.Columns[0].Group.Series}
			var one sample.Batch
			one.Add(g)
			exposition.Observe(&one)
			exposition.ServeHTTP(w, r)
			one.Reset(0, time.Time{})
			one.End(g)
			exposition.Observe(&one)
		}
	})
	b.Run("plimsoll/observe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			exposition.Observe(batch)
		}
	})
}

// nodeWith is a tick with 40 series of each container, in groups like the
// agent's.
func nodeWith(containers int) *sample.Batch {
	var lanes [4][]sample.Series
	for i := range 40 {
		m := &sample.Metric{Name: fmt.Sprintf("container_thing_%d_total", i), Help: "Things counted in the container since it was started.", Type: sample.Counter}
		if i%2 == 1 {
			m.Name, m.Type = fmt.Sprintf("container_thing_%d_bytes", i), sample.Gauge
		}
		lanes[i%4] = append(lanes[i%4], sample.Series{Metric: m, Labels: []sample.Label{{Name: "kind", Value: fmt.Sprint(i)}}})
	}
	b := new(sample.Batch)
	for c := range containers {
		labels := []sample.Label{
			{Name: "container_label_com_docker_compose_project", Value: "shop"},
			{Name: "container_label_com_docker_compose_service", Value: fmt.Sprint("web-", c)},
			{Name: "id", Value: fmt.Sprintf("/docker/%x", sha256.Sum256([]byte{byte(c)}))},
			{Name: "image", Value: "registry.example.com/shop/web:1.2.3"},
			{Name: "job", Value: "cadvisor"},
			{Name: "name", Value: fmt.Sprintf("shop-web-%d-1", c)},
		}
		for _, series := range lanes {
			v := b.Add(&sample.Group{Labels: labels, Series: series, Every: 1})
			for i := range v {
				v[i] = float64(c*i) * 4096
				if i%3 == 0 {
					v[i] = float64(c*i+1) / 1e6 // seconds
				}
			}
		}
	}
	return b
}

// ready is a collector whose metrics are made already.
type ready []prometheus.Metric

func (ready) Describe(chan<- *prometheus.Desc) {}

func (r ready) Collect(ch chan<- prometheus.Metric) {
	for _, m := range r {
		ch <- m
	}
}

func constMetrics(tb testing.TB, b *sample.Batch) []prometheus.Metric {
	tb.Helper()
	var all []prometheus.Metric
	for _, c := range b.Columns {
		for i, v := range c.Values {
			s := c.Group.Series[i]
			labels := prometheus.Labels{}
			for _, l := range append(s.Labels[:len(s.Labels):len(s.Labels)], c.Group.Labels...) {
				labels[l.Name] = l.Value
			}
			kind := prometheus.CounterValue
			if s.Metric.Type == sample.Gauge {
				kind = prometheus.GaugeValue
			}
			m, err := prometheus.NewConstMetric(prometheus.NewDesc(s.Metric.Name, s.Metric.Help, nil, labels), kind, v)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, m)
		}
	}
	return all
}

// counted takes an answer, forgets it and says how long it was.
type counted struct {
	header http.Header
	bytes  int
}

func (c *counted) Header() http.Header { return c.header }
func (c *counted) WriteHeader(int)     {}
func (c *counted) Write(p []byte) (int, error) {
	c.bytes += len(p)
	return len(p), nil
}

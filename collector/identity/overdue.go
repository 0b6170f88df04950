package identity

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// overdue tells of nodes that stream and have not renewed their certificate,
// although they should have long ago: their streams end with it.
type overdue struct{ a *Authority }

var overdueDesc = prometheus.NewDesc(prefix+"overdue_expires_timestamp_seconds",
	"When the certificate expires of a node that streams and has not renewed it in time; none if all have.", []string{"node"}, nil)

// Describe implements prometheus.Collector.
func (overdue) Describe(ch chan<- *prometheus.Desc) { ch <- overdueDesc }

// Collect implements prometheus.Collector.
func (o overdue) Collect(ch chan<- prometheus.Metric) {
	for node, expires := range o.a.overdue(time.Now()) {
		ch <- prometheus.MustNewConstMetric(overdueDesc, prometheus.GaugeValue, float64(expires.Unix()), node)
	}
}

// overdue are the nodes with a stream whose newest certificate has less than a
// sixth of its life left, half of what they have for renewing it.
func (a *Authority) overdue(now time.Time) map[string]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	late := map[string]time.Time{}
	for s := range a.streams {
		certs := a.state.Nodes[s.node].Certificates
		if len(certs) == 0 {
			continue // an old copy of the memory was put back
		}
		last := certs[len(certs)-1]
		if last.Expires.Sub(now) < last.Expires.Sub(last.Issued)/6 {
			late[s.node] = last.Expires
		}
	}
	return late
}

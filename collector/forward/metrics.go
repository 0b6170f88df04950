package forward

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const prefix = "plimsoll_forward_"

// collector shows what is counted anyway. An endpoint that is gone is not shown.
type collector struct{ f *Forwarder }

// described are the metrics of forward.
type described struct {
	handed, spoolBytes, spoolLimit, spoolSegments, spoolAge, spoolErrors        *prometheus.Desc
	sent, filtered, dropped, pending, lag, retries, requests, bytes, shards, up *prometheus.Desc
}

func descriptions() described {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	const e = "endpoint"
	return described{
		handed:        of("samples_total", "Samples handed over to be forwarded."),
		spoolBytes:    of("spool_bytes", "Bytes of samples that wait on disk to be forwarded, those already sent of the same files included."),
		spoolLimit:    of("spool_limit_bytes", "Bytes that the spool may take; beyond, the oldest samples are dropped."),
		spoolSegments: of("spool_segments", "Files of the spool."),
		spoolAge:      of("spool_oldest_age_seconds", "Age of the oldest file of the spool."),
		spoolErrors:   of("spool_errors_total", "Failures of the spool's disk, by what was asked of it.", "deed"),
		sent:          of("sent_total", "Samples that the target has accepted, those sent twice counted twice.", e),
		filtered:      of("filtered_total", "Samples that write_relabel_configs leave out.", e),
		dropped:       of("dropped_total", "Samples that were not forwarded and never will be, by reason.", e, "reason"),
		pending:       of("pending_samples", "Samples that wait on disk or are on their way.", e),
		lag:           of("lag_seconds", "How long the oldest sample on its way has been waiting since it was stored; 0 if none is.", e),
		retries:       of("retries_total", "Requests sent again because the target was away, overloaded or set up wrong.", e),
		requests:      of("requests_total", "Requests with samples, by the answer's status; none if there was no answer.", e, "code"),
		bytes:         of("sent_bytes_total", "Bytes of requests, compressed, without headers.", e),
		shards:        of("shards", "Requests that are sent at a time.", e),
		up:            of("endpoint_up", "Whether the target has accepted the latest request (1) or not (0).", e),
	}
}

func (d described) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.handed, d.spoolBytes, d.spoolLimit, d.spoolSegments, d.spoolAge, d.spoolErrors,
		d.sent, d.filtered, d.dropped, d.pending, d.lag, d.retries, d.requests, d.bytes, d.shards, d.up,
	}
}

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions().all() {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	d, st := descriptions(), c.f.spool.Stats()
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter(d.handed, float64(c.f.handed.Load()))
	gauge(d.spoolBytes, float64(st.Bytes))
	gauge(d.spoolLimit, float64(st.Limit))
	gauge(d.spoolSegments, float64(st.Segments))
	gauge(d.spoolAge, time.Since(st.Oldest).Seconds())
	counter(d.spoolErrors, float64(st.WriteErrors), "write")
	counter(d.spoolErrors, float64(st.SyncErrors), "sync")
	for _, e := range c.f.Status() {
		counter(d.sent, float64(e.Sent), e.Name)
		counter(d.filtered, float64(e.Filtered), e.Name)
		for reason, n := range e.Dropped {
			counter(d.dropped, float64(n), e.Name, reason)
		}
		gauge(d.pending, float64(e.Pending), e.Name)
		gauge(d.lag, e.Lag.Seconds(), e.Name)
		counter(d.retries, float64(e.Retries), e.Name)
		for code, n := range e.requests {
			counter(d.requests, float64(n), e.Name, code)
		}
		counter(d.bytes, float64(e.bytes), e.Name)
		gauge(d.shards, float64(e.Shards), e.Name)
		up := 1.0
		if e.Failing {
			up = 0
		}
		gauge(d.up, up, e.Name)
	}
}

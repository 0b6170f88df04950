package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"golang.org/x/sync/errgroup"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

type version int

const (
	version1 version = 1
	version2 version = 2
)

// writer is as many Prometheis as there are nodes, each with a connection. A
// request carries a whole round of a node; what does not change from request to
// request, labels and symbols, is made once, which is more than a real sender
// can keep.
type writer struct {
	*fleet
	traffic
	start   time.Time
	url     string
	version version
	nodes   []*writing
	sent    int // rounds
}

// writing is the writer of one node.
type writing struct {
	*node
	client  *http.Client
	first   prompb.WriteRequest
	second  writev2.Request
	encoded []byte
	packed  []byte
}

func newWriter(f *fleet, start time.Time, to string, v version) *writer {
	w := &writer{fleet: f, start: start, url: "http://" + to + "/api/v1/write", version: v}
	for _, n := range f.nodes {
		x := &writing{node: n, client: &http.Client{Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, address string) (net.Conn, error) { return w.dial(ctx, address) },
			DisableCompression: true,
		}}}
		symbols := writev2.NewSymbolTable()
		n.each(func(_ int, g *sample.Group, s sample.Series) {
			ls := labelsOf(n, g, s)
			if v == version1 {
				x.first.Timeseries = append(x.first.Timeseries, prompb.TimeSeries{Labels: prompb.FromLabels(ls, nil), Samples: make([]prompb.Sample, 1)})
				return
			}
			kind := writev2.Metadata_METRIC_TYPE_GAUGE
			if s.Metric.Type == sample.Counter {
				kind = writev2.Metadata_METRIC_TYPE_COUNTER
			}
			x.second.Timeseries = append(x.second.Timeseries, writev2.TimeSeries{
				LabelsRefs: symbols.SymbolizeLabels(ls, nil), Samples: make([]writev2.Sample, 1),
				Metadata: writev2.Metadata{Type: kind, HelpRef: symbols.Symbolize(s.Metric.Help), UnitRef: symbols.Symbolize(s.Metric.Unit)},
			})
		})
		x.second.Symbols = symbols.Symbols()
		w.nodes = append(w.nodes, x)
	}
	return w
}

func (w *writer) send(ctx context.Context, until int) error {
	var all errgroup.Group
	for _, n := range w.nodes {
		all.Go(func() error {
			for round := w.sent; round < until; round++ {
				if err := w.write(ctx, n, round); err != nil {
					return fmt.Errorf("%s: %w", n.name, err)
				}
			}
			return nil
		})
	}
	err := all.Wait()
	w.sent = until
	return err
}

func (w *writer) write(ctx context.Context, n *writing, round int) (err error) {
	at := w.at(w.start, round).UnixMilli()
	content, revision := "application/x-protobuf", "0.1.0"
	switch w.version {
	case version1:
		for i, v := range n.rounds[round] {
			n.first.Timeseries[i].Samples[0] = prompb.Sample{Value: v, Timestamp: at}
		}
		n.encoded = grown(n.encoded, n.first.Size())
		_, err = n.first.MarshalToSizedBuffer(n.encoded)
	case version2:
		content, revision = content+";proto=io.prometheus.write.v2.Request", "2.0.0"
		for i, v := range n.rounds[round] {
			n.second.Timeseries[i].Samples[0] = writev2.Sample{Value: v, Timestamp: at}
		}
		n.encoded, err = n.second.OptimizedMarshal(n.encoded[:0])
	}
	if err != nil {
		return err
	}
	n.packed = snappy.Encode(n.packed[:cap(n.packed)], n.encoded)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(n.packed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", content)
	req.Header.Set("X-Prometheus-Remote-Write-Version", revision)
	resp, err := n.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		return fmt.Errorf("round %d: %s: %s %w", round, resp.Status, body, err)
	}
	return nil
}

// grown is b with that length.
func grown(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

func (w *writer) report() report {
	return report{Samples: w.sent * w.samples(), Sent: w.out.Load(), Answered: w.in.Load()}
}

func (w *writer) close() error {
	for _, n := range w.nodes {
		n.client.CloseIdleConnections()
	}
	return nil
}

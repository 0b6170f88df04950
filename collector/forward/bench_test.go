package forward

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkStored is what forwarding costs ingest: a frame of an agent with 3000
// series, handed over and written. Nobody sends meanwhile.
func BenchmarkStored(b *testing.B) {
	f, err := Open(Options{Dir: b.TempDir(), MaxBytes: 256 << 20}, configured(b, quick("http://127.0.0.1:1", version1)))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const n = 3000
	ls, vs := container(n, "c"), valued(n, 1)
	b.ReportAllocs()
	var at int64
	for b.Loop() {
		at += 1000
		hand(b, f, at, ls, vs)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
}

// BenchmarkEncode is what a sample costs on its way to a request.
func BenchmarkEncode(b *testing.B) {
	for name, version := range map[string]string{"version=1": version1, "version=2": message2} {
		b.Run(name, func(b *testing.B) {
			enc := newEncoder(version == message2)
			const n = 2000
			var all batch
			for _, ls := range container(n, "c") {
				all.add(part{&series{labels: ls}, []sample{{1_700_000_000_000, 1.5}}})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := enc.encode(all); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
		})
	}
}

// BenchmarkForward is what forwarding costs in all, from Stored to the answer,
// with a target that takes everything and looks at nothing.
func BenchmarkForward(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "1000000")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	for name, version := range map[string]string{"version=1": version1, "version=2": message2} {
		b.Run(name, func(b *testing.B) {
			text := strings.Replace(quick(server.URL, version), "max_samples_per_send: 500", "max_samples_per_send: 5000", 1)
			r := start(b, Options{Dir: b.TempDir(), MaxBytes: 1 << 30}, configured(b, text))
			const nodes, n = 20, 3000
			ls, vs := container(nodes*n, "c"), valued(n, 1)
			var tick int64
			for b.Loop() {
				tick += 1000
				for node := range nodes {
					hand(b, r.Forwarder, tick, ls[node*n:(node+1)*n], vs)
				}
				r.drained(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(nodes*n), "ns/sample")
			if e := r.Status()[0]; len(e.Dropped) != 0 {
				b.Fatalf("dropped %v", e.Dropped)
			}
		})
	}
}

package receive_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"

	"github.com/plimsoll-io/plimsoll/collector/receive"
)

// BenchmarkRemoteWrite takes in 2,000 samples at a time, as Prometheus sends
// them, of 20,000 series with 8 labels.
func BenchmarkRemoteWrite(b *testing.B) {
	const series, batch = 20_000, 2_000
	for _, version := range []string{"1.0", "2.0"} {
		b.Run(version, func(b *testing.B) {
			w := newWorld(b, receive.Options{}, nil)
			handler := w.receiver.RemoteWrite()
			at := time.Now().Add(-12 * time.Hour)
			body := func(first int) []byte {
				entries := make([]entry, batch)
				for i := range entries {
					n := first + i
					entries[i] = entry{
						labels: []string{
							"__name__", fmt.Sprint("metric_", n%50), "container", fmt.Sprint("c", n/50), "id", strings.Repeat("a", 60) + fmt.Sprint(n/50),
							"image", "registry/app:1.2.3", "instance", "n1:8080", "job", "cadvisor", "namespace", "default", "service", fmt.Sprint("s", n/500),
						},
						samples: []prompb.Sample{float(at, float64(n))},
					}
				}
				if version == "1.0" {
					return snapped(b, version1(entries...))
				}
				return snapped(b, version2(entries...))
			}
			kind := map[string]string{"1.0": type1, "2.0": type2}[version]
			first := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				if first += batch; first >= series {
					first, at = 0, at.Add(10*time.Second)
				}
				r := httptest.NewRequest(http.MethodPost, "/api/v1/write", strings.NewReader(string(body(first))))
				r.Header.Set("Content-Type", kind)
				answer := httptest.NewRecorder()
				b.StartTimer()
				handler.ServeHTTP(answer, r)
				if answer.Code != http.StatusNoContent {
					b.Fatal(answer.Code, answer.Body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/sample")
		})
	}
}

package ingest

import (
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkMillion is a collector with a million series: what it takes in
// memory, and how long it needs after kill -9 until it is ready again, with
// twenty million samples in its log.
func BenchmarkMillion(b *testing.B) {
	bin := build(b)
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "data")
		c, web, agents := bin.collector(b, dir)
		c.ready(web)
		load := bin.load(b, "push", agents, *million, 20)
		load.hear()
		idle := c.cpu()
		load.rounds(1)
		second := c.cpu()
		end := load.rounds(19)
		took := c.cpu() - second
		now, most := c.memory()
		samples := *million * 60 * 20
		stored(b, web, samples)
		series := metric(b, web, "prometheus_tsdb_head_series")
		c.kill()
		load.kill() // without a last word: its series go on

		began := time.Now()
		again, web, _ := bin.collector(b, dir)
		again.ready(web)
		ready := time.Since(began)
		after, peak := again.memory()
		replay := again.cpu()
		if got := metric(b, web, "prometheus_tsdb_head_series"); got < series {
			b.Errorf("%.0f series after the kill, %.0f before", got, series)
		}
		again.stop()

		first, steady := float64((second-idle).Nanoseconds())/float64(*million*60), float64(took.Nanoseconds())/float64(*million*60*19)
		b.Logf("%.0f series, %d samples; receiver CPU %.0f ns per sample when all is new and %.0f after; %.2f bytes per sample; "+
			"resident %.0f MB, at most %.0f; ready after kill -9 in %.1f s and %.1f s of CPU, resident %.0f MB, at most %.0f",
			series, samples, first, steady, float64(end.Sent)/float64(samples), now, most, ready.Seconds(), replay.Seconds(), after, peak)
		b.ReportMetric(steady, "receiver-ns/sample")
		b.ReportMetric(most, "peak-MB")
		b.ReportMetric(ready.Seconds(), "ready-s")
		b.ReportMetric(0, "ns/op") // of no meaning
		if most > 2200 || peak > 2200 {
			b.Errorf("missed: %.0f MB before and %.0f MB after the kill at most; 2200 were promised", most, peak)
		}
		if ready > 20*time.Second {
			b.Errorf("missed: ready after %s; 20 s were promised", ready)
		}
	}
}

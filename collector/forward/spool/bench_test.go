package spool

import (
	"fmt"
	"testing"
)

// BenchmarkAppend is what handing a frame over costs whoever stores it.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{60, 3000} {
		b.Run(fmt.Sprintf("samples=%d", n), func(b *testing.B) {
			s := open(b, Options{Dir: b.TempDir(), MaxBytes: 256 << 20}, "a")
			ls, vs := series(n, "c"), values(1, n)
			for i := 0; i < n; i += 3 {
				vs[i] = float64(i) // a third counts whole things
			}
			b.ReportAllocs()
			var at int64
			for b.Loop() {
				at += 1000
				put(b, s, at, ls, vs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/sample")
		})
	}
}

// BenchmarkAppendManySeries has a thousand agents take turns, so that each frame
// begins at another place of the map.
func BenchmarkAppendManySeries(b *testing.B) {
	const agents, n = 200, 3000
	s := open(b, Options{Dir: b.TempDir(), MaxBytes: 512 << 20}, "a")
	all := series(agents*n, "c")
	vs := values(1, n)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		from := i % agents * n
		put(b, s, int64(i), all[from:from+n], vs)
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
}

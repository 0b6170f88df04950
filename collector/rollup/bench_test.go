package rollup

import (
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// measured is a counter of CPU seconds or a gauge of bytes as an agent sends
// them: fractions for the one, pages for the other.
func measured(seed uint64, gauge bool) func(int) float64 {
	r := rand.New(rand.NewPCG(seed, 3))
	v := 0.0
	return func(int) float64 {
		if gauge {
			v += 4096 * math.Floor(r.NormFloat64()*20)
			return 1e9 + v
		}
		v += math.Floor(r.ExpFloat64()*2e5) / 1e6
		return v
	}
}

// cpu is what this process has used; on a machine that does other work as well
// it says more than the time that passed.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRollUp tells what rolling up a day costs and what is left of it.
func BenchmarkRollUp(b *testing.B) {
	for _, gauges := range []bool{false, true} {
		for _, interval := range []time.Duration{time.Second, 15 * time.Second} {
			name := fmt.Sprintf("%s/%v", map[bool]string{false: "counters", true: "gauges"}[gauges], interval)
			b.Run(name, func(b *testing.B) {
				const series = 20
				end := today()
				raw := openRaw(b, b.TempDir())
				metric, n := "cpu_seconds_total", 0
				if gauges {
					metric = "memory_bytes"
				}
				for i := range series {
					samples := steps(end-4*slice, end, ms(interval), measured(uint64(i), gauges))
					n += len(samples)
					at := int64(i) * 7
					for j := range samples {
						samples[j].t += at
					}
					// A block for each would be merged; all in one head is quicker.
					app := raw.AppenderV2(b.Context())
					ls := named(metric, "container", fmt.Sprintf("%064x", i), "node", "n1", "service", "web")
					var ref storage.SeriesRef
					for _, p := range samples {
						var err error
						if ref, err = app.Append(ref, ls, 0, p.t, p.v, nil, nil, storage.AOptions{}); err != nil {
							b.Fatal(err)
						}
					}
					if err := app.Commit(); err != nil {
						b.Fatal(err)
					}
				}
				if err := raw.Compact(b.Context()); err != nil {
					b.Fatal(err)
				}
				var rawBytes, rawSamples int64
				for _, block := range raw.Blocks() {
					rawBytes += block.Size()
					rawSamples += int64(block.Meta().Stats.NumSamples)
				}
				types := func(o *Options) {
					o.Types = func() map[string]string { return map[string]string{"memory_bytes": "gauge"} }
				}
				var s *Store
				before := cpu(b)
				for b.Loop() {
					s, _ = open(b, b.TempDir(), raw, types)
					for at := end - 4*slice; at < end; at += slice {
						if err := s.rollSlice(b.Context(), at); err != nil {
							b.Fatal(err)
						}
					}
					shut(b, s)
				}
				spent := cpu(b) - before
				s, _ = open(b, s.opts.Dir, raw, types)
				defer func() { shut(b, s) }()
				var bytes, samples int64
				for _, block := range s.db.Blocks() {
					bytes += block.Size()
					samples += int64(block.Meta().Stats.NumSamples)
				}
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/float64(n), "cpu_ns/sample")
				b.ReportMetric(float64(n), "samples_in")
				b.ReportMetric(float64(samples), "samples_out")
				b.ReportMetric(float64(rawBytes)/float64(rawSamples)*float64(n)/float64(bytes), "times_smaller")
				b.ReportMetric(float64(bytes)/series, "bytes/series/day")
			})
		}
	}
}

// BenchmarkLongQuery compares a query over days from either store.
func BenchmarkLongQuery(b *testing.B) {
	const days = 14
	end := today() + 4*slice
	raw := openRaw(b, b.TempDir())
	var traces []trace
	for i := range 10 {
		ls := []string{"n", fmt.Sprint(i)}
		traces = append(traces,
			trace{named("cpu_seconds_total", ls...), steps(end-days*4*slice, end, 5_000, measured(uint64(i), false))},
			trace{named("memory_bytes", ls...), steps(end-days*4*slice, end, 5_000, measured(uint64(i), true))})
	}
	raw.store(b, traces...)
	s, _ := rolled(b, b.TempDir(), raw, fleetTypes)
	e := engine(b)
	last := floor(end, ms(time.Hour)) - ms(time.Hour)
	for _, query := range []string{
		"rate(cpu_seconds_total[6h])", "increase(cpu_seconds_total[1h])", "max_over_time(memory_bytes[6h])", "avg_over_time(memory_bytes[6h])", "sum(memory_bytes)",
	} {
		answers := map[string]promql.Matrix{}
		for from, q := range map[string]storage.Queryable{"samples": raw, "rollups": s} {
			b.Run(query+"/"+from, func(b *testing.B) {
				before := cpu(b)
				for b.Loop() {
					answers[from] = ask(b, e, q, query, last-(days-1)*4*slice, last, time.Hour)
				}
				b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu_ms/op")
			})
		}
		if diff, n := difference(answers["samples"], answers["rollups"]); diff > rounding {
			b.Errorf("%s: answers differ by %v; %d values", query, diff, n)
		}
	}
}

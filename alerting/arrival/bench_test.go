package arrival_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/alerting/arrival"
)

// BenchmarkStored is frames of 1 000 containers, of whose series one in four is
// watched by the rules about memory and limits, and all of those change. ns/op is
// per sample shown.
func BenchmarkStored(b *testing.B) {
	w := newWatch(b, 0,
		`max without (id, image, instance, job) (container_memory_working_set_bytes{id!="/"} / (container_spec_memory_limit_bytes > 0)) > 0.90`,
		`max without (id, image, instance, job) (container_memory_working_set_bytes{id!="/"} / (container_spec_memory_limit_bytes > 0)) > 0.97`,
		`container_processes / container_spec_pids_limit > 0.9`,
	)
	var handles []any
	var values []float64
	for c := range 1000 {
		for _, name := range []string{"container_memory_working_set_bytes", "container_spec_memory_limit_bytes", "container_processes", "container_spec_pids_limit"} {
			handles = append(handles, w.Series(labels.FromStrings("__name__", name, "id", "/docker/"+strconv.Itoa(c), "name", "c"+strconv.Itoa(c), "node", "n1")))
			values = append(values, 1000)
		}
	}
	at := time.Now().UnixMilli()
	w.Stored(at, handles, values)
	round := 0.0
	b.ReportAllocs()
	for b.Loop() {
		round++
		for i := 0; i < len(values); i += 4 { // usage changes, limits do not
			values[i] = 100 + float64(int(round)%500)
			values[i+2] = 100 + float64(int(round)%500)
		}
		w.Stored(at, handles, values)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(values)), "ns/sample")
	if w.crossed > 2 { // all at the start, and back
		b.Fatalf("crossed %d times", w.crossed)
	}
}

// BenchmarkSeries is what it takes to learn whether a series is watched, once for
// each series and load of rules.
func BenchmarkSeries(b *testing.B) {
	d, err := arrival.New(arrival.Options{})
	if err != nil {
		b.Fatal(err)
	}
	d.Use([]arrival.Group{{Rules: []arrival.Rule{{Expr: parse(b, `container_memory_working_set_bytes{id!~".*/(pod[0-9a-f-]+)"} > 1`)}}}})
	for name, metric := range map[string]string{"watched": "container_memory_working_set_bytes", "unwatched": "container_cpu_usage_seconds_total"} {
		ls := labels.FromStrings("__name__", metric, "id", "/docker/0123456789abcdef", "name", "web", "node", "n1")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Series(ls)
			}
		})
	}
}

// BenchmarkMemory is what a series takes that is followed by the rules about the
// memory of containers, its labels included.
func BenchmarkMemory(b *testing.B) {
	const containers = 20_000
	for b.Loop() {
		w := newWatch(b, 0,
			`max without (id, image, instance, job) (container_memory_working_set_bytes{id!="/"} / (container_spec_memory_limit_bytes > 0)) > 0.90`,
			`max without (id, image, instance, job) (container_memory_working_set_bytes{id!="/"} / (container_spec_memory_limit_bytes > 0)) > 0.97`,
		)
		before := heap()
		at := time.Now().UnixMilli()
		for c := range containers {
			for _, name := range []string{"container_memory_working_set_bytes", "container_spec_memory_limit_bytes"} {
				w.Show(at, []labels.Labels{labels.FromStrings("__name__", name, "id", "/docker/0123456789abcdef0123456789abcdef0123456789abcdef"+strconv.Itoa(c),
					"image", "registry.example.com/team/app:1.0", "instance", "n1:9100", "job", "cadvisor", "name", "app-"+strconv.Itoa(c), "node", "n1")}, []float64{100})
			}
		}
		b.ReportMetric(float64(heap()-before)/(2*containers), "B/series")
		runtime.KeepAlive(w)
	}
}

// heap is what is in use, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

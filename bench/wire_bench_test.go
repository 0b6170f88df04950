package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// load is a node with containers whose series move as containers' do: counters
// of microseconds that grow while there is work, gauges of whole pages, limits
// that stay. A third of the containers are at work, the rest are idle.
type load struct {
	rng    *rand.Rand
	lanes  [3][]*sample.Group // read each second, each fifth, each fifteenth
	values map[*sample.Group][]float64
	busy   map[*sample.Group]bool
	rec    spool.Record
}

var (
	cpuTime = &sample.Metric{Name: "container_cpu_usage_seconds_total", Help: "CPU time used.", Type: sample.Counter, Unit: "seconds", Divisor: 1e6}
	count   = &sample.Metric{Name: "container_cpu_cfs_periods_total", Help: "Periods of the CPU limit.", Type: sample.Counter}
	memory  = &sample.Metric{Name: "container_memory_usage_bytes", Help: "Memory in use.", Type: sample.Gauge, Unit: "bytes"}
	limit   = &sample.Metric{Name: "container_spec_memory_limit_bytes", Help: "Memory limit.", Type: sample.Gauge, Unit: "bytes"}
)

func newLoad(containers int) *load {
	l := &load{rng: rand.New(rand.NewPCG(1, 2)), values: map[*sample.Group][]float64{}, busy: map[*sample.Group]bool{}}
	for c := range containers {
		labels := []sample.Label{
			{Name: "id", Value: fmt.Sprintf("/docker/%064x", c)},
			{Name: "name", Value: fmt.Sprint("c", c)},
			{Name: "image", Value: "registry.example.com/team/service:1.2.3"},
			{Name: "job", Value: "plimsoll"},
		}
		for lane, metrics := range [3][]*sample.Metric{
			{cpuTime, cpuTime, cpuTime, count, count, cpuTime, memory, memory},
			{memory, memory, memory, memory, memory, memory, count, count, count, cpuTime, cpuTime, cpuTime, cpuTime},
			{limit, limit, limit, count, count, count, count, count},
		} {
			g := &sample.Group{Labels: labels}
			for i, m := range metrics {
				g.Series = append(g.Series, sample.Series{Metric: m, Labels: []sample.Label{{Name: "series", Value: fmt.Sprint(lane, i)}}})
			}
			l.lanes[lane] = append(l.lanes[lane], g)
			l.values[g] = make([]float64, len(metrics))
			l.busy[g] = c%3 == 0
		}
	}
	return l
}

// tick is the next second's record.
func (l *load) tick() *spool.Record {
	l.rec.Seq++
	l.rec.Time = time.UnixMilli(int64(l.rec.Seq) * 1000)
	l.rec.Columns = l.rec.Columns[:0]
	for lane, every := range []uint64{1, 5, 15} {
		for i, g := range l.lanes[lane] {
			if (l.rec.Seq+uint64(i))%every == 0 || l.rec.Seq == 1 {
				l.move(g)
				l.rec.Columns = append(l.rec.Columns, sample.Column{Group: g, Values: l.values[g]})
			}
		}
	}
	return &l.rec
}

func (l *load) move(g *sample.Group) {
	if !l.busy[g] {
		return
	}
	for i, v := range l.values[g] {
		switch g.Series[i].Metric {
		case cpuTime:
			us := int64(v*1e6+0.5) + l.rng.Int64N(500_000)
			l.values[g][i] = float64(us) / 1e6
		case count:
			l.values[g][i] = v + float64(l.rng.IntN(20))
		case memory:
			l.values[g][i] = float64((1<<16 + l.rng.Int64N(256)) * 4096)
		}
	}
}

func (l *load) samples() (n int) {
	for _, c := range l.rec.Columns {
		n += len(c.Values)
	}
	return n
}

// BenchmarkWire takes a node's ticks from record to decoded values. It reports
// the cost of a sample on both sides, and its bytes on the wire, for which a
// column of raw doubles would take eight:
//
//	go test -run - -bench Wire ./bench
func BenchmarkWire(b *testing.B) {
	for _, containers := range []int{20, 1000} {
		b.Run(fmt.Sprintf("%d containers", containers), func(b *testing.B) { benchmarkWire(b, containers) })
	}
}

func benchmarkWire(b *testing.B, containers int) {
	l, encoder, decoder := newLoad(containers), stream.NewEncoder(), ingest.NewDecoder("n1", ingest.Limits{})
	packer, err := stream.NewPacker()
	if err != nil {
		b.Fatal(err)
	}
	unzip, err := zstd.NewReader(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer unzip.Close()
	var samples, bytes int
	var encoding, decoding time.Duration
	var buf []byte
	round := func() {
		rec := l.tick()
		start := time.Now()
		req, _, wire, err := packer.Pack(encoder.Encode(rec))
		if err != nil {
			b.Fatal(err)
		}
		encoded := time.Now()
		frame := req.GetFrame()
		if z := req.GetFrameZstd(); z != nil {
			if buf, err = unzip.DecodeAll(z, buf[:0]); err != nil {
				b.Fatal(err)
			}
			frame = &plimsollv1.Frame{}
			if err := proto.Unmarshal(buf, frame); err != nil {
				b.Fatal(err)
			}
		}
		if err := decoder.Decode(frame); err != nil {
			b.Fatal(err)
		}
		decoding += time.Since(encoded)
		encoding += encoded.Sub(start)
		samples += l.samples()
		bytes += wire
	}
	round() // the dictionary, once per stream
	first := float64(bytes) / float64(samples)
	samples, bytes, encoding, decoding = 0, 0, 0, 0
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(encoding.Nanoseconds())/float64(samples), "encode-ns/sample")
	b.ReportMetric(float64(decoding.Nanoseconds())/float64(samples), "decode-ns/sample")
	b.ReportMetric(float64(bytes)/float64(samples), "B/sample")
	b.ReportMetric(first, "first-B/sample")
}

package rollup

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// fleet is some days of counters and gauges as containers have them.
func fleet(days int) (from int64, traces []trace) {
	end := windowEnd(time.Now().UnixMilli()) + 1
	from = today() - int64(days-1)*4*slice
	for i, name := range []string{"a", "b", "c"} {
		seed := uint64(i + 1)
		traces = append(traces,
			trace{named("requests_total", "c", name), steps(from+int64(i)*7, end, 15_000, counting(seed, 0.003))},
			trace{named("memory_bytes", "c", name), steps(from+int64(i)*7, end, 15_000, wandering(seed))})
	}
	return from, traces
}

func fleetTypes(o *Options) {
	o.Types = func() map[string]string { return map[string]string{"memory_bytes": "gauge"} }
}

// lately is a store of which only the newest blocks are left.
type lately struct {
	rawDB
	from int64
}

func (l lately) BlockMetas() ([]tsdb.BlockMeta, error) {
	return slices.DeleteFunc(l.DB.BlockMetas(), func(b tsdb.BlockMeta) bool { return b.MinTime < l.from }), nil
}

func (l lately) oldest() int64 {
	metas, _ := l.BlockMetas()
	oldest := int64(math.MaxInt64)
	for _, m := range metas {
		oldest = min(oldest, m.MinTime)
	}
	return oldest
}

func (l lately) Querier(mint, maxt int64) (storage.Querier, error) {
	return l.DB.Querier(max(mint, l.oldest()), maxt)
}

// rounding is what sums in another order may differ by, relatively.
const rounding = 1e-12

func TestLongQueriesAnswerTheSameFromRollups(t *testing.T) {
	from, traces := fleet(6)
	raw := openRaw(t, t.TempDir())
	raw.store(t, traces...)
	s, _ := rolled(t, t.TempDir(), raw, fleetTypes)
	e := engine(t)
	first, last := from+8*slice, floor(time.Now().UnixMilli(), ms(time.Hour))
	for _, tt := range []struct {
		query string
		step  time.Duration
	}{
		{"increase(requests_total[6h])", time.Hour},
		{"rate(requests_total[1h])", 30 * time.Minute},
		{"rate(requests_total[10m])", 10 * time.Minute},
		{"sum by (c) (rate(requests_total[5m]))", 5 * time.Minute},
		{"resets(requests_total[12h])", time.Hour},
		{"max_over_time(memory_bytes[6h])", time.Hour},
		{"min_over_time(memory_bytes[5m])", 5 * time.Minute},
		{"avg_over_time(memory_bytes[6h])", time.Hour},
		{"sum_over_time(memory_bytes[6h])", time.Hour},
		{"count_over_time(memory_bytes[6h])", time.Hour},
		{"count_over_time(requests_total[6h])", time.Hour},
		{"avg_over_time(requests_total[6h])", time.Hour},
		{"last_over_time(memory_bytes[2h])", time.Hour},
		{"memory_bytes", time.Hour},
		{"sum(memory_bytes) / count(requests_total)", 5 * time.Minute},
		{"increase(requests_total[6h] offset 1d)", time.Hour},
		{"max_over_time(rate(requests_total[1h])[1d:1h])", 6 * time.Hour},
	} {
		t.Run(tt.query, func(t *testing.T) {
			before := selects(s, "both") + selects(s, "rollup")
			want := ask(t, e, raw, tt.query, first, last, tt.step)
			got := ask(t, e, s, tt.query, first, last, tt.step)
			if diff, n := difference(want, got); diff > rounding || n < 20 {
				t.Errorf("answers differ by %v; %d values", diff, n)
			}
			if selects(s, "both")+selects(s, "rollup") == before {
				t.Error("rollups were not asked")
			}
		})
	}
	for _, query := range []string{
		"increase(requests_total[5d])", "rate(requests_total[77h13m])", "increase(requests_total[2d] offset 47h7m)",
		"max_over_time(memory_bytes[100h])", "count_over_time(memory_bytes[4d3m])", "count_over_time(requests_total[4d])",
		"sum_over_time(memory_bytes[5d])", "resets(requests_total[5d])",
	} {
		t.Run("once "+query, func(t *testing.T) {
			at := last + 123_456 - ms(time.Hour)
			before := selects(s, "both")
			want, got := ask(t, e, raw, query, 0, at, 0), ask(t, e, s, query, 0, at, 0)
			if diff, n := difference(want, got); diff > rounding || n != 3 {
				t.Errorf("answers differ by %v; %d values", diff, n)
			}
			if selects(s, "both") == before {
				t.Error("rollups were not asked")
			}
		})
	}
}

// Where rollups would give another answer, samples give it.
func TestWhatRollupsCannotTellIsReadFromSamples(t *testing.T) {
	from, traces := fleet(4)
	raw := openRaw(t, t.TempDir())
	raw.store(t, traces...)
	s, _ := rolled(t, t.TempDir(), raw, fleetTypes)
	e := engine(t)
	first, last := from+4*slice, floor(time.Now().UnixMilli(), ms(time.Hour))
	for _, tt := range []struct {
		name, query string
		shift       int64
		step        time.Duration
	}{
		{"ranges that begin within a window", "rate(requests_total[1h])", 60_000, time.Hour},
		{"ranges of another length", "rate(requests_total[7m])", 0, time.Hour},
		{"steps within windows", "rate(requests_total[1h])", 0, time.Minute},
		{"instants within windows", "memory_bytes", 60_000, time.Hour},
		{"quantiles", "quantile_over_time(0.9, memory_bytes[6h])", 0, time.Hour},
		{"changes", "changes(memory_bytes[6h])", 0, time.Hour},
		{"slopes", "deriv(memory_bytes[6h])", 0, time.Hour},
		{"the last two samples", "irate(requests_total[1h])", 0, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := selects(s, "raw")
			want := ask(t, e, raw, tt.query, first+tt.shift, last, tt.step)
			got := ask(t, e, s, tt.query, first+tt.shift, last, tt.step)
			if diff, n := difference(want, got); diff != 0 || n < 20 {
				t.Errorf("answers differ by %v; %d values", diff, n)
			}
			if selects(s, "raw") == before {
				t.Error("samples alone should have answered")
			}
		})
	}
}

// What is no more in the first store is answered from rollups whatever the
// question. The greatest differences allowed are about twice those seen.
func TestTheTimeBeforeTheSamplesIsAnsweredFromRollups(t *testing.T) {
	from, traces := fleet(8)
	whole := openRaw(t, t.TempDir())
	whole.store(t, traces...)
	dir := t.TempDir()
	s, _ := rolled(t, dir, whole, fleetTypes)
	half := lately{whole, from + 16*slice}
	s.opts.Raw = half
	e := engine(t)
	last := floor(time.Now().UnixMilli(), ms(time.Hour))
	for _, tt := range []struct {
		query string
		step  time.Duration
		shift int64 // of the steps against the windows, in ms
		want  float64
	}{
		{"increase(requests_total[6h])", time.Hour, 0, rounding},
		{"rate(requests_total[1h])", 5 * time.Minute, 0, rounding},
		{"max_over_time(memory_bytes[1h])", 5 * time.Minute, 0, rounding},
		{"min_over_time(memory_bytes[6h])", time.Hour, 0, rounding},
		{"avg_over_time(memory_bytes[6h])", time.Hour, 0, rounding},
		{"sum_over_time(memory_bytes[6h])", time.Hour, 0, rounding},
		{"count_over_time(memory_bytes[6h])", time.Hour, 0, rounding},
		{"memory_bytes", 5 * time.Minute, 0, rounding},
		{"increase(requests_total[6h])", time.Hour, 123_000, 0.02},
		{"rate(requests_total[1h])", time.Hour, 123_000, 0.1},
		{"avg_over_time(memory_bytes[6h])", time.Hour, 123_000, 0.003},
		{"sum_over_time(memory_bytes[6h])", time.Hour, 123_000, 0.02},
		{"quantile_over_time(0.5, memory_bytes[6h])", time.Hour, 0, 0.1},
	} {
		t.Run(tt.query, func(t *testing.T) {
			before := selects(s, "both") + selects(s, "rollup")
			want := ask(t, e, whole, tt.query, from+8*slice+tt.shift, last, tt.step)
			got := ask(t, e, s, tt.query, from+8*slice+tt.shift, last, tt.step)
			diff, n := difference(want, got)
			t.Logf("greatest difference %.2g over %d values", diff, n)
			if diff > tt.want || n < 20 {
				t.Errorf("answers differ by %v, want at most %v; %d values", diff, tt.want, n)
			}
			if selects(s, "both")+selects(s, "rollup") == before {
				t.Error("rollups were not asked")
			}
		})
	}
	// Fine steps and short ranges have values at every step, as the samples had.
	for _, query := range []string{
		"memory_bytes", "rate(requests_total[1m])", "rate(requests_total[5m])", "irate(requests_total[2m])", "max_over_time(memory_bytes[1m])",
		"avg_over_time(memory_bytes[2m])", "sum_over_time(memory_bytes[2m])", "sum by (c) (memory_bytes)", "deriv(memory_bytes[5m])",
	} {
		t.Run("every minute "+query, func(t *testing.T) {
			start, end := from+9*slice+17_000, from+9*slice+ms(3*time.Hour)
			want := ask(t, e, whole, query, start, end, time.Minute)
			got := ask(t, e, s, query, start, end, time.Minute)
			if len(got) != len(want) {
				t.Fatalf("%d series, want %d", len(got), len(want))
			}
			for i := range want {
				if len(got[i].Floats) != len(want[i].Floats) {
					t.Errorf("%s: %d values, want %d", got[i].Metric, len(got[i].Floats), len(want[i].Floats))
				}
			}
			if a, b := average(want), average(got); math.Abs(a-b) > 0.05*math.Abs(a)+0.2 {
				t.Errorf("average %v, of the samples %v", b, a)
			}
		})
	}
}

// The one answer that differs while samples are there: where some are missing,
// a window counts in an average as much as a full one.
func TestAnAverageWeighsAllWindowsTheSame(t *testing.T) {
	end := windowEnd(time.Now().UnixMilli()) + 1
	from := today() - 8*slice
	value, lost := wandering(1), rand.New(rand.NewPCG(1, 5))
	var samples []point
	for _, p := range steps(from, end, 15_000, value) {
		if lost.Float64() > 0.05 { // one of twenty
			samples = append(samples, p)
		}
	}
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("memory_bytes"), samples})
	s, _ := rolled(t, t.TempDir(), raw, fleetTypes)
	e := engine(t)
	first, last := from+4*slice, floor(time.Now().UnixMilli(), ms(time.Hour))
	want := ask(t, e, raw, "avg_over_time(memory_bytes[6h])", first, last, time.Hour)
	got := ask(t, e, s, "avg_over_time(memory_bytes[6h])", first, last, time.Hour)
	diff, n := difference(want, got)
	t.Logf("greatest difference %.2g over %d values", diff, n)
	if diff > 0.001 || diff == 0 || n < 20 {
		t.Errorf("averages differ by %v, want something up to 0.1 %%; %d values", diff, n)
	}
}

func average(m promql.Matrix) float64 {
	sum, n := 0.0, 0
	for _, s := range m {
		for _, p := range s.Floats {
			sum += p.F
			n++
		}
	}
	return sum / float64(n)
}

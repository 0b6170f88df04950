package rollup

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
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

// A counter that began anew within a window, and one whose samples are minutes
// apart, at the seam between the stores.
func TestTheSeamHidesNothingAndDoublesNothing(t *testing.T) {
	end := today()
	from := end - 4*slice
	raw := openRaw(t, t.TempDir())
	c := trace{named("c_total"), steps(from, end+4*slice, 15_000, counting(5, 0.1))}
	slow := trace{named("slow_total"), steps(from+1, end+4*slice, 290_000, counting(6, 0.3))}
	edge := trace{named("edge_total"), steps(from, end+4*slice, window, counting(7, 0.3))}
	raw.store(t, c, slow, edge)
	s, _ := rolled(t, t.TempDir(), raw, nil)
	seam := s.watermark()
	e := engine(t)
	for _, query := range []string{"increase(c_total[1h])", "increase(slow_total[1h])", "increase(edge_total[1h])", "resets(c_total[1h])", "count_over_time(edge_total[1h])"} {
		before := selects(s, "both")
		want := ask(t, e, raw, query, seam-ms(2*time.Hour), seam+ms(2*time.Hour), 5*time.Minute)
		got := ask(t, e, s, query, seam-ms(2*time.Hour), seam+ms(2*time.Hour), 5*time.Minute)
		if diff, n := difference(want, got); diff > rounding || n != 49 {
			t.Errorf("%s: answers differ by %v; %d values", query, diff, n)
		}
		if selects(s, "both") == before {
			t.Errorf("%s: both stores should have answered", query)
		}
	}
	// The samples themselves: none twice, none out of order.
	s.opts.Raw = lately{raw, from + 2*slice}
	for name, samples := range contents(t, s, from, end+4*slice) {
		for i := 1; i < len(samples); i++ {
			if samples[i].t <= samples[i-1].t {
				t.Errorf("%s: sample at %d after %d", name, samples[i].t, samples[i-1].t)
			}
		}
	}
}

func TestASeriesEndsWhereItEnded(t *testing.T) {
	end := today()
	from := end - 4*slice
	raw := openRaw(t, t.TempDir())
	gone := steps(from, from+ms(100*time.Minute)+1, 15_000, wandering(1))
	gone = append(gone, point{t: from + ms(100*time.Minute) + 10_000, v: staleMarker})
	back := steps(from+ms(120*time.Minute), from+ms(180*time.Minute), 15_000, wandering(2)) // ends without a word
	keep := trace{named("other"), steps(from, end+4*slice, 15_000, wandering(3))}
	raw.store(t, trace{named("g"), append(gone, back...)}, keep)
	s, _ := rolled(t, t.TempDir(), raw, func(o *Options) { o.Types = func() map[string]string { return map[string]string{"g": "gauge"} } })
	s.opts.Raw = lately{raw, from + 2*slice}
	e := engine(t)
	for _, step := range []time.Duration{time.Minute, 17 * time.Second} {
		want := ask(t, e, raw, "g", from, from+ms(4*time.Hour), step)
		got := ask(t, e, s, "g", from, from+ms(4*time.Hour), step)
		if len(want) != 1 || len(got) != 1 {
			t.Fatalf("%d and %d series, want one", len(want), len(got))
		}
		at := map[int64]bool{}
		for _, p := range got[0].Floats {
			at[p.T] = true
		}
		missing := 0
		for _, p := range want[0].Floats {
			if !at[p.T] {
				missing++
			}
			delete(at, p.T)
		}
		// Before the first window has ended nothing is known of it.
		if most := int(window/ms(step)) + 1; missing > 2*most {
			t.Errorf("step %v: %d values are missing, want at most those of the first windows, %d", step, missing, 2*most)
		}
		if len(at) > 0 {
			t.Errorf("step %v: %d values where the series had none", step, len(at))
		}
	}
}

func TestHistogramsGrowTheSame(t *testing.T) {
	end := today()
	from := end - 4*slice
	raw := openRaw(t, t.TempDir())
	h := trace{labels: named("latency_seconds")}
	for at, n := from, int64(0); at < end+4*slice; at, n = at+15_000, n+1 {
		own := tsdbutil.GenerateTestFloatHistogram(n % 700) // begins anew every three hours
		own.CounterResetHint = histogram.UnknownCounterReset
		h.samples = append(h.samples, point{t: at, h: own})
	}
	raw.store(t, h)
	s, _ := rolled(t, t.TempDir(), raw, nil)
	e := engine(t)
	for _, query := range []string{"histogram_count(increase(latency_seconds[6h]))", "histogram_quantile(0.9, rate(latency_seconds[1h]))", "histogram_sum(latency_seconds)"} {
		before := selects(s, "both")
		want := ask(t, e, raw, query, from+slice, end+2*slice, time.Hour)
		got := ask(t, e, s, query, from+slice, end+2*slice, time.Hour)
		if diff, n := difference(want, got); diff > rounding || n < 20 {
			t.Errorf("%s: answers differ by %v; %d values", query, diff, n)
		}
		if selects(s, "both") == before {
			t.Errorf("%s: rollups were not asked", query)
		}
	}
}

func TestLabelsOfTheTimeBeforeAreKnown(t *testing.T) {
	end := today()
	from := end - 6*slice
	raw := openRaw(t, t.TempDir())
	raw.store(t,
		trace{named("old", "was", "here"), steps(from, from+slice, 60_000, wandering(1))},
		trace{named("new"), steps(from, end+4*slice, 60_000, wandering(2))})
	s, _ := rolled(t, t.TempDir(), raw, nil)
	s.opts.Raw = lately{raw, from + 3*slice}
	q, err := s.Querier(from, end+4*slice)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}()
	names, _, err := q.LabelNames(t.Context(), nil)
	if want := []string{model.MetricNameLabel, "was"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("names %v, %v; want %v", names, err, want)
	}
	values, _, err := q.LabelValues(t.Context(), model.MetricNameLabel, nil)
	if want := []string{"new", "old"}; err != nil || !slices.Equal(values, want) {
		t.Errorf("values %v, %v; want %v", values, err, want)
	}
	if values, _, err := q.LabelValues(t.Context(), model.MetricNameLabel, &storage.LabelHints{Limit: 1}); err != nil || len(values) != 1 {
		t.Errorf("%d values, %v; want the one asked for", len(values), err)
	}
	if values, _, err := q.LabelValues(t.Context(), sumLabel, nil); err != nil || len(values) != 0 {
		t.Errorf("the mark of sums shows: %v, %v", values, err)
	}
	found := q.(storage.Searcher).SearchLabelValues(t.Context(), model.MetricNameLabel, nil)
	defer func() { _ = found.Close() }()
	n := 0
	for found.Next() {
		n++
	}
	if n != 2 || found.Err() != nil {
		t.Errorf("a search finds %d values, %v; want 2", n, found.Err())
	}
}

// Each plan is read as: what asks, what there is, who answers what.
func TestPlans(t *testing.T) {
	const h = 12 * window
	rate := func(start, end, span, step int64) *storage.SelectHints {
		return &storage.SelectHints{Start: start, End: end, Range: span, Step: step, Func: "rate"}
	}
	for name, tt := range map[string]struct {
		hints            *storage.SelectHints
		rawFrom, covered int64
		edge, seam       int64
		doubled          bool
	}{
		"no rollups yet":                      {rate(1, 100*h, h, h), 1, 0, 0, 0, false},
		"whole windows, samples at the end":   {rate(h+1, 100*h, h, h), 1, 50 * h, h, 50 * h, true},
		"steps that are not whole windows":    {rate(h+1, 100*h, h, h+1), 1, 50 * h, h, h, false},
		"a range that begins within a window": {rate(h+2, 100*h, 99*h-1, 0), 1, 50 * h, h + window, 50 * h, true},
		"that ends within one":                {rate(h+1, 40*h+3, 39*h+3, 0), 1, 50 * h, h, 40 * h, true},
		"older than the samples":              {rate(h+2, 10*h, h, h), 20 * h, 50 * h, h + 1, 10 * h, false},
		"older in part":                       {rate(h+2, 30*h, h, 7), 20*h + 5, 50 * h, h + 1, 20*h + window, false},
		"a short one":                         {rate(h+1, 2*h-1, h, h), 1, 50 * h, h, h, false},
		"labels only":                         {&storage.SelectHints{Start: h + 1, End: 30 * h, Func: "series"}, 20 * h, 50 * h, h, 20 * h, false},
		"samples that rollups have not got":   {rate(h+2, 90*h, h, 7), 60 * h, 50 * h, h + 1, 60*h - window, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := decide(tt.hints.Start, tt.hints.End, tt.hints, tt.rawFrom, tt.covered)
			if p.edge != tt.edge || p.seam != tt.seam || p.doubled != tt.doubled {
				t.Errorf("edge %d seam %d doubled %v, want %d, %d, %v", p.edge, p.seam, p.doubled, tt.edge, tt.seam, tt.doubled)
			}
		})
	}
}

package rollup

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

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

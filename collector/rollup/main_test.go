package rollup

import (
	"context"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		panic(rollUntilKilled(dir)) // it returns only if it fails
	}
	goleak.VerifyTestMain(m)
}

// rawDB is a TSDB as the collector's store shows it.
type rawDB struct{ *tsdb.DB }

func (r rawDB) BlockMetas() ([]tsdb.BlockMeta, error) { return r.DB.BlockMetas(), nil }

// openRaw opens a store that takes late samples, as the collector's does.
func openRaw(t testing.TB, dir string) rawDB {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
	o.MinBlockDuration = (6 * time.Hour).Milliseconds() // fewer are quicker
	o.MaxBlockDuration = (36 * time.Hour).Milliseconds()
	db, err := tsdb.Open(dir, nil, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return rawDB{db}
}

// trace is a series as a test makes it.
type trace struct {
	labels  labels.Labels
	samples []point
}

func named(name string, rest ...string) labels.Labels {
	return labels.FromStrings(append([]string{model.MetricNameLabel, name}, rest...)...)
}

// store appends the traces, sample by sample in the order of time, and writes
// blocks of all but the newest hours.
func (r rawDB) store(t testing.TB, traces ...trace) {
	t.Helper()
	const step = int64(6 * time.Hour / time.Millisecond)
	at := make([]int, len(traces))
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, tr := range traces {
		if len(tr.samples) > 0 {
			first, last = min(first, tr.samples[0].t), max(last, tr.samples[len(tr.samples)-1].t)
		}
	}
	for until := floor(first, step) + step; until < last+step+1; until += step {
		app := r.AppenderV2(context.Background())
		for i, tr := range traces {
			var ref storage.SeriesRef
			for ; at[i] < len(tr.samples) && tr.samples[at[i]].t <= until; at[i]++ {
				p := tr.samples[at[i]]
				var err error
				if ref, err = app.Append(ref, tr.labels, 0, p.t, p.v, nil, p.h, storage.AOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := r.Compact(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// open opens rollups of raw in dir, with a registry to look at. Blocks are merged
// only when a test asks for it.
func open(t testing.TB, dir string, raw Raw, more func(*Options)) (*Store, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	o := Options{Dir: dir, Raw: raw, Share: 1, Registerer: reg, Log: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	if more != nil {
		more(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.db.DisableCompactions()
	return s, reg
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// rolled makes all rollups that are due and opens them anew, so that they are
// seen at once.
func rolled(t testing.TB, dir string, raw Raw, more func(*Options)) (*Store, *prometheus.Registry) {
	t.Helper()
	s, _ := open(t, dir, raw, more)
	if err := s.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s, reg := open(t, dir, raw, more)
	if err := s.catchUp(t.Context()); err != nil { // learns which slices are empty
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s, reg
}

// today is the begin of the newest slice that can be rolled up, in ms: tests
// store samples up to a while after it.
func today() int64 {
	s := &Store{opts: Options{OutOfOrder: defaultLate}}
	for {
		now := time.Now()
		if s.due(now) == s.due(now.Add(2*time.Minute)) {
			return s.due(now)
		}
		<-time.After(time.Second) // or one more would become due in the middle of the test
	}
}

func ms(d time.Duration) int64 { return d.Milliseconds() }

// contents are all samples of a store by series, stale markers included.
func contents(t testing.TB, q storage.Queryable, mint, maxt int64) map[string][]point {
	t.Helper()
	querier, err := q.Querier(mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := querier.Close(); err != nil {
			t.Error(err)
		}
	}()
	all := map[string][]point{}
	set := querier.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, ".+"))
	for set.Next() {
		it := set.At().Iterator(nil)
		var list []point
		for at := it.Next(); at != chunkenc.ValNone; at = it.Next() {
			var p point
			if at == chunkenc.ValFloat {
				p.t, p.v = it.At()
			} else {
				p.t, p.h = it.AtFloatHistogram(nil)
			}
			list = append(list, p)
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
		all[set.At().Labels().String()] = list
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func engine(t testing.TB) *promql.Engine {
	e := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e9, Timeout: time.Hour, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 15_000 },
		Parser:                   parser.NewParser(parser.Options{}),
	})
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// ask evaluates a query at each step, or once if step is 0.
func ask(t testing.TB, e *promql.Engine, q storage.Queryable, text string, from, to int64, step time.Duration) promql.Matrix {
	t.Helper()
	var query promql.Query
	var err error
	if step == 0 {
		query, err = e.NewInstantQuery(t.Context(), q, nil, text, time.UnixMilli(to))
	} else {
		query, err = e.NewRangeQuery(t.Context(), q, nil, text, time.UnixMilli(from), time.UnixMilli(to), step)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	if result.Err != nil {
		t.Fatalf("%s: %v", text, result.Err)
	}
	switch v := result.Value.(type) {
	case promql.Matrix:
		return copied(v)
	case promql.Vector:
		var m promql.Matrix
		for _, s := range v {
			m = append(m, promql.Series{Metric: s.Metric, Floats: []promql.FPoint{{T: s.T, F: s.F}}})
		}
		return m
	}
	t.Fatalf("%s: gives a %s", text, result.Value.Type())
	return nil
}

// copied outlives the query, whose memory is used again.
func copied(m promql.Matrix) promql.Matrix {
	var c promql.Matrix
	for _, s := range m {
		c = append(c, promql.Series{Metric: s.Metric.Copy(), Floats: append([]promql.FPoint{}, s.Floats...)})
	}
	return c
}

// difference is the greatest relative difference between two answers, 1 where
// one of them has no value; n is how many values were compared.
func difference(a, b promql.Matrix) (worst float64, n int) {
	type key struct {
		series string
		t      int64
	}
	values := map[key]float64{}
	for _, s := range a {
		for _, p := range s.Floats {
			values[key{s.Metric.String(), p.T}] = p.F
		}
	}
	total := len(values)
	for _, s := range b {
		for _, p := range s.Floats {
			k := key{s.Metric.String(), p.T}
			want, ok := values[k]
			if !ok {
				return 1, total
			}
			delete(values, k)
			if math.Float64bits(want) == math.Float64bits(p.F) {
				continue
			}
			worst = math.Max(worst, math.Abs(want-p.F)/math.Max(math.Abs(want), 1e-300))
		}
	}
	if len(values) > 0 {
		return 1, total
	}
	return worst, total
}

// selects is how many selectors were answered from somewhere.
func selects(s *Store, from string) float64 {
	return testutil.ToFloat64(s.metrics.queries.WithLabelValues(from))
}

var staleMarker = math.Float64frombits(value.StaleNaN)

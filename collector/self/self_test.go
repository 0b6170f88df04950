package self_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/self"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOwnMetricsCanBeQueriedAndEnd(t *testing.T) {
	opts := tsdb.DefaultOptions()
	db, err := tsdb.Open(t.TempDir(), nil, nil, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	engine := query.NewEngine(query.EngineOptions{Name: "test"})
	defer engine.Close()

	reg := prometheus.NewRegistry()
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "replicas"}, []string{"policy", "job"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "seconds", Buckets: []float64{0.5, 1}})
	reg.MustRegister(gauge, seconds)
	gauge.WithLabelValues("web", "x").Set(3)
	gauge.WithLabelValues("old", "x").Set(1)
	seconds.Observe(0.7)

	var begin time.Time
	synctest.Test(t, func(t *testing.T) {
		o, err := self.New(self.Options{Gatherer: reg, Store: db, Job: "collector", Instance: "here"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		begin = time.Now()
		time.AfterFunc(10*time.Second, func() { gauge.DeleteLabelValues("old", "x") })
		if err := o.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})

	for _, tt := range []struct {
		promql string
		after  time.Duration
		want   []float64
	}{
		{`up{job="collector", instance="here"}`, 0, []float64{1}},
		{`replicas{policy="web", exported_job="x"}`, time.Second, []float64{3}},
		{`replicas{policy="old"}`, time.Second, []float64{1}},
		{`replicas{policy="old"}`, 16 * time.Second, nil}, // no longer there
		{`seconds_bucket{le="0.5"}`, time.Second, []float64{0}},
		{`seconds_bucket{le="1.0"}`, time.Second, []float64{1}},
		{`seconds_bucket{le="+Inf"}`, time.Second, []float64{1}},
		{`seconds_sum`, time.Second, []float64{0.7}},
		{`count_over_time(up[1m])`, 39 * time.Second, []float64{3}},
		{`up`, 41 * time.Second, nil}, // the process has ended
	} {
		if diff := cmp.Diff(tt.want, values(t, engine, db, tt.promql, begin.Add(tt.after))); diff != "" {
			t.Errorf("%s after %v (-want +got):\n%s", tt.promql, tt.after, diff)
		}
	}
}

func values(t *testing.T, engine *promql.Engine, db *tsdb.DB, text string, at time.Time) (got []float64) {
	t.Helper()
	vector, err := query.Instant(t.Context(), engine, db, text, at, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range vector {
		got = append(got, s.Value)
	}
	return got
}

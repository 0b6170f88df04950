package alerting_test

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/plimsoll-io/plimsoll/alerting"
)

const recorded = `groups:
  - name: recorded
    interval: 10s
    rules:
      - record: node:containers:count
        expr: count by (node) (container_memory_working_set_bytes)
      - record: all:containers:count
        expr: sum(node:containers:count)
      - alert: Never
        expr: all:containers:count > 0
`

// A gap of ten minutes, whose samples come half a minute after the collector is
// back, has at its end what a collector that was there would have recorded.
func TestWhatWasNotRecordedInAGapIsRecordedLater(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		opts := tsdb.DefaultOptions()
		opts.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
		db, err := tsdb.Open(dir+"/tsdb", nil, nil, opts, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, dir: dir, db: db, engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})}
		w.write("rules.yml", recorded)
		from := time.Now()
		w.uses("web", 1)
		<-time.After(10 * time.Minute)
		to := time.Now()
		w.uses("web", 1)

		o := w.options()
		o.ConfigFile = ""
		a, err := alerting.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		var in atomic.Bool
		go func() {
			defer close(done)
			a.Refill(ctx, alerting.Gap{From: from, To: to, Whole: in.Load})
		}()
		<-time.After(30 * time.Second)
		synctest.Wait()
		if n := w.timesOf("all:containers:count"); len(n) > 0 {
			t.Errorf("%d were recorded before the samples were there", len(n))
		}
		series := labels.FromStrings("__name__", "container_memory_working_set_bytes", "name", "web", "node", "n1")
		app := db.Appender(ctx)
		for at := from; at.Before(to); at = at.Add(time.Second) {
			if _, err := app.Append(0, series, at.UnixMilli(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		app = db.Appender(ctx)
		// By now rules have recorded again.
		for metric, labelled := range map[string][]string{"all:containers:count": nil, "node:containers:count": {"node", "n1"}} {
			if _, err := app.Append(0, labels.FromStrings(append(labelled, "__name__", metric)...), time.Now().UnixMilli(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		in.Store(true)
		<-done
		times := w.timesOf("all:containers:count")
		times = times[:max(len(times)-1, 0)] // without that of now
		if len(times) != 60 {
			t.Errorf("%d evaluations are recorded, want 60", len(times))
		}
		for i, at := range times {
			if i > 0 && at-times[i-1] != 10_000 {
				t.Errorf("%d ms between two of them", at-times[i-1])
			}
			if at <= from.UnixMilli() || at >= to.UnixMilli() {
				t.Errorf("%v is not in the gap", time.UnixMilli(at))
			}
		}
		if n := w.timesOf("ALERTS"); len(n) > 0 {
			t.Errorf("an alert of the past is told %d times", len(n))
		}
		a.Refill(ctx, alerting.Gap{From: to.Add(-time.Millisecond), To: to}) // shorter than an interval
		cancel()
		if err := w.engine.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// timesOf are the times of the samples of a metric, in ms.
func (w *world) timesOf(metric string) (times []int64) {
	w.t.Helper()
	q, err := w.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(w.t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", metric))
	for set.Next() {
		it := set.At().Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			times = append(times, it.AtT())
		}
	}
	return times
}

package arrival_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/alerting/arrival"
)

var stale = math.Float64frombits(value.StaleNaN)

// watch is a detector of one group, and how often that crossed.
type watch struct {
	*arrival.Detector
	t       testing.TB
	reg     *prometheus.Registry
	crossed int
}

func newWatch(t testing.TB, most int, exprs ...string) *watch {
	t.Helper()
	w := &watch{t: t, reg: prometheus.NewRegistry()}
	var err error
	if w.Detector, err = arrival.New(arrival.Options{MaxSeries: most, Registerer: w.reg}); err != nil {
		t.Fatal(err)
	}
	w.use(exprs...)
	return w
}

func (w *watch) use(exprs ...string) {
	w.t.Helper()
	g := arrival.Group{Crossed: func(time.Time) { w.crossed++ }}
	for _, expr := range exprs {
		g.Rules = append(g.Rules, arrival.Rule{Expr: parse(w.t, expr)})
	}
	w.Use([]arrival.Group{g})
}

func (w *watch) show(name, id string, v float64) {
	w.Show(time.Now().UnixMilli(), []labels.Labels{series(name, id)}, []float64{v})
}

func series(name, id string) labels.Labels { return labels.FromStrings("__name__", name, "id", id) }

func (w *watch) expect(what string, crossed int) {
	w.t.Helper()
	if w.crossed != crossed {
		w.t.Errorf("%s: crossed %d times, want %d", what, w.crossed, crossed)
	}
}

func (w *watch) metric(name, text string) {
	w.t.Helper()
	if err := testutil.GatherAndCompare(w.reg, strings.NewReader(text), name); err != nil {
		w.t.Error(err)
	}
}

func (w *watch) size(n int) {
	w.t.Helper()
	const name = "plimsoll_alerting_arrival_series"
	w.metric(name, fmt.Sprintf("# HELP %s Series that are followed as their samples arrive.\n# TYPE %s gauge\n%s %d\n", name, name, name, n))
}

func TestSamplesThatComeTogetherCrossOnce(t *testing.T) {
	w := newWatch(t, 0, "use / lim > 0.9", "use > 90")
	var list []labels.Labels
	var values []float64
	for i := range 100 {
		list = append(list, series("use", strconv.Itoa(i)), series("lim", strconv.Itoa(i)))
		values = append(values, 95, 100)
	}
	w.Show(time.Now().UnixMilli(), list, values)
	w.expect("100 series that cross in two rules of a group", 1)
	w.Show(time.Now().UnixMilli(), list, values)
	w.expect("the same values again", 1)
}

func TestBothSidesThatChangeTogetherDoNotCross(t *testing.T) {
	w := newWatch(t, 0, "use / lim > 0.9")
	list := []labels.Labels{series("use", "a"), series("lim", "a")}
	w.Show(time.Now().UnixMilli(), list, []float64{50, 100})
	w.Show(time.Now().UnixMilli(), list, []float64{500, 1000})
	w.Show(time.Now().UnixMilli(), list, []float64{50, 100})
	w.expect("the ratio is the same", 0)
}

func TestWhatIsNotAPresentSampleChangesNothing(t *testing.T) {
	w := newWatch(t, 0, "use > 1")
	now := time.Now()
	at := func(d time.Duration, v float64) {
		w.Show(now.Add(d).UnixMilli(), []labels.Labels{series("use", "a")}, []float64{v})
	}
	at(-6*time.Minute, 2)
	w.expect("older than any query looks back", 0)
	at(2*time.Minute, 2)
	w.expect("of a clock that is wrong", 0)
	at(0, 2)
	w.expect("of now", 1)
	at(-time.Minute, 0)
	w.expect("of a backlog, older than the last", 1)
	at(time.Second, stale)
	w.expect("the end", 2)
}

func TestSamplesAreFollowedOnWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, 0, "use > 1")
		w.show("use", "a", 2)
		w.show("use", "gone", 2)
		w.expect("two that cross", 2)
		w.SetBack(time.Hour)
		w.show("use", "a", 0)
		w.expect("one that is no longer above", 3)
		for range 10 {
			<-time.After(time.Minute)
			w.show("use", "a", 0)
			w.Sweep(time.Now())
		}
		w.expect("one of which nothing was heard since the clock was set", 4)
		w.size(1)
	})
}

func TestSeriesThatHaveEndedAreForgottenAndMayComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, 0, "max by (id) (use / on (id) lim) > 0.9 unless on (id) off == 1")
		dead := w.Series(series("use", "a"))
		w.Stored(time.Now().UnixMilli(), []any{dead, w.Series(series("lim", "a")), w.Series(series("off", "a"))}, []float64{95, 100, 0})
		w.expect("above", 1)
		w.size(3)
		w.Stored(time.Now().UnixMilli(), []any{dead}, []float64{stale})
		w.expect("ended", 2)
		w.size(3)
		<-time.After(2 * time.Minute)
		w.Sweep(time.Now())
		w.size(2)
		w.Stored(time.Now().UnixMilli(), []any{dead}, []float64{95})
		w.expect("back", 3)
		w.size(3)
		<-time.After(5*time.Minute + time.Second)
		w.Sweep(time.Now())
		w.expect("nothing heard for five minutes", 4)
		w.Sweep(time.Now())
		w.size(0)
	})
}

// Containers come and go; what is held must follow those that are there.
func TestChurnLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, 1000, "max without (id) (use / (lim > 0)) > 0.9", "count by (node) (use) > 0 unless lim", "use > 1 or lim > 1")
		for i := range 10_000 {
			w.show("use", strconv.Itoa(i), 1)
			w.show("lim", strconv.Itoa(i), 2)
			<-time.After(time.Second)
			w.show("use", strconv.Itoa(i), stale)
			w.show("lim", strconv.Itoa(i), stale)
			if i%30 == 0 {
				w.Sweep(time.Now())
			}
		}
		<-time.After(10 * time.Minute)
		w.Sweep(time.Now())
		w.size(0)
		w.metric("plimsoll_alerting_arrival_series_refused_total", "# HELP plimsoll_alerting_arrival_series_refused_total Series that were not followed because the limit was reached; rules about them are evaluated at ticks alone.\n"+
			"# TYPE plimsoll_alerting_arrival_series_refused_total counter\nplimsoll_alerting_arrival_series_refused_total 0\n")
		if n := w.Cells(); n != 0 {
			t.Errorf("%d cells are left", n)
		}
	})
}

func TestBeyondTheLimitSeriesAreCountedAndMayComeOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, 10, "use > 1")
		for i := range 12 {
			w.show("use", strconv.Itoa(i), 0)
		}
		w.size(10)
		w.metric("plimsoll_alerting_arrival_series_refused_total", "# HELP plimsoll_alerting_arrival_series_refused_total Series that were not followed because the limit was reached; rules about them are evaluated at ticks alone.\n"+
			"# TYPE plimsoll_alerting_arrival_series_refused_total counter\nplimsoll_alerting_arrival_series_refused_total 2\n")
		before := w.Epoch()
		for i := range 5 {
			w.show("use", strconv.Itoa(i), stale)
		}
		<-time.After(2 * time.Minute)
		w.Sweep(time.Now())
		if w.Epoch() == before {
			t.Error("those that were refused are not asked to come again")
		}
		if w.Series(series("use", "11")) == nil {
			t.Error("refused though there is room")
		}
	})
}

func TestRulesThatAreReplacedKnowWhatWasThereBefore(t *testing.T) {
	w := newWatch(t, 0, "use > 1")
	w.show("use", "a", 5)
	w.expect("the first rule", 1)
	before := w.Epoch()
	w.use("use > 3", "lim > 1")
	w.expect("the second, of what is known", 2)
	if w.Epoch() == before || w.Series(series("lim", "a")) == nil {
		t.Error("what was not wanted before is not asked for again")
	}
	w.use("lim > 3")
	w.size(1)
	if w.Series(series("use", "a")) != nil {
		t.Error("what nobody wants any more is still followed")
	}
}

func TestRecordedSeriesOfTheGroupAreReadThrough(t *testing.T) {
	w := newWatch(t, 0)
	rules := []arrival.Rule{
		{Record: "ratio", Expr: parse(t, "use / lim"), Labels: labels.FromStrings("kind", "memory")},
		{Record: "high", Expr: parse(t, "ratio > 0.9")},
		{Expr: parse(t, `high{kind="memory"}`)},
		{Expr: parse(t, `high{kind="cpu"}`)},
	}
	if n := w.Use([]arrival.Group{{Rules: rules, Crossed: func(time.Time) { w.crossed++ }}}); n[0] != 2 {
		t.Fatalf("%d alerts are followed", n[0])
	}
	w.show("use", "a", 95)
	w.show("lim", "a", 100)
	w.expect("the recorded ratio is high", 1)

	again := []arrival.Rule{{Record: "a", Expr: parse(t, "a + 1")}, {Expr: parse(t, "a > 1")}}
	if n := w.Use([]arrival.Group{{Rules: again}}); n[0] != 0 {
		t.Error("what is recorded from itself is followed")
	}
}

func TestWhatCannotBeFollowedSaysWhy(t *testing.T) {
	for expr, want := range map[string]string{
		"rate(use[1m]) > 1":                   "rate() is not followed",
		"use offset 5m > 1":                   "is about another time",
		"use @ 100 > 1":                       "is about another time",
		"max_over_time(use[5m:1m]) > 1":       "max_over_time() is not followed",
		"topk(3, use)":                        "topk() is not followed",
		"use * on (id) group_left (node) lim": "takes labels or values from the other side",
		`{job="x"} > 1`:                       "does not name a metric",
		"vector(1)":                           "vector() is not followed",
		"absent(use)":                         "absent() is not followed",
		"use atan2 lim > 1":                   "atan2 is not followed",
		"use > scalar(lim)":                   "is not followed",
	} {
		if err := arrival.Check(parse(t, expr)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", expr, err, want)
		}
	}
}

func TestASeriesThatIsShownBesideTheStoreIsFollowed(t *testing.T) {
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w := newWatch(t, 0, "use > 1")
	now := time.Now().UnixMilli()

	v1 := w.BesideV1(db.Appender(t.Context()))
	if _, err := v1.Append(0, series("use", "a"), now, 2); err != nil {
		t.Fatal(err)
	}
	w.expect("before the commit", 0)
	if err := v1.Commit(); err != nil {
		t.Fatal(err)
	}
	w.expect("after it", 1)

	v2 := w.Beside(db.AppenderV2(t.Context()))
	for i, v := range []float64{0, 2} {
		if _, err := v2.Append(0, series("use", "a"), 0, now+int64(i)+1, v, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v2.Commit(); err != nil {
		t.Fatal(err)
	}
	w.expect("there and back in one transaction", 3)

	v2 = w.Beside(db.AppenderV2(t.Context()))
	if _, err := v2.Append(0, series("use", "a"), 0, now+3, 0, nil, nil, storage.AOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := v2.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.expect("rolled back", 3)
}

// What follows each sample must cost nothing that is to be collected.
func TestASampleThatDoesNotCrossAllocatesNothing(t *testing.T) {
	w := newWatch(t, 0, "use / lim > 0.9", "max by (id) (use) > 1000", "use > 1000 unless lim == 3")
	handles := []any{w.Series(series("use", "a")), w.Series(series("lim", "a"))}
	values := []float64{0, 100}
	at := time.Now().UnixMilli()
	if n := testing.AllocsPerRun(1000, func() {
		values[0] = math.Mod(values[0]+1, 50)
		w.Stored(at, handles, values)
	}); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
	unwatched := series("other", "a")
	if n := testing.AllocsPerRun(1000, func() { w.Series(unwatched) }); n != 0 {
		t.Errorf("%v allocations to learn that nobody watches", n)
	}
}

package arrival_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/alerting/arrival"
)

// followed are expressions that the detector takes.
var followed = []string{
	`use > 2`,
	`2 < use`,
	`use`,
	`-use < -2`,
	`use / lim > 0.9`,
	`use / (lim > 0) > 0.9`,
	`use * 2 + 1 - lim % 3 > 2 ^ 1`,
	`use > bool 2 == 1`,
	`use == on (id) lim`,
	`use != ignoring (id) group_left () cap`,
	`cap <= on (node) group_right () use`,
	`use > 1 and lim < 3`,
	`use > 1 and on (node) cap > 1`,
	`use > 1 unless on (node) cap == 0`,
	`use > 2 or lim > 2`,
	`use > 2 or on (node) cap > 1`,
	`max by (node) (use) > 2`,
	`min without (id) (use) < 1`,
	`sum by (node) (use) > 3`,
	`avg (use) > 1.5`,
	`count by (node) (use > 1) >= 2`,
	`group by (node) (use == 3) and on (node) cap`,
	`max without (id) (use / (lim > 0)) > 0.9`,
	`abs(use - 2) > 1.5`,
	`max by (node) (up{job="agent", node=~"n.*"}) == 0`,
	`(use > 2) * (lim > 1) unless cap`,
	`use{node!="n0"} >= 3`,
	`use / use > 0`,
	`time() - stamp > 100 and on (id) use > 1`,
	`use > (1 + 1) * 0.5`,
	`floor(lim) == ceil(use)`,
	`NaN != use`,
}

// The engine is asked after each step what is true, and the detector must have
// spoken exactly if that is for other labels than before.
func TestItSpeaksWhenTheEngineWouldSayOtherwise(t *testing.T) {
	for _, expr := range followed {
		t.Run(expr, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				walk(t, expr, seed, 200)
			}
		})
	}
}

func walk(t *testing.T, expr string, seed uint64, steps int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	w := newWalk(t, expr)
	before, broken := "", false
	for step := range steps {
		w.crossed = 0
		told := w.step(random)
		after, err := w.ask()
		if err != nil { // more than one on a side: there is no truth to compare with
			broken = true
			continue
		}
		if changed := after != before; !broken && changed != (w.crossed > 0) {
			t.Fatalf("seed %d, step %d: %s\nbefore %q\nafter  %q\ncrossed %d times", seed, step, told, before, after, w.crossed)
		}
		before, broken = after, false
	}
}

// walker is a store, its engine, and the detector beside it.
type walker struct {
	t       *testing.T
	expr    string
	db      *tsdb.DB
	engine  *promql.Engine
	d       *arrival.Detector
	series  []labels.Labels
	crossed int
	now     int64
}

func parse(t testing.TB, expr string) parser.Expr {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newWalk(t *testing.T, expr string) *walker {
	t.Helper()
	w := &walker{t: t, expr: expr, now: time.Now().UnixMilli() - 20_000}
	var err error
	if w.db, err = tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	t.Cleanup(func() { _ = w.engine.Close() })
	if w.d, err = arrival.New(arrival.Options{}); err != nil {
		t.Fatal(err)
	}
	if n := w.d.Use([]arrival.Group{{Rules: []arrival.Rule{{Expr: parse(t, expr)}}, Crossed: func(time.Time) { w.crossed++ }}}); n[0] != 1 {
		t.Fatalf("it is not followed: %v", arrival.Check(parse(t, expr)))
	}
	for _, node := range []string{"n0", "n1"} {
		for _, id := range []string{"a", "b"} {
			for _, name := range []string{"use", "lim", "stamp"} {
				w.series = append(w.series, labels.FromStrings("__name__", name, "node", node, "id", id))
			}
		}
		w.series = append(w.series,
			labels.FromStrings("__name__", "cap", "node", node),
			labels.FromStrings("__name__", "up", "node", node, "job", "agent"),
			labels.FromStrings("__name__", "up", "node", node, "job", "other"))
	}
	return w
}

// step stores and shows a few samples of one time, and says which.
func (w *walker) step(random *rand.Rand) string {
	w.now++
	var told []string
	var shown []labels.Labels
	var values []float64
	app := w.db.Appender(w.t.Context())
	for _, i := range random.Perm(len(w.series))[:1+random.IntN(3)] {
		v := []float64{0, 0, 1, 2, 3, 3, math.NaN(), math.Float64frombits(value.StaleNaN)}[random.IntN(8)]
		if w.series[i].Get("__name__") == "stamp" {
			v = float64(w.now/1000) - 1000*v
		}
		if _, err := app.Append(0, w.series[i], w.now, v); err != nil {
			w.t.Fatal(err)
		}
		shown, values = append(shown, w.series[i]), append(values, v)
		told = append(told, fmt.Sprintf("%s=%v", w.series[i], v))
	}
	if err := app.Commit(); err != nil {
		w.t.Fatal(err)
	}
	w.d.Show(w.now, shown, values)
	return strings.Join(told, " ")
}

// ask is what the engine says is true, for which labels.
func (w *walker) ask() (string, error) {
	q, err := w.engine.NewInstantQuery(w.t.Context(), storage.Queryable(w.db), nil, w.expr, time.UnixMilli(w.now))
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close()
	res := q.Exec(w.t.Context())
	if res.Err != nil {
		return "", res.Err
	}
	vector, err := res.Vector()
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, s := range vector {
		list = append(list, s.Metric.String())
	}
	slices.Sort(list)
	return strings.Join(list, " "), nil
}

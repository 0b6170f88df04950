package query_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/collector/query"
)

func TestALineHasAPointForEachStepThatIsKnown(t *testing.T) {
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	start := time.Now().Add(-time.Hour).Truncate(time.Minute)
	app := db.Appender(t.Context())
	for minute := range 10 {
		at := start.Add(time.Duration(minute) * time.Minute).UnixMilli()
		if _, err := app.Append(0, labels.FromStrings("__name__", "up", "node", "n1"), at, float64(minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	engine := query.NewEngine(query.EngineOptions{Lookback: time.Minute})
	ask := func(text string) ([]query.Line, error) {
		return query.Range(t.Context(), engine, db, text, start, start.Add(20*time.Minute), time.Minute)
	}
	lines, err := ask("up")
	if err != nil || len(lines) != 1 || lines[0].Labels["node"] != "n1" || len(lines[0].Samples) != 10 {
		t.Fatalf("%+v, %v; want one line of ten points", lines, err)
	}
	if p := lines[0].Samples[9]; p.Value != 9 || !p.At.Equal(start.Add(9*time.Minute)) {
		t.Errorf("last point %+v", p)
	}
	if lines, err := ask("1 + 1"); err != nil || len(lines) != 1 || len(lines[0].Labels) != 0 || len(lines[0].Samples) != 21 {
		t.Errorf("a scalar: %+v, %v; want a line without labels", lines, err)
	}
	if lines, err := ask("nosuch"); err != nil || len(lines) != 0 {
		t.Errorf("nothing: %+v, %v; want no line", lines, err)
	}
	for _, text := range []string{"up(", "up[5m]"} {
		if _, err := ask(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want one that names the query", text, err)
		}
	}
}

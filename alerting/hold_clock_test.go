package alerting

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
)

// A clock that is an hour ahead is put right: what comes then is an hour before
// what was.
func TestRulesGoOnWhenTheClockIsSetBack(t *testing.T) {
	const rules = `groups:
  - name: test
    rules:
      - {alert: High, expr: 'load > 10'}
      - {alert: HighForLong, expr: 'load > 10', for: 5m}
      - {record: load:max, expr: 'max by (name) (load)'}
`
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		options := tsdb.DefaultOptions()
		options.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
		db, err := tsdb.Open(filepath.Join(dir, "tsdb"), nil, nil, options, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
		defer engine.Close()
		file := filepath.Join(dir, "rules.yml")
		if err := os.WriteFile(file, []byte(rules), 0o666); err != nil {
			t.Fatal(err)
		}
		a, err := New(Options{
			Engine: engine, Queryable: db, Appendable: db, RuleFiles: []string{file}, DataDir: filepath.Join(dir, "alerting"),
			ExternalURL: &url.URL{Scheme: "http", Host: "localhost"},
		})
		if err != nil {
			t.Fatal(err)
		}
		// Its rules are evaluated here alone, at the times that this clock says.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := a.start(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() {
			go a.rules.Run() // what was never run does not stop
			a.rules.Stop()
			a.am.stop()
		}()
		group := a.rules.RuleGroups()[0]
		ahead := time.Hour
		pass := func(d time.Duration, load map[string]float64) {
			t.Helper()
			for range d / (5 * time.Second) {
				at := time.Now().Add(ahead)
				app := db.Appender(ctx)
				for name, v := range load {
					if _, err := app.Append(0, labels.FromStrings("__name__", "load", "name", name), at.UnixMilli(), v); err != nil {
						t.Fatal(err)
					}
				}
				if err := app.Commit(); err != nil {
					t.Fatal(err)
				}
				a.evaluate(ctx, group, at)
				for _, r := range group.Rules() {
					if r.Health() != promrules.HealthGood {
						t.Fatalf("rule %s: %v", r.Name(), r.LastError())
					}
				}
				<-time.After(5 * time.Second)
			}
		}
		firing := func() map[string]int {
			count := map[string]int{}
			for _, alert := range a.Active(ctx) {
				count[alert.Name]++
			}
			return count
		}
		both := func(when string, n int) {
			t.Helper()
			if f := firing(); f["High"] != n || f["HighForLong"] != n {
				t.Fatalf("%s %v fire, want %d of each", when, f, n)
			}
		}

		pass(10*time.Minute, map[string]float64{"a": 20, "b": 20})
		both("before", 2)
		ahead = 0
		for range 10 {
			pass(time.Minute, map[string]float64{"a": 20, "b": 20})
			both("after the clock was set", 2)
		}
		pass(time.Minute, map[string]float64{"a": 5, "b": 20})
		both("when one has ended", 1)
		pass(6*time.Minute, map[string]float64{"a": 5, "b": 20, "c": 20})
		both("when another has come", 2)
	})
}

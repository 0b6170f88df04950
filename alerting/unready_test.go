package alerting_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// What a rule would read is not stored while nothing is, so this needs no rule.
func TestACollectorThatTakesNothingSaysSoWithoutItsStore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := tsdb.Open(filepath.Join(dir, "tsdb"), nil, nil, tsdb.DefaultOptions(), nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, dir: dir, db: db, engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})}
		o := w.options()
		o.ConfigFile, o.RuleFiles, o.Instance = "", nil, "here:9900"
		var broken atomic.Bool
		o.Ready = func() error {
			if broken.Load() {
				return errors.New("the disk is read-only")
			}
			return nil
		}
		a, err := alerting.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		after := func(d time.Duration, want bool) {
			t.Helper()
			<-time.After(d)
			synctest.Wait()
			var said []string
			for _, x := range a.Active(t.Context()) {
				said = append(said, x.Name+": "+x.Summary)
			}
			if got := strings.Join(said, "; "); (got == "CollectorNotReady: Collector here:9900 takes no samples: the disk is read-only") != want || !want && got != "" {
				t.Errorf("%q, want it %v", got, want)
			}
		}
		after(time.Minute, false)
		broken.Store(true)
		after(20*time.Second, false) // as long as a store takes to open anew
		after(20*time.Second, true)
		after(time.Hour, true)
		broken.Store(false)
		after(10*time.Second, false)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := w.engine.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

package alerting

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
)

// standing is an Alerting that evaluates, and looks at what is held, only when it
// is told to: as one whose process stands still between.
type standing struct {
	*Alerting
	t      *testing.T
	ctx    context.Context
	db     *tsdb.DB
	broken bool // its queries fail
}

func standStill(t *testing.T, story func(s *standing)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db, err := tsdb.Open(filepath.Join(dir, "tsdb"), nil, nil, tsdb.DefaultOptions(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
		defer engine.Close()
		file := filepath.Join(dir, "rules.yml")
		if err := os.WriteFile(file, []byte("groups: [{name: test, rules: [{alert: High, expr: load > 10}]}]\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s := &standing{t: t, ctx: ctx, db: db}
		s.Alerting, err = New(Options{
			Engine: engine, Queryable: db, Appendable: db, RuleFiles: []string{file}, DataDir: filepath.Join(dir, "alerting"),
			ExternalURL: &url.URL{Scheme: "http", Host: "localhost"},
			QueryFunc: func(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
				if s.broken {
					return nil, errors.New("query timed out")
				}
				return promrules.EngineQueryFunc(engine, db)(ctx, query, at)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.start(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() {
			cancel()
			s.early.loops.Wait()
			go s.rules.Run() // what was never run does not stop
			s.rules.Stop()
			s.am.stop()
		}()
		story(s)
	})
}

func (s *standing) group() *promrules.Group { return s.rules.RuleGroups()[0] }

// sees has the rules see a load.
func (s *standing) sees(load float64) {
	s.t.Helper()
	now := time.Now()
	app := s.db.Appender(s.ctx)
	if _, err := app.Append(0, labels.FromStrings("__name__", "load"), now.UnixMilli(), load); err != nil {
		s.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		s.t.Fatal(err)
	}
	s.evaluate(s.ctx, s.group(), now)
}

func (s *standing) mustFire(n int, when string) {
	s.t.Helper()
	if got := len(s.Active(s.ctx)); got != n {
		s.t.Fatalf("%s %d fire, want %d", when, got, n)
	}
}

func TestWhatFiredWhenTheProcessStoodStillFiresOn(t *testing.T) {
	standStill(t, func(s *standing) {
		s.sees(20)
		s.hold.look(s.ctx, time.Now())
		s.mustFire(1, "above its limit")
		<-time.After(4 * time.Minute) // twice as long as an alert is valid
		s.mustFire(0, "until anybody looks")
		s.hold.look(s.ctx, time.Now())
		s.mustFire(1, "when the process goes on")
	})
}

func TestWhatEndedBeforeTheProcessStoodStillDoesNotFireAgain(t *testing.T) {
	standStill(t, func(s *standing) {
		s.sees(20)
		s.hold.look(s.ctx, time.Now())
		<-time.After(time.Second)
		s.sees(5)
		s.mustFire(0, "below its limit")
		s.broken = true
		<-time.After(3 * time.Minute)
		s.sees(5)
		s.hold.look(s.ctx, time.Now())
		s.mustFire(0, "though its rule cannot tell any more")
	})
}

func TestAnAlertThatIsHeldEndsByAnEvaluationOfLaterData(t *testing.T) {
	standStill(t, func(s *standing) {
		began := time.Now()
		s.sees(20)
		<-time.After(time.Minute)
		asked := index(s.rules.RuleGroups()).of(model.LabelSet{model.AlertNameLabel: "High"}).asked()
		if !asked.Equal(began) {
			t.Errorf("its rule is said to have seen data of %v, want %v", asked, began)
		}
		// It begins now, but is late.
		s.evaluate(s.ctx, s.group(), began.Add(30*time.Second))
		asked = index(s.rules.RuleGroups()).of(model.LabelSet{model.AlertNameLabel: "High"}).asked()
		if !asked.Equal(began.Add(30 * time.Second)) {
			t.Errorf("its rule is said to have seen data of %v after the start, want half a minute", asked.Sub(began))
		}
	})
}

func TestNoAlertEndsBeforeItBeganWhenTheClockIsSetBack(t *testing.T) {
	standStill(t, func(s *standing) {
		now := time.Now()
		fp := model.Fingerprint(1)
		s.hold.mu.Lock()
		defer s.hold.mu.Unlock()
		from := &alert.Alert{Alert: model.Alert{Labels: model.LabelSet{model.AlertNameLabel: "High"}, StartsAt: now.Add(time.Hour)}}
		for what, a := range map[string]*alert.Alert{
			"renewed": s.hold.renew(from, now), "ended": s.hold.end(fp, &held{alert: from}, now, ""),
		} {
			if err := a.Validate(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// Evaluations go on from where the clock was if it is set back by seconds.
func TestWhatEndedHasEndedThoughTheClockIsSetBack(t *testing.T) {
	now := time.Now()
	a := translate(&promrules.Alert{
		Labels: labels.FromStrings("alertname", "High"), FiredAt: now.Add(10 * time.Second), ResolvedAt: now.Add(30 * time.Second),
	}, "", now)
	if err := a.Validate(); err != nil || !a.ResolvedAt(now) {
		t.Errorf("%+v, %v; want it ended", a, err)
	}
}

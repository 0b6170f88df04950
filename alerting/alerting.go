package alerting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/alerting/arrival"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// Options are what an Alerting works with. Engine, Queryable, Appendable,
// ExternalURL and DataDir are needed; the rest has defaults.
type Options struct {
	Engine     promql.QueryEngine
	Queryable  storage.Queryable  // what rules read
	Appendable storage.Appendable // where ALERTS and recorded series go
	// QueryFunc evaluates the expressions of rules; nil for Engine over
	// Queryable.
	QueryFunc promrules.QueryFunc

	// ConfigFile is a stock alertmanager.yml, obeyed as it is. Empty means the
	// built-in one, which groups and inhibits but tells nobody.
	ConfigFile string
	// RuleFiles are stock rule files, as patterns like rules/*.yml. They come
	// on top of the bundled pack, which is in force if BundledRules is set.
	RuleFiles    []string
	BundledRules bool
	// RuleOverrides is a file that changes the bundled pack, or empty.
	RuleOverrides string
	// EvaluationInterval is that of groups that name none; 15 s by default. What
	// Arrival follows does not wait for it, nor does the end of a `for`.
	EvaluationInterval time.Duration
	// Arrival is shown samples as they are stored, and has groups evaluated whose
	// alerts they may change. Nil: all is evaluated at ticks.
	Arrival *arrival.Detector

	// DataDir keeps silences, the notification log and the alert history.
	DataDir string
	// HistoryBytes and HistoryAge bound the alert history; 0 means 64 MiB and
	// 30 days.
	HistoryBytes int64
	HistoryAge   time.Duration
	// ExternalURL is where people find the console; links in messages use it.
	ExternalURL *url.URL

	// Lost tells whether the agent of a node is away, and when it last came
	// back; zero if it was never away. Alerts of a node that is lost do not
	// resolve for want of data. It must not wait. Nil: no node is ever lost.
	Lost func(node string) (away bool, back time.Time)

	// Ready tells why the collector takes no samples, and Instance is what it is
	// called: an alert says so that needs no store. Nil: nobody does.
	Ready    func() error
	Instance string

	// Pair is given if another Alerting sees the same samples: see Talk.
	Pair *PairOptions

	Registerer prometheus.Registerer // nil: metrics go nowhere
	Log        *slog.Logger          // nil: discarded
}

const (
	// resendDelay is how often an alert that still fires is handed over again;
	// without that, it would count as resolved after four times as long.
	resendDelay = 30 * time.Second
	// outageTolerance is the longest gap after which the `for` of a rule goes
	// on where it was.
	outageTolerance = time.Hour
)

// Alerting evaluates rules and notifies.
type Alerting struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	loader  *rules.Loader
	rules   *promrules.Manager
	am      *alertmanager
	bots    *chatbot.Hub
	hold    *holder
	counts  *earlyMetrics

	mu       sync.Mutex // one reload, start or stop at a time
	settings settings   // in force, or to be once Run starts
	early    *early     // from start on
	evaluate promrules.GroupEvalIterationFunc
	state    state
}

type state uint8

const (
	fresh state = iota
	running
	ended
)

// New completes opts and reads all files. It starts nothing; until Run does,
// the API answers 503.
func New(opts Options) (*Alerting, error) {
	if opts.Engine == nil || opts.Queryable == nil || opts.Appendable == nil || opts.ExternalURL == nil || opts.DataDir == "" {
		return nil, errors.New("alerting needs an engine, a store to read and write, an external URL and a data directory")
	}
	opts.EvaluationInterval = cmp.Or(opts.EvaluationInterval, 15*time.Second)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Registerer == nil {
		opts.Registerer = prometheus.NewRegistry()
	}

	if opts.QueryFunc == nil {
		opts.QueryFunc = promrules.EngineQueryFunc(opts.Engine, opts.Queryable)
	}
	opts.QueryFunc = again(opts.QueryFunc)
	a := &Alerting{opts: opts, log: opts.Log, loader: rules.NewLoader()}
	var err error
	if a.bots, err = chatbot.NewHub(chatbot.Options{Registerer: opts.Registerer}); err != nil {
		return nil, err
	}
	if a.settings, err = load(opts, a.bots); err != nil {
		return nil, err
	}
	if a.metrics, err = newMetrics(opts.Registerer); err != nil {
		return nil, err
	}
	if a.counts, err = newEarlyMetrics(opts.Registerer); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.DataDir, 0o777); err != nil {
		return nil, fmt.Errorf("make the directory for silences: %w; make it writable or choose another", err)
	}
	if a.am, err = newAlertmanager(opts, a.metrics); err != nil {
		return nil, err
	}
	if opts.Pair != nil {
		if a.am.gossip, err = newGossip(*opts.Pair, a.am, opts.Log, opts.ExternalURL.Host, opts.Registerer); err != nil {
			return nil, err
		}
	}
	a.hold = newHolder(opts, a.am, func() []*promrules.Group { return a.rules.RuleGroups() }, a.metrics)
	if a.am.gossip != nil {
		a.am.gossip.held = a.hold.holds
	}
	a.rules = promrules.NewManager(&promrules.ManagerOptions{
		Appendable:      late{shown(opts.Appendable, opts.Arrival)},
		Queryable:       opts.Queryable,
		QueryFunc:       opts.QueryFunc,
		NotifyFunc:      a.notify,
		ExternalURL:     opts.ExternalURL,
		GroupLoader:     a.loader,
		ResendDelay:     resendDelay,
		OutageTolerance: outageTolerance,
		// By default only a `for` of ten minutes and more outlives a restart.
		ForGracePeriod: 0,
		Registerer:     opts.Registerer,
		Logger:         opts.Log.With("component", "rules"),
	})
	a.metrics.reloaded(nil)
	return a, nil
}

// Run evaluates and notifies until ctx ends; then it stops evaluating, gives
// what is being sent two seconds (what takes longer is sent again after a
// restart) and saves silences and the notification log. It runs once.
func (a *Alerting) Run(ctx context.Context) error {
	if err := a.start(ctx); err != nil {
		return fmt.Errorf("start alerting: %w", err)
	}
	var evaluating sync.WaitGroup
	evaluating.Go(a.rules.Run)
	evaluating.Go(func() { a.hold.run(ctx) })
	evaluating.Go(func() { a.early.sweep(ctx) })
	evaluating.Go(func() { a.watchReady(ctx) })
	<-ctx.Done()

	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = ended
	a.early.loops.Wait()
	a.rules.Stop()
	evaluating.Wait()
	a.am.stop()
	a.bots.Close()
	return nil
}

func (a *Alerting) start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != fresh {
		return errors.New("it was started before")
	}
	a.early = newEarly(ctx, a.opts.Arrival, a.counts, a.hold.follow(until(ctx)))
	a.evaluate = a.early.tick
	if err := a.am.start(ctx); err != nil {
		return err
	}
	a.hold.adopt(time.Now())
	if err := a.apply(a.settings); err != nil {
		a.am.stop()
		return err
	}
	a.state = running
	return nil
}

// apply brings settings into force. If it fails, what was in force still is.
func (a *Alerting) apply(s settings) error {
	a.loader.Use(s.rules)
	update := func() error {
		return a.rules.Update(a.opts.EvaluationInterval, s.rules.Files(), labels.EmptyLabels(), a.opts.ExternalURL.String(), a.evaluate)
	}
	if err := a.early.reload(update, a.rules.RuleGroups); err != nil {
		return err
	}
	if a.state == fresh || s.sum != a.settings.sum {
		a.am.apply(s)
	}
	return nil
}

// until makes evaluations end with ctx, which the manager's own context does
// not.
func until(ctx context.Context) promrules.GroupEvalIterationFunc {
	return func(group context.Context, g *promrules.Group, at time.Time) {
		group, cancel := context.WithCancel(group)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		promrules.DefaultEvalIterationFunc(group, g, at)
	}
}

// RulesManager is what Prometheus' query API asks about rules and alerts.
func (a *Alerting) RulesManager() *promrules.Manager { return a.rules }

// Handler answers Alertmanager's API v2 below /api/v2/ and nothing else: its
// router would also answer /api/v1, which is Prometheus', with "410 gone".
func (a *Alerting) Handler() http.Handler { return a.am }

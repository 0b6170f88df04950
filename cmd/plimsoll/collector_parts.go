package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/version"
	"github.com/prometheus/prometheus/promql"
	v1 "github.com/prometheus/prometheus/web/api/v1"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/collector"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/self"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/collector/web"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
)

// collectorParts is a collector with what it is made of.
//
//	agents ══ ingest ──┬── store ──┬── query ── /api/v1
//	                   │           ├── alerting ── /api/v2, webhooks
//	                   │           ├── scaler ── drivers
//	                   └ inventory ┴── web ── /
type collectorParts struct {
	flags    collectorFlags
	log      *slog.Logger
	registry *prometheus.Registry
	beside   *prometheus.Registry // of what runs in the same process and stores its own metrics

	server    *collector.Server
	store     *store.Store
	inventory *inventory.Inventory
	ingest    *ingest.Server
	alerting  *alerting.Alerting
	scaler    *scaler.Scaler
	journal   *scaler.Journal
	observer  *self.Observer
	platform  *swarm.Swarm

	handler   http.Handler
	agents    *grpc.Server
	reloading sync.Mutex // one at a time, or the older files might come last
	reloaded  *prometheus.GaugeVec
}

// newCollector binds the ports first, so that a mistake there costs nothing,
// and opens what is on disk after that. settings are what status/flags shows.
func newCollector(ctx context.Context, f collectorFlags, settings map[string]string, log *slog.Logger) (_ *collectorParts, err error) {
	p := &collectorParts{flags: f, log: log, registry: prometheus.NewRegistry(), beside: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	p.registry.MustRegister(versioncollector.NewCollector("plimsoll"))
	p.server, err = collector.Listen(collector.Options{
		HTTPAddress: f.web, GRPCAddress: f.grpc, WebConfigFile: f.webConfig, Insecure: f.insecure,
		Log: log.With("component", "web"),
	})
	if err != nil {
		return nil, err
	}
	p.store, err = store.Open(ctx, store.Options{
		Dir: filepath.Join(f.data, "tsdb"), RetentionTime: f.retentionTime, RetentionBytes: int64(f.retentionBytes),
		Log: log.With("component", "store"), Registerer: p.registry,
	})
	if err != nil {
		return nil, err
	}
	p.inventory = inventory.New(inventory.Options{Registerer: p.registry})
	p.ingest, err = ingest.New(ingest.Options{
		Store: p.store, Inventory: p.inventory, UncleanStop: p.store.UncleanStop(), Version: version.Version,
		Log: log.With("component", "ingest"), Registerer: p.registry,
	})
	if err != nil {
		return nil, err
	}
	p.agents = grpc.NewServer(ingest.ServerOptions()...)
	p.ingest.Register(p.agents)

	// A heavy query of a person must not delay a rule or a decision.
	people, decisions := p.engine("people"), p.engine("decisions")
	if err := p.makeAlerting(decisions); err != nil {
		return nil, err
	}
	if err := p.makeScaler(decisions); err != nil {
		return nil, err
	}
	p.observer, err = self.New(self.Options{
		Gatherer: prometheus.Gatherers{p.registry, prometheus.DefaultGatherer}, Store: p.store, Job: "plimsoll-collector", Instance: p.externalURL().Host,
		Log: log.With("component", "self"),
	})
	if err != nil {
		return nil, err
	}
	return p, p.makeRoutes(people, settings)
}

func (p *collectorParts) engine(name string) *promql.Engine {
	return query.NewEngine(query.EngineOptions{
		Name: name, Timeout: p.flags.queryTimeout, MaxSamples: p.flags.querySamples,
		Log: p.log.With("component", "query", "engine", name), Registerer: p.registry,
	})
}

func (p *collectorParts) externalURL() *url.URL {
	if p.flags.externalURL != nil {
		return p.flags.externalURL
	}
	u, _ := url.Parse(p.server.URL()) // it is made of an address that listens
	return u
}

func (p *collectorParts) makeAlerting(engine *promql.Engine) (err error) {
	p.alerting, err = alerting.New(alerting.Options{
		Engine: engine, Queryable: p.store, Appendable: p.store,
		ConfigFile: p.flags.alertmanager, RuleFiles: p.flags.rules, BundledRules: p.flags.bundledRules,
		EvaluationInterval: p.flags.ruleInterval, DataDir: filepath.Join(p.flags.data, "alerting"),
		ExternalURL: p.externalURL(), Registerer: p.registry, Log: p.log.With("component", "alerting"),
	})
	return err
}

func (p *collectorParts) makeScaler(engine *promql.Engine) error {
	opts := scaler.Options{
		Query:     querier{engine, p.store},
		StateFile: filepath.Join(p.flags.data, "scaler", "state.json"),
		Ceiling:   p.flags.ceiling,
		Log:       p.log.With("component", "scaler"), Registerer: p.registry,
	}
	if p.flags.policies != "" {
		apps, problems := loadPolicies(p.flags.policies, p.flags.ceiling)
		if len(problems) > 0 {
			return problems
		}
		opts.Policies = apps
	}
	if err := os.MkdirAll(filepath.Dir(opts.StateFile), 0o750); err != nil {
		return err
	}
	var err error
	if p.platform, err = swarm.New(swarm.Options{Host: p.flags.swarmHost}); err != nil {
		return usage(fmt.Errorf("--scaler.swarm-host, or else --docker.host: %w", err))
	}
	opts.Drivers = map[string]driver.Driver{"swarm": p.platform}
	p.journal, err = scaler.OpenJournal(scaler.JournalOptions{Dir: filepath.Join(p.flags.data, "scaler", "journal"), Log: opts.Log})
	if err != nil {
		return err
	}
	opts.Journal = p.journal
	p.scaler, err = scaler.New(opts)
	return err
}

func (p *collectorParts) makeRoutes(engine *promql.Engine, settings map[string]string) error {
	api, err := query.New(query.Options{
		Store: p.store, Engine: engine, Rules: p.alerting.RulesManager(), Metadata: p.described,
		Flags: settings, Retention: p.retention(), Started: time.Now(),
		Build: v1.PrometheusVersion{
			Version: version.Version, Revision: version.Revision, Branch: version.Branch,
			BuildUser: version.BuildUser, BuildDate: version.BuildDate, GoVersion: version.GoVersion,
		},
		Log: p.log.With("component", "query"), Registerer: p.registry, Gatherer: p.registry,
	})
	if err != nil {
		return err
	}
	page, err := web.New(web.Options{
		Engine: engine, Store: p.store, Inventory: p.inventory, Alerts: p.alerts, Decisions: p.decisions,
		Version: version.Version, Log: p.log.With("component", "web"),
	})
	if err != nil {
		return err
	}
	p.reloaded = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "plimsoll_config_last_reload_successful",
		Help: "Whether the last reload of a part's files was taken (1) or the files before stay in force (0).",
	}, []string{"part"})
	p.registry.MustRegister(p.reloaded)
	for _, part := range []string{"alerting", "scaler"} {
		p.reloaded.WithLabelValues(part).Set(1)
	}
	p.handler = collector.Routes{
		Page: page,
		Parts: map[string]http.Handler{
			query.Prefix + "/":            api,
			"/assets/":                    page,
			"/api/v2/":                    p.alerting.Handler(),
			"GET " + scaler.PoliciesPath:  p.scaler.Handler(),
			"GET " + scaler.DecisionsPath: p.scaler.Handler(),
		},
		// Prometheus' remote storage counts in the process-wide registry.
		Metrics: prometheus.Gatherers{p.registry, p.beside, prometheus.DefaultGatherer},
		Reload:  p.reload,
		Ready:   p.ingest.Ready,
	}.Handler()
	return nil
}

func (p *collectorParts) retention() string {
	bytes := "80 % of the file system"
	if p.flags.retentionBytes > 0 {
		bytes = p.flags.retentionBytes.String()
	}
	return p.flags.retentionTime.String() + " or " + bytes
}

// reload reads the files again that can change while the collector runs. What
// has a mistake stays as it was; the rest is taken.
func (p *collectorParts) reload() error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	parts := map[string]func() error{
		"alerting": p.alerting.Reload,
		"scaler": func() error {
			if p.flags.policies == "" {
				return nil
			}
			apps, problems := loadPolicies(p.flags.policies, p.flags.ceiling)
			if len(problems) > 0 {
				return problems
			}
			return p.scaler.Reload(apps)
		},
	}
	var errs []error
	for part, load := range parts {
		err := load()
		took := 1.0
		if err != nil {
			took = 0
			errs = append(errs, fmt.Errorf("%s: the files before stay in force:\n%w", part, err))
			p.log.Error("reload failed, the files before stay in force", "component", part, "err", err)
		}
		p.reloaded.WithLabelValues(part).Set(took)
	}
	return errors.Join(errs...)
}

// run serves until ctx ends, and reloads at each hangup. The store is closed
// after everything that uses it.
func (p *collectorParts) run(ctx context.Context, hangup <-chan os.Signal) error {
	return lifecycle.Run(ctx,
		lifecycle.Loop{Name: "serve", Run: func(ctx context.Context) error { return p.server.Run(ctx, p.handler, p.agents) }},
		lifecycle.Loop{Name: "ingest", Run: p.ingest.Run},
		lifecycle.Loop{Name: "alerting", Run: p.alerting.Run},
		lifecycle.Loop{Name: "scaler", Run: p.scaler.Run},
		lifecycle.Loop{Name: "self", Run: p.observer.Run},
		lifecycle.Loop{Name: "reload", Run: func(ctx context.Context) error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-hangup:
					_ = p.reload() // logged, and shown by the metric
				}
			}
		}},
	)
}

// close gives back what was opened, however far that went.
func (p *collectorParts) close() error {
	var errs []error
	if p.server != nil {
		errs = append(errs, p.server.Close())
	}
	if p.platform != nil {
		errs = append(errs, p.platform.Close())
	}
	if p.journal != nil {
		errs = append(errs, p.journal.Close())
	}
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	return errors.Join(errs...)
}

// described are the metrics that agents have told about, for the API.
func (p *collectorParts) described() []query.Metric {
	known := p.ingest.Metadata()
	list := make([]query.Metric, len(known))
	for i, m := range known {
		list[i] = query.Metric(m)
	}
	return list
}

// alerts are what fires, for the page.
func (p *collectorParts) alerts(ctx context.Context) []web.Alert {
	active := p.alerting.Active(ctx)
	list := make([]web.Alert, len(active))
	for i, a := range active {
		list[i] = web.Alert{Name: a.Name, Severity: a.Severity, Summary: a.Summary, Since: a.Since, Muted: a.Muted}
	}
	return list
}

// decisions are the last tick of each policy, for the page.
func (p *collectorParts) decisions() []web.Decision {
	var list []web.Decision
	for _, s := range p.scaler.Policies() {
		d := web.Decision{Policy: s.Policy.Name, Mode: string(s.Policy.Mode)}
		if e := s.Last; e != nil {
			d.At, d.From, d.To, d.Why = e.At(), strconv.Itoa(e.Decision.From), strconv.Itoa(e.Decision.To), e.Decision.Why
		}
		list = append(list, d)
	}
	return list
}

// querier is how the scaler sees the store.
type querier struct {
	engine *promql.Engine
	store  *store.Store
}

func (q querier) Query(ctx context.Context, text string, at time.Time, lookback time.Duration) ([]scaler.Sample, error) {
	vector, err := query.Instant(ctx, q.engine, q.store, text, at, lookback)
	if err != nil {
		return nil, err
	}
	samples := make([]scaler.Sample, len(vector))
	for i, s := range vector {
		samples[i] = scaler.Sample(s)
	}
	return samples, nil
}

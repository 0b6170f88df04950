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
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/version"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	v1 "github.com/prometheus/prometheus/web/api/v1"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/collector"
	"github.com/plimsoll-io/plimsoll/collector/forward"
	"github.com/plimsoll-io/plimsoll/collector/identity"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/lease"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/receive"
	"github.com/plimsoll-io/plimsoll/collector/relay"
	"github.com/plimsoll-io/plimsoll/collector/rollup"
	"github.com/plimsoll-io/plimsoll/collector/self"
	"github.com/plimsoll-io/plimsoll/collector/ship"
	"github.com/plimsoll-io/plimsoll/collector/snapshot"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/collector/upstream"
	"github.com/plimsoll-io/plimsoll/collector/web"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
)

// collectorParts is a collector with what it is made of.
//
//	agents ══ ingest ──┬── store ──┬── rollup ──┬── query ── /api/v1
//	                   │           ├────────────┘
//	                   │           ├── alerting ── /api/v2, webhooks
//	                   │           ├── scaler ── drivers
//	                   │           ├── ship ── bucket
//	                   ├ inventory ┴── web ── /
//	                   └ forward ── remote write
//
// With an upstream, alerting, scaler and web ask that instead of the store.
type collectorParts struct {
	flags    collectorFlags
	log      *slog.Logger
	registry *prometheus.Registry
	beside   *prometheus.Registry // of what runs in the same process and stores its own metrics

	server    *collector.Server
	authority *identity.Authority // nil if only this machine can connect
	store     *store.Store
	rollups   *rollup.Store // nil if they are off
	snapshots *snapshot.Snapshots
	inventory *inventory.Inventory
	forward   *forward.Forwarder // nil without its file
	ingest    *ingest.Server
	receive   *receive.Receiver
	alerting  *alerting.Alerting
	lease     *lease.Lease // nil without a partner
	scaler    *scaler.Scaler
	journal   *scaler.Journal
	observer  *self.Observer
	platform  *swarm.Swarm
	bucket    ship.Bucket        // nil without its file
	shipper   *ship.Shipper      // the same
	upstream  *upstream.Upstream // nil without its address
	relay     *relay.Relay       // the same

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
		AgentsProven: f.identity.proven(f.grpc), Names: []string{p.externalHost()}, Log: log.With("component", "web"),
	})
	if err != nil {
		return nil, err
	}
	if err := p.makeAuthority(); err != nil {
		return nil, err
	}
	if err := errors.Join(p.nameItself(), p.makeUpstream(), p.makeRelay(ctx)); err != nil {
		return nil, err
	}
	if err := p.makeShipper(ctx); err != nil {
		return nil, err
	}
	p.store, err = store.Open(ctx, store.Options{
		Dir: filepath.Join(f.data, storeDir), RetentionTime: f.retentionTime, RetentionBytes: int64(f.retentionBytes),
		MinFree: f.minFree, Ballast: f.ballast, HoldBack: p.holdBack(),
		Log: log.With("component", "store"), Registerer: p.registry,
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.makeRollups(), p.makeSnapshots(), p.makeForward()); err != nil {
		return nil, err
	}
	if p.platform, err = swarm.New(swarm.Options{Host: p.flags.swarmHost}); err != nil {
		return nil, usage(fmt.Errorf("--scaler.swarm-host, or else --docker.host: %w", err))
	}
	p.makeInventory(p.engine("inventory"))
	p.ingest, err = ingest.New(ingest.Options{
		Store: p.store, Inventory: p.inventory, Tap: p.tap(), Identify: identity.Identify, UncleanStop: p.store.UncleanStop(), Version: version.Version,
		Refuse: p.store.Refuse, Reopen: p.store.Reopen, HeadSeries: p.store.HeadSeries,
		Limits: ingest.Limits{TotalSeries: f.seriesLimit}, MostSlowdown: uint32(f.slowdown),
		Durability: ingest.Durability(f.durability), Replicated: p.replicated(),
		Log: log.With("component", "ingest"), Registerer: p.registry,
	})
	if err != nil {
		return nil, err
	}
	if err := p.makeReceiver(); err != nil {
		return nil, err
	}
	p.makeAgents()
	if err := p.makeLease(); err != nil {
		return nil, err
	}

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
		Engine: engine, Queryable: p.store, QueryFunc: p.rulesAsk(), Appendable: p.store,
		ConfigFile: p.flags.alertmanager, RuleFiles: p.flags.rules, BundledRules: p.flags.bundledRules,
		EvaluationInterval: p.flags.ruleInterval, DataDir: filepath.Join(p.flags.data, "alerting"),
		ExternalURL: p.externalURL(), Registerer: p.registry, Log: p.log.With("component", "alerting"),
	})
	return err
}

func (p *collectorParts) makeScaler(engine *promql.Engine) error {
	opts := scaler.Options{
		Query:     p.asks(engine),
		StateFile: filepath.Join(p.flags.data, "scaler", "state.json"),
		Ceiling:   p.flags.ceiling,
		Lease:     p.mayScale(),
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
	opts := query.Options{
		Store: p.store, Queryable: p.history(), Engine: engine, Rules: p.alerting.RulesManager(), Metadata: p.described, Targets: p.senders,
		ExternalLabels: labels.FromMap(p.externalLabels()), Flags: p.shown(settings), Retention: p.retention(), Started: time.Now(),
		Build: v1.PrometheusVersion{
			Version: version.Version, Revision: version.Revision, Branch: version.Branch,
			BuildUser: version.BuildUser, BuildDate: version.BuildDate, GoVersion: version.GoVersion,
		},
		Log: p.log.With("component", "query"), Registerer: p.registry, Gatherer: p.registry,
	}
	shortest, longest := p.store.BlockDurations()
	settings["storage.tsdb.min-block-duration"], settings["storage.tsdb.max-block-duration"] = shortest.String(), longest.String()
	if p.flags.receive.remoteWrite {
		opts.RemoteWrite = p.receive.RemoteWrite()
	}
	if p.flags.receive.otlp {
		opts.OTLP = p.receive.OTLP()
	}
	if p.flags.adminAPI {
		opts.Snapshot = p.store.Snapshot
	}
	api, err := query.New(opts)
	if err != nil {
		return err
	}
	page, err := web.New(web.Options{
		Query: p.asks(engine), Inventory: p.inventory, Alerts: p.alerts, Decisions: p.decisions,
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
	for _, part := range []string{"alerting", "scaler", "forward"} {
		p.reloaded.WithLabelValues(part).Set(1)
	}
	p.handler = collector.Routes{
		Page: page,
		Parts: map[string]http.Handler{
			query.Prefix + "/":                api,
			query.FederationPath:              api,
			"/assets/":                        page,
			"/api/v2/":                        p.alerting.Handler(),
			"GET " + scaler.PoliciesPath:      p.scaler.Handler(),
			"GET " + scaler.DecisionsPath:     p.scaler.Handler(),
			inventory.Prefix:                  p.inventory.Handler(),
			snapshot.Path:                     p.snapshots.Handler(),
			upstreamPath + query.Prefix + "/": p.beyond(),
		},
		// Prometheus' remote storage counts in the process-wide registry.
		Metrics: prometheus.Gatherers{p.registry, p.beside, prometheus.DefaultGatherer},
		Reload:  p.reload,
		Ready:   p.ready,
	}.Handler()
	return nil
}

// ready tells why samples are not taken, or not all of what is stored is found.
func (p *collectorParts) ready() error {
	if err := p.store.Ready(); err != nil {
		return err
	}
	return p.ingest.Ready()
}

// shown adds to the flags what a Thanos sidecar looks for among them.
func (p *collectorParts) shown(settings map[string]string) map[string]string {
	shortest, longest := p.store.BlockDurations()
	settings["storage.tsdb.min-block-duration"] = model.Duration(shortest).String()
	settings["storage.tsdb.max-block-duration"] = model.Duration(longest).String()
	return settings
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
		"forward": p.reloadForward,
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
		lifecycle.Loop{Name: "commands", Run: p.takeCommands},
		lifecycle.Loop{Name: "ingest", Run: p.ingest.Run},
		lifecycle.Loop{Name: "inventory", Run: p.inventory.Run},
		lifecycle.Loop{Name: "forward", Run: p.sendOn},
		lifecycle.Loop{Name: "rollup", Run: p.rollUp},
		lifecycle.Loop{Name: "ship", Run: p.copyBlocks},
		lifecycle.Loop{Name: "relay", Run: p.passOn},
		lifecycle.Loop{Name: "alerting", Run: p.alerting.Run},
		lifecycle.Loop{Name: "scaler", Run: p.scaler.Run},
		lifecycle.Loop{Name: "lease", Run: p.lead},
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
	if p.authority != nil {
		errs = append(errs, p.authority.Close())
	}
	if p.relay != nil {
		errs = append(errs, p.relay.Close())
	}
	if p.upstream != nil {
		errs = append(errs, p.upstream.Close())
	}
	if p.bucket != nil {
		errs = append(errs, p.bucket.Close())
	}
	if p.platform != nil {
		errs = append(errs, p.platform.Close())
	}
	if p.journal != nil {
		errs = append(errs, p.journal.Close())
	}
	if p.forward != nil {
		errs = append(errs, p.forward.Close())
	}
	if p.rollups != nil {
		errs = append(errs, p.rollups.Close())
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
	for _, m := range p.receive.Metadata() {
		list = append(list, query.Metric(m))
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

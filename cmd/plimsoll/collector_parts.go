package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/version"
	"github.com/prometheus/prometheus/promql"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/arrival"
	"github.com/plimsoll-io/plimsoll/collector"
	"github.com/plimsoll-io/plimsoll/collector/forward"
	"github.com/plimsoll-io/plimsoll/collector/identity"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/lease"
	"github.com/plimsoll-io/plimsoll/collector/pair"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/receive"
	"github.com/plimsoll-io/plimsoll/collector/rollup"
	"github.com/plimsoll-io/plimsoll/collector/self"
	"github.com/plimsoll-io/plimsoll/collector/ship"
	"github.com/plimsoll-io/plimsoll/collector/snapshot"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/collector/upstream"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
)

// collectorParts is a collector with what it is made of.
//
//	agents ═╦═ ingest ──┬── store ──┬── rollup ──┬── query ── /api/v1
//	others ─╫─ receive ─┤           ├────────────┘
//	        ║           │           ├── alerting ── /api/v2, webhooks
//	        ║           │           ├── scaler ── drivers
//	        ║           │           ├── ship ── bucket
//	        ║           │           └── snapshot ── copies
//	        ║           ├── inventory ── web ── /
//	        ║           └── forward ── remote write
//	        ╠═ identity (who agents are) ╠═ lease (which of a pair scales)
//	        ╚═ relay ══ another collector
//
// With an upstream, alerting, scaler and web ask that instead of the store.
type collectorParts struct {
	flags    collectorFlags
	log      *slog.Logger
	registry *prometheus.Registry
	beside   *prometheus.Registry // of what runs in the same process and stores its own metrics
	opened   []io.Closer          // in this order; what uses another comes after it
	loops    []lifecycle.Loop

	server    *collector.Server
	authority *identity.Authority // nil if only this machine can connect
	upstream  *upstream.Upstream  // nil without its address
	shipper   *ship.Shipper       // nil without its file
	store     *store.Store
	rollups   *rollup.Store // nil if they are off
	snapshots *snapshot.Snapshots
	forward   *forward.Forwarder // nil without its file
	platform  *swarm.Swarm
	inventory *inventory.Inventory
	ingest    *ingest.Server
	pair      *pair.Pair
	receive   *receive.Receiver
	agents    *grpc.Server
	lease     *lease.Lease      // nil without a partner
	arrival   *arrival.Detector // nil with an upstream
	samples   *samples          // nil with an upstream
	alerting  *alerting.Alerting
	telling   context.Context // until alerting has ended
	scaler    *scaler.Scaler
	labelled  *labelled // nil unless policies are read from labels
	handler   http.Handler

	reloading sync.Mutex // one at a time, or the older files might come last
	reloaded  *prometheus.GaugeVec
}

// newCollector makes a collector, or leaves nothing open. settings are what
// status/flags shows.
func newCollector(ctx context.Context, f collectorFlags, settings map[string]string, log *slog.Logger) (*collectorParts, error) {
	p := &collectorParts{flags: f, log: log, registry: prometheus.NewRegistry(), beside: prometheus.NewRegistry()}
	p.registry.MustRegister(versioncollector.NewCollector("plimsoll"))
	for _, step := range []func() error{
		p.makeWatchers,
		// The ports come first, so that a mistake there costs nothing.
		p.makeServer,
		p.makeAuthority,
		func() error { return errors.Join(p.nameItself(), p.makeUpstream(), p.makeRelay(ctx)) },
		// The store asks the shipper what may be merged.
		func() error { return p.makeShipper(ctx) },
		func() error { return p.makeStore(ctx) },
		func() error { return errors.Join(p.makeRollups(), p.makeSnapshots(), p.makeForward()) },
		p.makePlatform,
		p.makeInventory,
		p.makeArrival,
		p.makeIngest,
		p.makeReceiver,
		p.makeAgents,
		p.makeLease,
		p.makeAlerting,
		p.makePair,
		func() error { p.makeLabelled(ctx); return p.makeScaler() },
		p.makeObserver,
		func() error { return p.makeRoutes(settings) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

// unlessTold is the error of a start, or nil if that was called off: whoever is
// stopped while it starts has not failed.
func unlessTold(ctx context.Context, err error) error {
	if told := ctx.Err(); told != nil && errors.Is(err, told) {
		return nil
	}
	return err
}

// add adds a loop to those that run runs.
func (p *collectorParts) add(name string, run func(context.Context) error) {
	p.loops = append(p.loops, lifecycle.Loop{Name: name, Run: run})
}

func (p *collectorParts) makeServer() (err error) {
	p.server, err = collector.Listen(collector.Options{
		HTTPAddress: p.flags.web, GRPCAddress: p.flags.grpc, WebConfigFile: p.flags.webConfig, Insecure: p.flags.insecure,
		AgentsProven: p.flags.identity.proven(p.flags.grpc), Names: []string{p.externalHost()},
		MaxConnections: p.flags.webMost, Registerer: p.registry, Log: p.log.With("component", "web"),
	})
	if err != nil {
		return err
	}
	p.opened = append(p.opened, p.server)
	p.add("serve", func(ctx context.Context) error { return p.server.Run(ctx, p.handler, p.agents) })
	return nil
}

func (p *collectorParts) makeStore(ctx context.Context) (err error) {
	p.store, err = store.Open(ctx, store.Options{
		Dir: filepath.Join(p.flags.data, storeDir), RetentionTime: p.flags.retentionTime, RetentionBytes: int64(p.flags.retentionBytes),
		MinFree: p.flags.minFree, Ballast: p.flags.ballast, HoldBack: p.holdBack(),
		Log: p.log.With("component", "store"), Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.opened = append(p.opened, p.store)
	return nil
}

func (p *collectorParts) makeIngest() (err error) {
	if ingest.Durability(p.flags.durability) == ingest.Replica && p.forward == nil {
		return usage(errors.New("--durability=replica needs --forward.config.file, which says who else is to have the samples; give it, or choose fsync"))
	}
	p.ingest, err = ingest.New(ingest.Options{
		Store: p.store, Inventory: p.inventory, Tap: p.tap(), Watch: p.watch(), Identify: identity.Identify, UncleanStop: p.store.UncleanStop(), Version: version.Version,
		Refuse: p.store.Refuse, Reopen: p.store.Reopen, HeadSeries: p.store.HeadSeries, Lives: p.store.Lives,
		Durability: ingest.Durability(p.flags.durability), Replicated: p.replicated(),
		Limits: ingest.Limits{TotalSeries: p.flags.seriesLimit}, MostSlowdown: uint32(p.flags.slowdown),
		Log: p.log.With("component", "ingest"), Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.add("ingest", p.ingest.Run)
	return nil
}

// makeObserver makes what stores the collector's own metrics.
func (p *collectorParts) makeObserver() error {
	observer, err := self.New(self.Options{
		Gatherer: prometheus.Gatherers{p.registry, prometheus.DefaultGatherer}, Store: p.watched(p.store), Job: "plimsoll-collector", Instance: p.externalURL().Host,
		Log: p.log.With("component", "self"),
	})
	if err != nil {
		return err
	}
	p.add("self", observer.Run)
	return nil
}

// engine makes an engine of its own for each use: a heavy query of a person must
// not delay a rule or a decision.
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

// run serves until ctx ends, and reloads at each hangup.
func (p *collectorParts) run(ctx context.Context, hangup <-chan os.Signal) error {
	reload := lifecycle.Loop{Name: "reload", Run: func(ctx context.Context) error { return p.reloadAt(ctx, hangup) }}
	return lifecycle.Run(ctx, append(p.loops, reload)...)
}

// close gives back what was opened, however far that went: what came last goes
// first, and so the store after everything that uses it.
func (p *collectorParts) close() error {
	var errs []error
	for _, c := range slices.Backward(p.opened) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

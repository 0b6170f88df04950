package main

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/version"
	"github.com/prometheus/prometheus/model/labels"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/collector"
	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/snapshot"
	"github.com/plimsoll-io/plimsoll/collector/web"
	"github.com/plimsoll-io/plimsoll/scaler"
)

// makeRoutes makes what is answered over HTTP.
func (p *collectorParts) makeRoutes(settings map[string]string) error {
	engine := p.engine("people")
	opts := query.Options{
		Store: p.store, Queryable: p.history(), Engine: engine, Rules: p.alerting.RulesManager(), Metadata: p.described, Targets: p.senders,
		ExternalLabels: labels.FromMap(p.externalLabels()), Flags: p.shown(settings), Retention: p.retention(), Started: time.Now(),
		Build: v1.PrometheusVersion{
			Version: version.Version, Revision: version.Revision, Branch: version.Branch,
			BuildUser: version.BuildUser, BuildDate: version.BuildDate, GoVersion: version.GoVersion,
		},
		Log: p.log.With("component", "query"), Registerer: p.registry, Gatherer: p.registry,
	}
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
		Query: p.asks(engine), Range: p.draws(engine), Inventory: p.inventory, Alerting: alertPage{p.alerting}, Decisions: p.decided,
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
	beside := p.alerting.Extras()
	p.handler = collector.Routes{
		Page: page,
		Parts: map[string]http.Handler{
			query.Prefix + "/":                api,
			query.FederationPath:              api,
			"/assets/":                        page,
			"/api/v2/":                        p.alerting.Handler(),
			alerting.HistoryPath:              beside,
			alerting.ExplainPath:              beside,
			alerting.ReceiversPath:            beside,
			alerting.TestPath:                 beside,
			scaler.Prefix:                     p.scaler.Handler(),
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

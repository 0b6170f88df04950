package query

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// Bounds of a remote read, as in Prometheus.
const (
	remoteReadSamples     = 5e7
	remoteReadConcurrency = 10
	remoteReadFrameBytes  = 1 << 20
)

// noOrigin matches no Origin header, so that no page of another site may read.
var noOrigin = regexp.MustCompile(`^\b$`)

// newAPI is the one place that knows the shape of Prometheus' constructor, which
// changes with most of its releases.
func newAPI(opts Options) *v1.API {
	return v1.NewAPI(
		opts.Engine,
		opts.Store,
		nil, // appendable: nothing is written through here
		nil, // appendable, second version
		opts.Store,
		func(context.Context) v1.ScrapePoolsRetriever { return nowhere{} },
		func(context.Context) v1.TargetRetriever { return nowhere{} },
		func(context.Context) v1.AlertmanagerRetriever { return nowhere{} },
		func() config.Config { return config.DefaultConfig },
		opts.Flags,
		v1.GlobalURLOptions{}, // of targets, and there are none
		func(h http.HandlerFunc) http.HandlerFunc { return h }, // the store is open before we are
		admin{opts.Store},
		opts.Store.Dir(),
		false, // admin endpoints
		false, // search endpoints
		0,     // results of a search at most
		opts.Log,
		func(context.Context) v1.RulesRetriever { return orNoRules(opts.Rules) },
		remoteReadSamples,
		remoteReadConcurrency,
		remoteReadFrameBytes,
		false, // is a Prometheus agent, without queries
		noOrigin,
		opts.runtimeInfo,
		&opts.Build,
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, func() {}, false },
		opts.Gatherer,
		opts.Registerer,
		nil,   // renderer of query statistics: Prometheus' own
		false, // remote write
		nil,   // its protobuf messages
		false, // OTLP
		false, // OTLP: delta to cumulative
		false, // OTLP: native delta
		false, // start timestamps as zero samples
		0,     // lookback, for OTLP
		false, // type and unit labels
		false, // append metadata
		nil,   // other HTTP codes for errors
		features.NewRegistry(),
		v1.OpenAPIOptions{Version: opts.Build.Version},
		newParser(),
	)
}

// nowhere is a scraper without targets, since agents push, and a notifier
// without addresses, since alerts are handed over within the process.
type nowhere struct{}

func (nowhere) ScrapePools() []string                       { return []string{} }
func (nowhere) TargetsActive() map[string][]*scrape.Target  { return nil }
func (nowhere) TargetsDropped() map[string][]*scrape.Target { return nil }
func (nowhere) TargetsDroppedCounts() map[string]int        { return map[string]int{} }
func (nowhere) Alertmanagers() []*url.URL                   { return nil }
func (nowhere) DroppedAlertmanagers() []*url.URL            { return nil }
func (nowhere) ScrapePoolConfig(string) (*config.ScrapeConfig, error) {
	return nil, errors.New("there are no scrape pools: agents push their samples")
}

type noRules struct{}

func (noRules) RuleGroups() []*rules.Group           { return nil }
func (noRules) AlertingRules() []*rules.AlertingRule { return nil }

func orNoRules(r v1.RulesRetriever) v1.RulesRetriever {
	if r == nil {
		return noRules{}
	}
	return r
}

// admin is the store's statistics, and nothing that changes it.
type admin struct{ Statistics }

var errAdmin = errors.New("admin endpoints are off")

func (admin) CleanTombstones() error      { return errAdmin }
func (admin) Snapshot(string, bool) error { return errAdmin }
func (admin) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return errAdmin
}

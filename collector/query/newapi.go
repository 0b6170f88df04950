package query

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage/remote"
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

// remoteRead gives away the store's own samples.
func (opts Options) remoteRead() http.Handler {
	// Its one metric is that of the API's, which is never called.
	return remote.NewReadHandler(opts.Log, nil, opts.Store, opts.config, remoteReadSamples, remoteReadConcurrency, remoteReadFrameBytes)
}

// config is what status/config shows, for those who look for external labels.
func (opts Options) config() config.Config {
	c := config.DefaultConfig
	c.GlobalConfig.ExternalLabels = opts.ExternalLabels
	return c
}

// shown are flags with their durations in Prometheus' spelling, as far as that
// loses nothing.
func shown(flags map[string]string) map[string]string {
	spelt := maps.Clone(flags)
	for name, v := range flags {
		d, err := time.ParseDuration(v)
		if err == nil && d > 0 && d%time.Millisecond == 0 {
			spelt[name] = model.Duration(d).String()
		}
	}
	return spelt
}

// noOrigin matches no Origin header, so that no page of another site may read.
var noOrigin = regexp.MustCompile(`^\b$`)

// newAPI is the one place that knows the shape of Prometheus' constructor, which
// changes with most of its releases.
func newAPI(opts Options) *v1.API {
	return v1.NewAPI(
		opts.Engine,
		opts.Queryable,
		nil, // appendable: nothing is written through here
		nil, // appendable, second version
		opts.Store,
		func(context.Context) v1.ScrapePoolsRetriever { return senders(opts.Targets) },
		func(context.Context) v1.TargetRetriever { return senders(opts.Targets) },
		func(context.Context) v1.AlertmanagerRetriever { return nowhere{} },
		opts.config,
		shown(opts.Flags),
		v1.GlobalURLOptions{}, // of targets, and there are none
		func(h http.HandlerFunc) http.HandlerFunc { return h }, // the store is open before we are
		admin{opts.Store, opts.Snapshot},
		opts.Store.Dir(),
		opts.Snapshot != nil, // admin endpoints
		false,                // search endpoints
		0,                    // results of a search at most
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

// nowhere is a notifier without addresses, since alerts are handed over within
// the process.
type nowhere struct{}

func (nowhere) Alertmanagers() []*url.URL        { return nil }
func (nowhere) DroppedAlertmanagers() []*url.URL { return nil }

type noRules struct{}

func (noRules) RuleGroups() []*rules.Group           { return nil }
func (noRules) AlertingRules() []*rules.AlertingRule { return nil }

func orNoRules(r v1.RulesRetriever) v1.RulesRetriever {
	if r == nil {
		return noRules{}
	}
	return r
}

// admin is the store's statistics, and what copies it. Nothing changes it.
type admin struct {
	Statistics
	snapshot func(dir string, withHead bool) error // nil: off
}

var errKept = errors.New("nothing is deleted on request: samples go when their retention is over")

func (admin) CleanTombstones() error { return errKept }

func (admin) Delete(context.Context, int64, int64, ...*labels.Matcher) error { return errKept }

// Snapshot implements v1.TSDBAdminStats. The directory is there already, and is
// not to stay if nothing comes of it.
func (a admin) Snapshot(dir string, withHead bool) error {
	if err := a.snapshot(dir, withHead); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

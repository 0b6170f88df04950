// Package query answers PromQL: Prometheus' own HTTP API over the store, as
// Grafana, promtool and other clients know it, and the engines behind it.
//
// Its promise: what Prometheus answers, this answers in the same words. The
// handlers are Prometheus'; only what they would find in a scraper (targets,
// metadata) comes from elsewhere.
package query

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/httputil"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// Prefix is the path below which the API answers.
const Prefix = "/api/v1"

// FederationPath is where samples are given away in the text format.
const FederationPath = "/federate"

// Store is what the API reads.
type Store interface {
	storage.SampleAndChunkQueryable
	storage.ExemplarQueryable
	Statistics
	Dir() string
}

// Statistics are what a store says of itself.
type Statistics interface {
	Stats(label string, limit int) (*tsdb.Stats, error)
	WALReplayStatus() (tsdb.WALReplayStatus, error)
	BlockMetas() ([]tsdb.BlockMeta, error)
}

// Options say what the API answers from.
type Options struct {
	Store  Store
	Engine *promql.Engine // see NewEngine
	// Queryable is what queries read if that is more than the store, such as its
	// rollups. It must be this collector's own: who merges collectors asks each
	// for what it has. Remote read and federation give away the store's alone.
	Queryable storage.SampleAndChunkQueryable
	// Rules is the rule manager; nil if there are no rules.
	Rules v1.RulesRetriever
	// Metadata lists what is known of the metrics stored; nil if nothing is.
	Metadata func() []Metric
	// Targets lists who sends samples; nil if nobody does.
	Targets func() []Target
	// Flags are what status/flags shows, secrets left out. Durations are shown as
	// Prometheus writes them, "1h30m" and not "1h30m0s": Thanos reads some.
	Flags map[string]string
	// Retention as status/runtimeinfo shows it: "15d or 80%".
	Retention string
	// ExternalLabels tell this collector from others, where samples leave it:
	// remote read and federation. status/config shows them.
	ExternalLabels labels.Labels
	Build          v1.PrometheusVersion
	Started        time.Time
	Bounds         Bounds

	// RemoteWrite and OTLP take samples in; nil for off.
	RemoteWrite, OTLP http.Handler
	// Snapshot copies the store into a directory, what is only in memory too if
	// withHead is set; nil for off.
	Snapshot func(dir string, withHead bool) error

	Log *slog.Logger
	// Registerer takes the API's own metrics; one API per registry. Gatherer
	// is where status/tsdb and status/runtimeinfo find the store's.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
}

// New makes the API. Mount it at Prefix + "/" and FederationPath, with the paths
// as they come.
//
// What is not given cannot be used: remote write, OTLP and the snapshot then
// answer that they are off, and deleting always does. No other origin may read.
func New(opts Options) (http.Handler, error) {
	if opts.Store == nil || opts.Engine == nil {
		return nil, errors.New("the query API needs a store and an engine")
	}
	if opts.Queryable == nil {
		opts.Queryable = opts.Store
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Gatherer == nil {
		opts.Gatherer = prometheus.NewRegistry()
	}
	if opts.Registerer == nil {
		// Prometheus' handlers would fall back on the process-wide one.
		opts.Registerer = prometheus.NewRegistry()
	}
	guard, err := newGuard(opts.Bounds, opts.Registerer)
	if err != nil {
		return nil, err
	}
	federation, err := newFederation(opts)
	if err != nil {
		return nil, err
	}
	router := route.New()
	newAPI(opts).Register(router)

	mux := http.NewServeMux()
	api := http.StripPrefix(Prefix, router)
	mux.Handle(Prefix+"/", api)
	engine, other := costly()
	for _, path := range engine {
		mux.Handle(Prefix+path, guard.wrap(api))
	}
	for _, path := range other {
		mux.Handle(Prefix+path, guard.timed(api))
	}
	mux.Handle("POST "+Prefix+"/admin/tsdb/snapshot", guard.wrap(api)) // takes as long as it takes
	mux.Handle("POST "+Prefix+"/read", guard.timed(opts.remoteRead()))
	mux.Handle("GET "+FederationPath, guard.timed(httputil.CompressionHandler{Handler: federation}))
	mux.Handle("GET "+Prefix+"/metadata", metadata(opts.Metadata))
	mux.HandleFunc("PUT "+Prefix+"/admin/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "send it by POST", http.StatusMethodNotAllowed)
	})
	if opts.RemoteWrite != nil {
		mux.Handle("POST "+Prefix+"/write", opts.RemoteWrite)
	}
	if opts.OTLP != nil {
		mux.Handle("POST "+Prefix+"/otlp/v1/metrics", opts.OTLP)
	}
	return mux, nil
}

// runtimeInfo is what status/runtimeinfo answers.
func (opts Options) runtimeInfo() (v1.RuntimeInfo, error) {
	host, err := os.Hostname()
	if err != nil {
		return v1.RuntimeInfo{}, fmt.Errorf("read hostname: %w", err)
	}
	cwd, err := os.Getwd()
	if err != nil {
		return v1.RuntimeInfo{}, fmt.Errorf("read working directory: %w", err)
	}
	corruptions, err := total(opts.Gatherer, "prometheus_tsdb_wal_corruptions_total")
	if err != nil {
		return v1.RuntimeInfo{}, err
	}
	return v1.RuntimeInfo{
		StartTime:           opts.Started,
		CWD:                 cwd,
		Hostname:            host,
		ServerTime:          time.Now().UTC(),
		ReloadConfigSuccess: true,
		LastConfigTime:      opts.Started,
		CorruptionCount:     int64(corruptions),
		GoroutineCount:      runtime.NumGoroutine(),
		GOMAXPROCS:          runtime.GOMAXPROCS(0),
		GOMEMLIMIT:          debug.SetMemoryLimit(-1),
		GOGC:                os.Getenv("GOGC"),
		GODEBUG:             os.Getenv("GODEBUG"),
		StorageRetention:    opts.Retention,
	}, nil
}

// total is the sum over a family of counters.
func total(g prometheus.Gatherer, name string) (float64, error) {
	families, err := g.Gather()
	if err != nil {
		return 0, fmt.Errorf("gather metrics: %w", err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum, nil
}

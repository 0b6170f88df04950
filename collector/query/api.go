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
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// Prefix is the path below which the API answers.
const Prefix = "/api/v1"

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
	// Rules is the rule manager; nil if there are no rules.
	Rules v1.RulesRetriever
	// Metadata lists what is known of the metrics stored; nil if nothing is.
	Metadata func() []Metric
	// Flags are what status/flags shows, secrets left out.
	Flags map[string]string
	// Retention as status/runtimeinfo shows it: "15d or 80%".
	Retention string
	Build     v1.PrometheusVersion
	Started   time.Time
	Log       *slog.Logger
	// Registerer takes the API's own metrics; one API per registry. Gatherer
	// is where status/tsdb and status/runtimeinfo find the store's.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
}

// New makes the API. Mount it at Prefix + "/", with the paths as they come.
//
// It cannot be used to change anything: remote write, OTLP and the admin
// endpoints answer that they are off. Nor does it allow other origins.
func New(opts Options) (http.Handler, error) {
	if opts.Store == nil || opts.Engine == nil {
		return nil, errors.New("the query API needs a store and an engine")
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
	router := route.New()
	newAPI(opts).Register(router)

	mux := http.NewServeMux()
	mux.Handle(Prefix+"/", http.StripPrefix(Prefix, router))
	mux.Handle("GET "+Prefix+"/metadata", metadata(opts.Metadata))
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

// Package upstream asks another engine that speaks Prometheus' HTTP API: Thanos
// Query, Cortex, Mimir, VictoriaMetrics or a Prometheus. Where one collector is
// not enough, rules, scaler and console see the whole through it.
//
// Its promise: an answer that is partial, old or of another time is an error,
// never a smaller number. What is not known must not look like zero load.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/internal/bounded"
)

// Options say whom to ask, and how much to take.
type Options struct {
	// URL is where the API is, without /api/v1: http://thanos-query:10902. What
	// follows a question mark goes with every request.
	URL *url.URL
	// HTTPConfigFile has authorisation, TLS and proxy of the requests, in the
	// format of Prometheus' http_config; empty for none of them.
	HTTPConfigFile string
	// Timeout ends a request; 0 means 10 s, which a decision can wait for.
	Timeout time.Duration
	// MaxSamples that an answer may have; 0 means 100,000.
	MaxSamples int
	// MaxBytes that an answer may have, unpacked; 0 means 64 MiB.
	MaxBytes int
	// Newest gives the time of the newest sample there is, in s since the Unix
	// epoch. The default looks at the numbers that collectors store with each
	// frame of an agent.
	Newest string
	// MaxLag is how old the newest sample may be, at the time that is asked
	// about; 0 means 2 min. Past it an answer is an error.
	MaxLag     time.Duration
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const defaultNewest = "max(timestamp(plimsoll_ingest_seq))"

// Why an answer was not taken.
var (
	// ErrPartial: some part of the upstream could not be asked.
	ErrPartial = errors.New("partial answer")
	// ErrStale: the upstream has no recent samples.
	ErrStale = errors.New("stale answer")
	// ErrTooLarge: the answer is beyond MaxSamples or MaxBytes.
	ErrTooLarge = bounded.ErrTooLarge
)

// Upstream is safe for concurrent use.
type Upstream struct {
	opts      Options
	api       v1.API
	transport http.RoundTripper
	parser    parser.Parser
	metrics   *metrics
}

// New makes the client. It sends nothing.
func New(opts Options) (*Upstream, error) {
	if opts.URL == nil || opts.URL.Host == "" {
		return nil, errors.New("upstream: an address is needed, like http://thanos-query:10902")
	}
	or(&opts.Timeout, 10*time.Second)
	or(&opts.MaxSamples, 100_000)
	or(&opts.MaxBytes, 64<<20)
	or(&opts.Newest, defaultNewest)
	or(&opts.MaxLag, 2*time.Minute)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	settings := config.DefaultHTTPClientConfig
	if opts.HTTPConfigFile != "" {
		read, _, err := config.LoadHTTPConfigFile(opts.HTTPConfigFile)
		if err != nil {
			return nil, fmt.Errorf("upstream: %s: %w", opts.HTTPConfigFile, err)
		}
		settings = *read
	}
	transport, err := config.NewRoundTripperFromConfig(settings, "upstream")
	if err != nil {
		return nil, fmt.Errorf("upstream: %s: %w", opts.HTTPConfigFile, err)
	}
	client, err := api.NewClient(api.Config{Address: opts.URL.String(), RoundTripper: bounded.Transport{RoundTripper: transport, Bytes: opts.MaxBytes}})
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	u := &Upstream{opts: opts, api: v1.NewAPI(client), transport: transport, parser: parser.NewParser(parser.Options{}), metrics: newMetrics()}
	if opts.Registerer != nil {
		if err := u.metrics.register(opts.Registerer); err != nil {
			return nil, fmt.Errorf("upstream: register metrics: %w", err)
		}
	}
	return u, nil
}

func or[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// Close closes idle connections.
func (u *Upstream) Close() error {
	if idle, ok := u.transport.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
	return nil
}

// Query is query.Instant, answered upstream. Lookback is how old a sample may
// be to count as current, the newest one of all included; 0 leaves that to the
// upstream.
func (u *Upstream) Query(ctx context.Context, expr string, at time.Time, lookback time.Duration) ([]query.Sample, error) {
	vector, err := u.ask(ctx, expr, at, lookback)
	if err != nil {
		return nil, err
	}
	samples := make([]query.Sample, len(vector))
	for i, s := range vector {
		ls := make(map[string]string, len(s.Metric))
		for name, value := range s.Metric {
			ls[string(name)] = string(value)
		}
		samples[i] = query.Sample{Labels: ls, At: s.Timestamp.Time(), Value: float64(s.Value)}
	}
	return samples, nil
}

// Rules is Query in the shape of rules.QueryFunc.
func (u *Upstream) Rules(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	vector, err := u.ask(ctx, expr, at, 0)
	if err != nil {
		return nil, err
	}
	out := make(promql.Vector, len(vector))
	b := labels.NewScratchBuilder(16)
	for i, s := range vector {
		b.Reset()
		for name, value := range s.Metric {
			b.Add(string(name), string(value))
		}
		b.Sort()
		out[i] = promql.Sample{Metric: b.Labels(), T: int64(s.Timestamp), F: float64(s.Value)}
	}
	return out, nil
}

// ask returns an answer that is whole, of now, and small enough.
func (u *Upstream) ask(ctx context.Context, expr string, at time.Time, lookback time.Duration) (_ model.Vector, err error) {
	ctx, cancel := context.WithTimeout(ctx, u.opts.Timeout)
	defer cancel()
	begin := time.Now()
	defer func() { u.metrics.count(err, time.Since(begin)) }()
	vector, err := u.instant(ctx, expr, at, lookback)
	if err != nil {
		return nil, fmt.Errorf("query %q at %s: %w", expr, u.opts.URL.Redacted(), err)
	}
	return vector, nil
}

func (u *Upstream) instant(ctx context.Context, expr string, at time.Time, lookback time.Duration) (model.Vector, error) {
	enclosed, err := u.enclose(expr)
	if err != nil {
		return nil, err
	}
	opts := []v1.Option{v1.WithTimeout(u.opts.Timeout)}
	if lookback > 0 {
		opts = append(opts, v1.WithLookbackDelta(lookback))
	}
	value, warnings, err := u.api.Query(ctx, enclosed, at, opts...)
	if err != nil {
		return nil, plain(err)
	}
	if missing := partial(warnings); missing != "" {
		return nil, fmt.Errorf("%w: %s", ErrPartial, missing)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("gives a %T; an instant vector or a scalar is needed", value)
	}
	if len(vector) > u.opts.MaxSamples+1 {
		return nil, fmt.Errorf("%w: %d samples, at most %d are taken; aggregate more upstream", ErrTooLarge, len(vector), u.opts.MaxSamples)
	}
	if err := u.check(vector, at); err != nil {
		return nil, err
	}
	return u.disclose(vector, at)
}

// check looks for what no decision can use.
func (u *Upstream) check(vector model.Vector, at time.Time) error {
	for _, s := range vector {
		if s.Histogram != nil {
			return errors.New("gives histograms; take a quantile, a count or a sum of them")
		}
		// A cache in between, or an engine that rounds, may answer for another
		// time than was asked for.
		if off := at.Sub(s.Timestamp.Time()); off.Abs() > u.opts.MaxLag {
			return fmt.Errorf("%w: it is of %s, %v from the time asked for", ErrStale, s.Timestamp.Time().UTC().Format(time.RFC3339), off.Round(time.Second))
		}
	}
	return nil
}

// partial returns what warnings say of the data. Those of PromQL are about the
// query, and come from the collector's own engine as well, which passes over
// them.
func partial(warnings v1.Warnings) string {
	var missing []string
	for _, w := range warnings {
		if !strings.HasPrefix(w, "PromQL warning:") && !strings.HasPrefix(w, "PromQL info:") {
			missing = append(missing, w)
		}
	}
	return strings.Join(missing, "; ")
}

// plain adds what the client's error keeps to itself.
func plain(err error) error {
	if e, ok := errors.AsType[*v1.Error](err); ok && e.Detail != "" {
		return fmt.Errorf("%w: %.200s", err, strings.TrimSpace(e.Detail))
	}
	return err
}

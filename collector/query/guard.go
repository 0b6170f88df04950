package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"
)

// Bounds keep what people ask from taking the collector down, beside those of
// the engine: its samples, its time, and Prometheus' 11,000 points of a range.
// A zero stands for its default.
type Bounds struct {
	// Concurrent is how many requests read at a time; default 20. Others wait
	// for Patience, default 10 s, and are then told to come again.
	Concurrent int
	Patience   time.Duration
	// Timeout ends what reads without the engine, which has its own: series,
	// labels, federation, remote read; default 2 min.
	Timeout time.Duration
	// QueryBytes bounds the text of a query; default 128 KiB. RequestBytes
	// bounds all that is asked; default 1 MiB.
	QueryBytes   int
	RequestBytes int
	// Transfer is how long a client may take to send what it asks, and then to
	// take in the answer; default 2 min. One that reads nothing would else keep
	// its place.
	Transfer time.Duration
}

const (
	// maxDepth is how deep a query may nest. The work on one grows with the
	// square of it, and no time limit ends that.
	maxDepth = 1000
	// maxSelectors is how many match[] there may be. Each walks the index, and
	// holds what it has found, before the first series is read.
	maxSelectors = 100
)

func (b Bounds) withDefaults() Bounds {
	b.Concurrent = cmp.Or(b.Concurrent, 20)
	b.Patience = cmp.Or(b.Patience, 10*time.Second)
	b.Timeout = cmp.Or(b.Timeout, 2*time.Minute)
	b.QueryBytes = cmp.Or(b.QueryBytes, 128<<10)
	b.RequestBytes = cmp.Or(b.RequestBytes, 1<<20)
	b.Transfer = cmp.Or(b.Transfer, 2*time.Minute)
	return b
}

// costly are the paths, below Prefix, of what reads samples or walks the index.
// Those of the engine end when that says so.
func costly() (engine, other []string) {
	return []string{"/query", "/query_range"}, []string{
		"/query_exemplars", "/labels", "/label/{name}/values", "/series",
		"/format_query", "/parse_query", "/status/tsdb",
	}
}

// retryAfter is what clients are told to wait, in seconds.
const retryAfter = "5"

// guard stands in front of what is costly.
type guard struct {
	bounds  Bounds
	places  chan struct{}
	waiting prometheus.Gauge
	refused *prometheus.CounterVec // by reason
}

func newGuard(bounds Bounds, r prometheus.Registerer) (*guard, error) {
	bounds = bounds.withDefaults()
	g := &guard{
		bounds: bounds, places: make(chan struct{}, bounds.Concurrent),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "plimsoll_collector_query_waiting_requests", Help: "Requests that wait for others to end.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_collector_query_refused_requests_total",
			Help: "Requests that were not answered: \"busy\" if too many ran, \"too_long\" for their size, \"too_complex\" for what they would cost.",
		}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{g.waiting, g.refused} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of queries: %w", err)
		}
	}
	return g, nil
}

// wrap lets a request in if it is small enough and there is a place for it.
func (g *guard) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, int64(g.bounds.RequestBytes))
		if r.ContentLength != 0 { // the server forgets the deadline when the body has been read
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.bounds.Transfer))
		}
		if err := r.ParseForm(); err != nil {
			code := http.StatusBadRequest
			if long := new(http.MaxBytesError); errors.As(err, &long) {
				g.refused.WithLabelValues("too_long").Inc()
				code = http.StatusRequestEntityTooLarge
			}
			problem(w, code, "bad_data", "read the request: "+err.Error())
			return
		}
		if n := len(r.Form.Get("query")); n > g.bounds.QueryBytes {
			g.refused.WithLabelValues("too_long").Inc()
			problem(w, http.StatusBadRequest, "bad_data", fmt.Sprintf(
				"the query has %d bytes, at most %d are allowed; a recording rule may say parts of it in a word", n, g.bounds.QueryBytes))
			return
		}
		if !g.enter(r.Context()) {
			g.refused.WithLabelValues("busy").Inc()
			w.Header().Set("Retry-After", retryAfter)
			problem(w, http.StatusServiceUnavailable, "timeout", fmt.Sprintf("%d queries run already, and none ended within %v", g.bounds.Concurrent, g.bounds.Patience))
			return
		}
		defer func() { <-g.places }()
		if why := tooMuch(r.Form); why != "" {
			g.refused.WithLabelValues("too_complex").Inc()
			problem(w, http.StatusBadRequest, "bad_data", why)
			return
		}
		h.ServeHTTP(&later{ResponseWriter: w, transfer: g.bounds.Transfer}, r)
	})
}

// tooMuch tells what makes a short request long work.
func tooMuch(form url.Values) string {
	if n := len(form["match[]"]); n > maxSelectors {
		return fmt.Sprintf("%d match[], at most %d are allowed; join some by a regular expression, as in {__name__=~\"a|b\"}", n, maxSelectors)
	}
	query := form.Get("query")
	if len(query) <= maxDepth {
		return "" // each level takes a byte
	}
	expr, err := newParser().ParseExpr(query)
	if err != nil {
		return "" // the API knows how to say it
	}
	deep := false
	parser.Inspect(expr, func(_ parser.Node, path []parser.Node) error {
		if deep = deep || len(path) > maxDepth; deep {
			return errDeep
		}
		return nil
	})
	if deep {
		return fmt.Sprintf("the query nests more than %d deep; a recording rule may say parts of it in a word", maxDepth)
	}
	return ""
}

var errDeep = errors.New("too deep") // ends a walk

// timed is wrap for what would not end by itself.
func (g *guard) timed(h http.Handler) http.Handler {
	return g.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), g.bounds.Timeout)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	}))
}

// enter takes a place, if one becomes free in time.
func (g *guard) enter(ctx context.Context) bool {
	select {
	case g.places <- struct{}{}:
		return true
	default:
	}
	g.waiting.Inc()
	defer g.waiting.Dec()
	patient := time.NewTimer(g.bounds.Patience)
	defer patient.Stop()
	select {
	case g.places <- struct{}{}:
		return true
	case <-patient.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// later is an answer that says when to come again, if it is that it cannot be
// given now. From its first byte on the client has a while to take it in.
type later struct {
	http.ResponseWriter
	transfer time.Duration
	begun    bool
}

func (l *later) begin() {
	if !l.begun {
		l.begun = true
		_ = http.NewResponseController(l.ResponseWriter).SetWriteDeadline(time.Now().Add(l.transfer))
	}
}

// Write implements http.ResponseWriter.
func (l *later) Write(p []byte) (int, error) {
	l.begin()
	return l.ResponseWriter.Write(p)
}

// WriteHeader implements http.ResponseWriter.
func (l *later) WriteHeader(code int) {
	l.begin()
	if code == http.StatusServiceUnavailable {
		l.Header().Set("Retry-After", retryAfter)
	}
	l.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (l *later) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// Flush implements http.Flusher, which a remote read in chunks wants.
func (l *later) Flush() {
	_ = http.NewResponseController(l.ResponseWriter).Flush()
}

// problem answers with an error as Prometheus writes them.
func problem(w http.ResponseWriter, code int, kind, text string) {
	answer(w, code, map[string]any{"status": "error", "errorType": kind, "error": text})
}

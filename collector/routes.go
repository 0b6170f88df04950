package collector

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Routes are what the collector answers over HTTP.
type Routes struct {
	Page    http.Handler            // at / and /graph
	Parts   map[string]http.Handler // by pattern, "/api/v1/"
	Metrics prometheus.Gatherer
	Reload  func() error // nil: nothing to reload
	Ready   func() error // why not, or nil
}

// Handler puts the routes together.
func (r Routes) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range r.Parts {
		mux.Handle(pattern, h)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(r.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Plimsoll is healthy.")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := r.Ready(); err != nil {
			http.Error(w, "Plimsoll is not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "Plimsoll is ready.")
	})
	if r.Reload != nil {
		mux.HandleFunc("POST /-/reload", func(w http.ResponseWriter, _ *http.Request) {
			if err := r.Reload(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			fmt.Fprintln(w, "Reloaded.")
		})
	}
	// Alerts carry the link to their query that Prometheus would give them.
	mux.Handle("/graph", r.Page)
	mux.Handle("/{$}", r.Page)
	return mux
}

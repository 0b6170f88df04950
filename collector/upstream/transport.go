package upstream

import (
	"io"
	"net/http"
	"net/http/httputil"
	"path"
	"strings"

	"github.com/prometheus/common/config"
)

// readOnly are the endpoints that people read through, besides label/…/values.
var readOnly = []string{
	"/query", "/query_range", "/query_exemplars", "/series", "/labels", "/metadata", "/format_query", "/parse_query",
}

// Proxy passes on what people read below prefix + "/api/v1", as it is, warnings
// included: a person can see that an answer is partial. Nothing that would
// change the upstream is passed on, nor the credentials of the caller.
//
// It must not take the place of the collector's own /api/v1: a sidecar asks that
// one for what the upstream is then made of.
func (u *Upstream) Proxy(prefix string) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: u.transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, prefix)
			r.Out.URL.RawPath = ""
			r.SetURL(u.opts.URL)
			for _, name := range []string{"Authorization", "Cookie", "Origin", "Referer"} {
				r.Out.Header.Del(name)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			u.opts.Log.Warn("upstream not reached", "path", r.URL.Path, "err", err)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"unavailable","error":"the upstream of this collector does not answer; its log says why"}`)
		},
	}
	// The name of a label may hide a way to other endpoints.
	straight := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path {
			http.Error(w, "the path is not a plain one", http.StatusBadRequest)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	mux := http.NewServeMux()
	for _, endpoint := range append([]string{"/label/{name}/values"}, readOnly...) {
		mux.Handle("GET "+prefix+"/api/v1"+endpoint, straight)
		mux.Handle("POST "+prefix+"/api/v1"+endpoint, straight)
	}
	return mux
}

// CheckHTTPConfig tells whether a file is one that Options.HTTPConfigFile takes.
func CheckHTTPConfig(file string) error {
	c, _, err := config.LoadHTTPConfigFile(file)
	if err != nil {
		return err
	}
	return c.Validate()
}

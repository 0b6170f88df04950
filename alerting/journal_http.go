package alerting

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

// acknowledged answers a request that makes or ends a silence only once that is
// on disk. One that cannot be written is in force all the same, but whoever asked
// is told that a crash would forget it.
func (am *alertmanager) acknowledged(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || !strings.HasPrefix(r.URL.Path, "/api/v2/silence") {
		next.ServeHTTP(w, r)
		return
	}
	answer := &deferred{header: http.Header{}, code: http.StatusOK}
	next.ServeHTTP(answer, r)
	if answer.code < http.StatusMultipleChoices {
		if id, ok := strings.CutPrefix(r.URL.Path, "/api/v2/silence/"); ok && r.Method == http.MethodDelete {
			if err := am.expire(r.Context(), id); err != nil {
				http.Error(w, "the silence is still in force: "+err.Error(), http.StatusInternalServerError)
				return
			}
		}
		if err := am.kept[kindSilences].sync(); err != nil {
			body, _ := json.Marshal("the silence is in force, but a crash would forget the change, as it could not be written to disk: " + err.Error())
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = w.Write(body)
			return
		}
	}
	answer.send(w)
}

// deferred is an answer that waits.
type deferred struct {
	header http.Header
	code   int
	wrote  bool
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (d *deferred) Header() http.Header { return d.header }

// WriteHeader implements http.ResponseWriter.
func (d *deferred) WriteHeader(code int) {
	if !d.wrote {
		d.code, d.wrote = code, true
	}
}

// Write implements http.ResponseWriter.
func (d *deferred) Write(p []byte) (int, error) {
	d.wrote = true
	return d.body.Write(p)
}

func (d *deferred) send(w http.ResponseWriter) {
	for key, values := range d.header {
		w.Header()[key] = values
	}
	w.WriteHeader(d.code)
	_, _ = w.Write(d.body.Bytes())
}

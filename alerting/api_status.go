package alerting

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

const statusPath = "/api/v2/status"

// serveStatus has API v2 tell the version of the Alertmanager inside. By itself
// it tells that of the program around it, which amtool and others compare with
// their own.
func serveStatus(h http.Handler, w http.ResponseWriter, r *http.Request) {
	answer := &held200{ResponseWriter: w}
	h.ServeHTTP(answer, r)
	if answer.code != http.StatusOK {
		return
	}
	body := answer.body.Bytes()
	if with, err := withVersion(body); err == nil {
		body = with
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client has gone
}

// withVersion sets what is at versionInfo.version.
func withVersion(status []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(status, &fields); err != nil {
		return nil, err
	}
	info := map[string]any{}
	if err := json.Unmarshal(fields["versionInfo"], &info); err != nil {
		return nil, err
	}
	info["version"] = alertmanagerVersion
	var err error
	if fields["versionInfo"], err = json.Marshal(info); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// held200 keeps an answer of 200 back; any other goes through.
type held200 struct {
	http.ResponseWriter
	code int
	body bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (h *held200) WriteHeader(code int) {
	h.code = code
	if code != http.StatusOK {
		h.ResponseWriter.WriteHeader(code)
	}
}

// Write implements http.ResponseWriter.
func (h *held200) Write(b []byte) (int, error) {
	if h.code == 0 {
		h.code = http.StatusOK
	}
	if h.code != http.StatusOK {
		return h.ResponseWriter.Write(b)
	}
	return h.body.Write(b)
}

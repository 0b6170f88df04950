package scaler

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The paths of the API.
const (
	DecisionsPath = "/api/plimsoll/v1/scaler/decisions"
	PoliciesPath  = "/api/plimsoll/v1/scaler/policies"
)

// maxLimit is how many decisions one answer may have.
const maxLimit = 1000

// Handler serves what the scaler does and did, for reading only, in the
// envelope of Prometheus' API: {"status":"success","data":…}.
//
//	GET /api/plimsoll/v1/scaler/policies
//	    each policy in force with its last tick
//	GET /api/plimsoll/v1/scaler/decisions?policy=&at=&start=&end=&limit=
//	    the journal, newest first; at asks for what was in force at one instant
//
// Times are RFC 3339 or seconds since 1970.
func (s *Scaler) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PoliciesPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.Policies())
	})
	mux.HandleFunc("GET "+DecisionsPath, func(w http.ResponseWriter, r *http.Request) {
		q, err := parseQuery(r.URL.Query())
		if err != nil {
			complain(w, http.StatusBadRequest, "bad_data", err)
			return
		}
		entries, err := s.Decisions(q)
		if err != nil {
			complain(w, http.StatusInternalServerError, "internal", err)
			return
		}
		answer(w, append([]Entry{}, entries...)) // none is [], not null
	})
	return mux
}

func parseQuery(form url.Values) (JournalQuery, error) {
	q := JournalQuery{Policy: form.Get("policy")}
	for name, to := range map[string]*time.Time{"start": &q.From, "end": &q.To, "at": &q.To} {
		if err := parseTime(form, name, to); err != nil {
			return q, err
		}
	}
	if text := form.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return q, fmt.Errorf("limit %q: want a number from 1 to %d", text, maxLimit)
		}
		q.Limit = n
	}
	if form.Has("at") {
		if form.Has("start") || form.Has("end") {
			return q, fmt.Errorf("at is one instant: leave out start and end")
		}
		if q.Limit == 0 {
			q.Limit = 1
		}
	}
	return q, nil
}

// parseTime reads the parameter name, if it is there.
func parseTime(form url.Values, name string, to *time.Time) error {
	text := form.Get(name)
	if text == "" {
		return nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		*to = t
		return nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > 1e11 {
		return fmt.Errorf("%s %q: want RFC 3339, such as 2026-11-21T03:12:00Z, or seconds since 1970", name, text)
	}
	*to = time.UnixMilli(int64(seconds * 1000))
	return nil
}

func answer(w http.ResponseWriter, data any) {
	send(w, http.StatusOK, map[string]any{"status": "success", "data": data})
}

func complain(w http.ResponseWriter, code int, kind string, err error) {
	send(w, code, map[string]any{"status": "error", "errorType": kind, "error": err.Error()})
}

func send(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // the client left; nobody to tell
}

package scaler

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// The paths of the API.
const (
	Prefix        = "/api/plimsoll/v1/scaler/" // of all of them
	DecisionsPath = "/api/plimsoll/v1/scaler/decisions"
	PoliciesPath  = "/api/plimsoll/v1/scaler/policies"
)

// maxLimit is how many decisions one answer may have.
const maxLimit = 1000

// Handler serves what the scaler does and did, and lets people have their say, in
// the envelope of Prometheus' API: {"status":"success","data":…}.
//
//	GET  /api/plimsoll/v1/scaler/policies
//	     each policy in force with its last tick, and what people have said of it
//	GET  /api/plimsoll/v1/scaler/policies/{policy}
//	     one of them
//	GET  /api/plimsoll/v1/scaler/decisions?policy=&workload=&at=&start=&end=&limit=&inputs=
//	     the journal, newest first; at asks for what was in force at one instant,
//	     workload names a policy or what it scales, and inputs=true adds the policy
//	     and the past of each decision
//	GET  /api/plimsoll/v1/scaler/decisions/{id}
//	     one of them as the journal has it, to make it again: a Record
//	GET  /api/plimsoll/v1/scaler/journal?witness=
//	     a look at the chain of the journal: a Verification. It reads all of it
//	POST /api/plimsoll/v1/scaler/pause    {policy, direction, for|until, reason, by}
//	POST /api/plimsoll/v1/scaler/resume   {policy, reason, by}
//	POST /api/plimsoll/v1/scaler/override {policy, floor, ceiling, for|until, reason, by}
//	POST /api/plimsoll/v1/scaler/release  {policy, reason, by}
//	     see HandRequest
//	GET  /api/plimsoll/v1/scaler/audit?policy=&limit=
//	     what was said so, newest first
//
// Times are RFC 3339 or seconds since 1970. Pages of other sites may not post.
func (s *Scaler) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PoliciesPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.Policies())
	})
	mux.HandleFunc("GET "+PoliciesPath+"/{policy}", func(w http.ResponseWriter, r *http.Request) {
		for _, status := range s.Policies() {
			if status.Policy.Name == r.PathValue("policy") {
				answer(w, status)
				return
			}
		}
		_, refused := s.named(r.PathValue("policy"), journal.VerbOverride)
		complain(w, http.StatusNotFound, "not_found", refused.err)
	})
	for path, verb := range map[string]journal.Verb{PausePath: journal.VerbPause, ResumePath: journal.VerbResume, OverridePath: journal.VerbOverride, ReleasePath: journal.VerbRelease} {
		mux.HandleFunc("POST "+path, s.serveHand(verb))
	}
	mux.HandleFunc("GET "+AuditPath, s.serveAudit)
	mux.HandleFunc("GET "+DecisionsPath+"/{id}", s.serveDecision)
	mux.HandleFunc("GET "+JournalPath, s.serveVerify)
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
		answer(w, append([]journal.Entry{}, entries...)) // none is [], not null
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

func parseQuery(form url.Values) (journal.Query, error) {
	q := journal.Query{Policy: form.Get("policy"), Workload: form.Get("workload")}
	if q.Policy != "" && q.Workload != "" {
		return q, fmt.Errorf("policy and workload name the same thing: leave out one")
	}
	switch text := form.Get("inputs"); text {
	case "", "false":
	case "true":
		q.Inputs = true
	default:
		return q, fmt.Errorf("inputs %q: want true or false", text)
	}
	for name, to := range map[string]*time.Time{"start": &q.From, "end": &q.To, "at": &q.To} {
		if err := parseTime(form, name, to); err != nil {
			return q, err
		}
	}
	if err := parseLimit(form.Get("limit"), &q.Limit); err != nil {
		return q, err
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

// parseLimit reads how many are wanted at most, if that is said.
func parseLimit(text string, to *int) error {
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return fmt.Errorf("limit %q: want a number from 1 to %d", text, maxLimit)
	}
	*to = n
	return nil
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

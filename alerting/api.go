package alerting

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/matcher/compat"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// The paths of the API beside Alertmanager's.
const (
	HistoryPath   = "/api/plimsoll/v1/alerts/history"
	ExplainPath   = "/api/plimsoll/v1/alerts/explain"
	ReceiversPath = "/api/plimsoll/v1/receivers"
	TestPath      = "/api/plimsoll/v1/receivers/test"
)

// maxEvents is how many events one answer may have.
const maxEvents = 1000

// errNotRunning is what is answered before Run has begun and after it ended.
var errNotRunning = errors.New("alerting is not running, try again in a second")

// Extras serves what Alertmanager's own API cannot tell, in the envelope of
// Prometheus' API: {"status":"success","data":…}.
//
//	GET  /api/plimsoll/v1/alerts/history?from=&to=&match=&event=&limit=
//	     what happened to alerts and silences, the newest first
//	GET  /api/plimsoll/v1/alerts/explain?alert=&fingerprint=&match=
//	     why an alert was or was not told; 20 alerts at most
//	GET  /api/plimsoll/v1/receivers
//	     each receiver's integrations with what became of their messages
//	POST /api/plimsoll/v1/receivers/test
//	     {"receiver":…, "labels":{…}, "annotations":{…}, "resolve":false} sends
//	     a test to the integrations of one receiver, and tells how that went
//
// Times are RFC 3339 or seconds since 1970; match and event may be repeated.
// Pages of other sites may not post.
func (a *Alerting) Extras() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+HistoryPath, a.serveHistory)
	mux.HandleFunc("GET "+ExplainPath, a.serveExplain)
	mux.HandleFunc("GET "+ReceiversPath, a.serveReceivers)
	mux.HandleFunc("POST "+TestPath, a.serveTest)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (a *Alerting) serveHistory(w http.ResponseWriter, r *http.Request) {
	q, err := parseHistory(r.URL.Query())
	if err != nil {
		complain(w, http.StatusBadRequest, err)
		return
	}
	events, err := a.am.recorder.disk.Read(r.Context(), q)
	if err != nil {
		complain(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, append([]history.Event{}, events...)) // none is [], not null
}

func parseHistory(form url.Values) (q history.Query, err error) {
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if err := parseTime(form, name, to); err != nil {
			return q, err
		}
	}
	if q.Matchers, err = parseMatchers(form["match"]); err != nil {
		return q, err
	}
	for _, k := range form["event"] {
		if !slices.Contains(history.Kinds(), history.Kind(k)) {
			return q, fmt.Errorf("event %q: want one of %v", k, history.Kinds())
		}
		q.Kinds = append(q.Kinds, history.Kind(k))
	}
	if text := form.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxEvents {
			return q, fmt.Errorf("limit %q: want a number from 1 to %d", text, maxEvents)
		}
	}
	return q, nil
}

// parseMatchers reads matchers as amtool takes them; several in one text are
// separated by commas.
func parseMatchers(texts []string) (all amlabels.Matchers, err error) {
	useDefaultMatchers()
	for _, text := range texts {
		list, err := compat.Matchers(text, "api")
		if err != nil {
			return nil, fmt.Errorf("match %q: %w; write it like alertname=\"X\" or node=~\"n.*\"", text, err)
		}
		all = append(all, list...)
	}
	return all, nil
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

// Explained is the answer of ExplainPath.
type Explained struct {
	Alerts []Explanation `json:"alerts"`
	More   int           `json:"more"` // that are left out
}

func (a *Alerting) serveExplain(w http.ResponseWriter, r *http.Request) {
	match, err := parseWhich(r.URL.Query())
	if err != nil {
		complain(w, http.StatusBadRequest, err)
		return
	}
	list, more, err := a.Explain(r.Context(), match)
	switch {
	case errors.Is(err, errNotRunning):
		w.Header().Set("Retry-After", "1")
		complain(w, http.StatusServiceUnavailable, err)
	case err != nil:
		complain(w, http.StatusInternalServerError, err)
	default:
		answer(w, Explained{append([]Explanation{}, list...), more})
	}
}

// parseWhich reads which alerts are meant. All that is given must hold.
func parseWhich(form url.Values) (func(model.LabelSet) bool, error) {
	matchers, err := parseMatchers(form["match"])
	if err != nil {
		return nil, err
	}
	name, print := form.Get("alert"), form.Get("fingerprint")
	if name == "" && print == "" && len(matchers) == 0 {
		return nil, errors.New("which alert? Give alert=NAME, fingerprint= or match=")
	}
	var fp model.Fingerprint
	if print != "" {
		if fp, err = model.ParseFingerprint(print); err != nil || len(print) != 16 {
			return nil, fmt.Errorf("fingerprint %q: want 16 hexadecimal digits, as API v2 and plimsoll alert list show them", print)
		}
	}
	return func(set model.LabelSet) bool {
		return (name == "" || string(set[model.AlertNameLabel]) == name) && (print == "" || set.Fingerprint() == fp) && matchers.Matches(set)
	}, nil
}

// Receivers are those that a route leads to, by name.
func (a *Alerting) Receivers() []Receiver {
	a.mu.Lock()
	in := a.settings.receivers
	a.mu.Unlock()
	return a.am.recorder.receivers(in)
}

func (a *Alerting) serveReceivers(w http.ResponseWriter, _ *http.Request) { answer(w, a.Receivers()) }

func (a *Alerting) serveTest(w http.ResponseWriter, r *http.Request) {
	// A form on a page elsewhere cannot have this type without being asked about.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		complain(w, http.StatusUnsupportedMediaType, errors.New("send JSON, with Content-Type: application/json"))
		return
	}
	var t Test
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	body.DisallowUnknownFields()
	if err := body.Decode(&t); err != nil {
		complain(w, http.StatusBadRequest, fmt.Errorf(`not understood: %w; want {"receiver":"name"}`, err))
		return
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		complain(w, http.StatusBadRequest, errors.New("there is more than one object"))
		return
	}
	result, err := a.Test(r.Context(), t)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		if refused.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(refused.after.Seconds()))))
		}
		complain(w, refused.code, err)
	case err != nil:
		complain(w, http.StatusInternalServerError, err)
	default:
		answer(w, result)
	}
}

func answer(w http.ResponseWriter, data any) {
	send(w, http.StatusOK, map[string]any{"status": "success", "data": data})
}

func complain(w http.ResponseWriter, code int, err error) {
	kind := "bad_data"
	switch {
	case code == http.StatusServiceUnavailable, code == http.StatusTooManyRequests:
		kind = "unavailable"
	case code >= http.StatusInternalServerError:
		kind = "internal"
	case code == http.StatusNotFound:
		kind = "not_found"
	}
	send(w, code, map[string]any{"status": "error", "errorType": kind, "error": strings.TrimSpace(err.Error())})
}

func send(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // the client left; nobody to tell
}

package alerting_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// ask asks the API beside Alertmanager's, and returns the status.
func (p *process) ask(method, path string, form url.Values, body string, data any) (*httptest.ResponseRecorder, int) {
	p.t.Helper()
	r := httptest.NewRequest(method, path+"?"+form.Encode(), strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := record(p.Extras(), r)
	var envelope struct {
		Status string
		Data   json.RawMessage
		Error  string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &envelope); err != nil {
		p.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	if ok := w.Code == http.StatusOK; ok != (envelope.Status == "success") || !ok && envelope.Error == "" {
		p.t.Errorf("%s %s: %d with %s", method, path, w.Code, w.Body)
	}
	if w.Code == http.StatusOK && data != nil {
		if err := json.Unmarshal(envelope.Data, data); err != nil {
			p.t.Fatal(err)
		}
	}
	return w, w.Code
}

// events are the kinds of what happened, the oldest first.
func (p *process) events(form url.Values) (all []history.Event, kinds []string) {
	p.t.Helper()
	p.ask(http.MethodGet, alerting.HistoryPath, form, "", &all)
	slices.Reverse(all)
	for _, e := range all {
		kinds = append(kinds, string(e.Kind))
	}
	return all, kinds
}

// happened waits until the events of an alert are these.
func (p *process) happened(form url.Values, want ...string) []history.Event {
	p.t.Helper()
	var all []history.Event
	var kinds []string
	defer func() {
		if p.t.Failed() {
			p.t.Logf("events %v, want %v", kinds, want)
		}
	}()
	p.eventually("it happened", func() bool {
		all, kinds = p.events(form)
		return slices.Equal(kinds, want)
	})
	return all
}

// silence makes one by API v2 and returns its ID.
func (p *process) silence(matcher string, extra string) string {
	p.t.Helper()
	name, value, _ := strings.Cut(matcher, "=")
	now := time.Now()
	body := fmt.Sprintf(`{"matchers":[{"name":%q,"value":%q,"isRegex":false}],"createdBy":"ann","comment":"planned","startsAt":%q,"endsAt":%q%s}`,
		name, value, now.Format(time.RFC3339Nano), now.Add(time.Hour).Format(time.RFC3339Nano), extra)
	r, err := http.Post(p.api+"/api/v2/silences", "application/json", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	var made struct{ SilenceID string }
	if err := json.NewDecoder(r.Body).Decode(&made); err != nil || r.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %v", r.Status, err)
	}
	return made.SilenceID
}

func (p *process) expire(id string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodDelete, p.api+"/api/v2/silence/"+id, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		p.t.Fatal(r.Status)
	}
}

func TestAReceiverIsTestedByItsOwnIntegrationsOnly(t *testing.T) {
	w := newWorld(t)
	other := make(chan struct{}, 10)
	deaf := serve(t, func(http.ResponseWriter, *http.Request) { other <- struct{}{} })
	broken := serve(t, func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusTeapot) })
	w.write("alertmanager.yml", fmt.Sprintf(`route: {receiver: deaf, routes: [{receiver: both, matchers: [never = never]}]}
receivers:
  - {name: deaf, webhook_configs: [{url: %q}]}
  - {name: both, webhook_configs: [{url: %q}, {url: %q}]}
  - {name: unused, webhook_configs: [{url: %q}]}
`, deaf, w.hook, broken, deaf))
	p := w.run(w.options())
	p.silence("alertname=Hello", "") // does not hold a test back

	var result alerting.TestResult
	_, code := p.ask(http.MethodPost, alerting.TestPath, nil,
		`{"receiver":"both","labels":{"alertname":"Hello"},"annotations":{"summary":"it works"},"resolve":true}`, &result)
	if code != http.StatusOK || len(result.Integrations) != 2 {
		t.Fatalf("%d %+v", code, result)
	}
	if ok, no := result.Integrations[0], result.Integrations[1]; !ok.OK || ok.Error != "" || no.OK || !strings.Contains(no.Error, "418") {
		t.Errorf("result %+v, want one that is well and one that is not", result)
	}
	m := w.next()
	if m.Status != "firing" || m.Alerts[0].Labels["alertname"] != "Hello" || m.Alerts[0].Annotations["summary"] != "it works" || m.Receiver != "both" {
		t.Errorf("message %+v", m)
	}
	if m := w.next(); m.Status != "resolved" {
		t.Errorf("message %+v, want its end", m)
	}
	if len(other) != 0 {
		t.Error("another receiver was told")
	}
	if all := p.happened(url.Values{"event": {"tested"}}, "tested", "tested"); all[0].Receiver != "both" {
		t.Errorf("history %+v", all[0])
	}

	answer, code := p.ask(http.MethodPost, alerting.TestPath, nil, `{"receiver":"both"}`, nil)
	if code != http.StatusTooManyRequests || answer.Header().Get("Retry-After") == "" {
		t.Errorf("a second test at once: %d, want 429 and when to try again", code)
	}
	w.silent()
}

func TestWhatIsAskedWronglyIsSaid(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	for name, tt := range map[string]struct {
		method, path string
		form         url.Values
		body         string
		code         int
		want         string
	}{
		"history from":          {http.MethodGet, alerting.HistoryPath, url.Values{"from": {"soon"}}, "", 400, "want RFC 3339"},
		"history limit":         {http.MethodGet, alerting.HistoryPath, url.Values{"limit": {"0"}}, "", 400, "from 1 to 1000"},
		"history event":         {http.MethodGet, alerting.HistoryPath, url.Values{"event": {"x"}}, "", 400, "want one of [created"},
		"history match":         {http.MethodGet, alerting.HistoryPath, url.Values{"match": {"="}}, "", 400, "write it like"},
		"explain what":          {http.MethodGet, alerting.ExplainPath, nil, "", 400, "which alert?"},
		"explain a fingerprint": {http.MethodGet, alerting.ExplainPath, url.Values{"fingerprint": {"12"}}, "", 400, "16 hexadecimal digits"},
		"test nobody":           {http.MethodPost, alerting.TestPath, nil, `{"receiver":"nobody"}`, 404, "there are: hook"},
		"test with a typo":      {http.MethodPost, alerting.TestPath, nil, `{"reciever":"hook"}`, 400, "reciever"},
		"test with two":         {http.MethodPost, alerting.TestPath, nil, `{"receiver":"hook"} {}`, 400, "more than one"},
		"test with bad labels":  {http.MethodPost, alerting.TestPath, nil, `{"receiver":"hook","labels":{"":"x"}}`, 400, "label"},
		"test of a novel":       {http.MethodPost, alerting.TestPath, nil, `{"receiver":"` + strings.Repeat("x", 1<<17) + `"}`, 400, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, code := p.ask(tt.method, tt.path, tt.form, tt.body, nil)
			if code != tt.code || !strings.Contains(answer.Body.String(), tt.want) {
				t.Errorf("%d %s, want %d and %q", code, answer.Body, tt.code, tt.want)
			}
		})
	}
	w.silent()
}

// A page on another site, open in the browser of someone who may, tells nobody.
func TestAPageElsewhereCannotTestAReceiver(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	post := func(change func(http.Header)) int {
		r := httptest.NewRequest(http.MethodPost, alerting.TestPath, strings.NewReader(`{"receiver":"hook"}`))
		r.Header.Set("Content-Type", "application/json")
		change(r.Header)
		return record(p.Extras(), r).Code
	}
	if code := post(func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") }); code != http.StatusForbidden {
		t.Errorf("from another site: %d, want 403", code)
	}
	if code := post(func(h http.Header) { h.Set("Origin", "https://evil.example") }); code != http.StatusForbidden {
		t.Errorf("from another origin: %d, want 403", code)
	}
	if code := post(func(h http.Header) { h.Set("Content-Type", "text/plain") }); code != http.StatusUnsupportedMediaType {
		t.Errorf("as a form could: %d, want 415", code)
	}
	if r := record(p.Extras(), httptest.NewRequest(http.MethodGet, alerting.TestPath, nil)); r.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d, want 405", r.Code)
	}
	w.silent()
}

func TestTheAPIBesideSaysWhenAlertingIsNotThere(t *testing.T) {
	w := newWorld(t)
	a, err := alerting.New(w.options())
	if err != nil {
		t.Fatal(err)
	}
	for method, path := range map[string]string{http.MethodGet: alerting.ExplainPath + "?alert=X", http.MethodPost: alerting.TestPath} {
		r := httptest.NewRequest(method, path, strings.NewReader(`{"receiver":"hook"}`))
		r.Header.Set("Content-Type", "application/json")
		if got := record(a.Extras(), r); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" {
			body, _ := io.ReadAll(got.Body)
			t.Errorf("%s: %d %s, want 503 and when to try again", path, got.Code, body)
		}
	}
}

// amtool and others compare this version with their own.
func TestTheStatusHasTheVersionOfTheAlertmanagerInside(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	r, err := http.Get(p.api + "/api/v2/status")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var status struct {
		Config      struct{ Original string }
		VersionInfo struct{ Version, GoVersion string }
		Cluster     struct{ Status string }
	}
	if err := json.NewDecoder(r.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	if p.metric("alertmanager_build_info", "version", status.VersionInfo.Version) != 1 {
		t.Errorf("version %q, want that of alertmanager_build_info", status.VersionInfo.Version)
	}
	if status.VersionInfo.GoVersion == "" || !strings.Contains(status.Config.Original, "receiver: hook") || status.Cluster.Status == "" {
		t.Errorf("the rest is missing: %+v", status)
	}
	if r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("type %q", r.Header.Get("Content-Type"))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.api+"/api/v2/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := http.DefaultClient.Do(req); err != nil || r.Body.Close() != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v, want 405", r.Status, err)
	}
}

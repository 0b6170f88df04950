package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// alertLimit is how long what alerting does may take in a test.
const alertLimit = 2 * time.Minute

// alerted is a collector with an alert that fires, one that waits, and a person
// behind a webhook.
type alerted struct {
	*served
	told chan map[string]any
}

func alertingCollector(t *testing.T) *alerted {
	t.Helper()
	dir := t.TempDir()
	told := make(chan map[string]any, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message map[string]any
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		told <- message
	}))
	t.Cleanup(hook.Close)
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	rules := write("rules.yml", `groups:
  - name: test
    interval: 1s
    rules:
      - {alert: Always, expr: vector(42) > 1, labels: {severity: warning, node: n1}, annotations: {summary: 'It is {{ $value }}'}}
      - {alert: Later, expr: vector(1), for: 1h}
`)
	config := write("alertmanager.yml", fmt.Sprintf(`route: {receiver: ops team, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: ops team, webhook_configs: [{url: %q}]}]
`, hook.URL))
	s := collect(t, filepath.Join(dir, "data"), "--no-rules.bundled", "--rules.file="+rules, "--alerting.config.file="+config)
	return &alerted{s, told}
}

func (a *alerted) next() map[string]any {
	a.t.Helper()
	select {
	case m := <-a.told:
		return m
	case <-time.After(alertLimit):
		a.t.Fatal("nobody is told")
		return nil
	}
}

// types runs a command against the collector and returns what it says.
func (a *alerted) types(code int, args ...string) string {
	a.t.Helper()
	var out bytes.Buffer
	if got := run(a.t.Context(), append(args, "--url="+a.url), &out, &out, nil); got != code {
		a.t.Fatalf("%v: exit code %d, want %d\n%s", args, got, code, out.String())
	}
	return out.String()
}

func (a *alerted) says(out string, wants ...string) {
	a.t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			a.t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

// page gets a path, as a browser would that is at this collector.
func (a *alerted) page(path string) (int, string) {
	a.t.Helper()
	r, err := http.Get(a.url + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func TestTheCommandsAboutAlerts(t *testing.T) {
	a := alertingCollector(t)
	a.next()
	a.says(a.types(exitOK, "alert", "list"), "Always", "warning", "active", "It is 42")
	// Whoever is told knows it before the collector has heard that they do.
	const told = "It was told to ops team/webhook[0]"
	a.await("it knows that they were told", alertLimit, func() bool {
		return strings.Contains(a.types(exitOK, "alert", "explain", "Always"), told)
	})
	a.says(a.types(exitOK, "alert", "explain", "Always"), `Always{node="n1", severity="warning"} is firing`, told)
	a.says(a.types(exitOK, "alert", "explain", "Later", "-o", "json"), `"state": "pending"`)
	a.says(a.types(exitFailure, "alert", "explain", "NoSuch"), "no alert and no rule is NoSuch; see plimsoll alert list")
	a.says(a.types(exitUsage, "alert", "explain", "a=~["), "write it like")
	a.says(strings.Join(strings.Fields(a.types(exitOK, "alert", "receivers")), " "), "ops team webhook[0] 1 0 ")
	a.await("it is in the history", alertLimit, func() bool {
		return strings.Contains(a.types(exitOK, "alert", "history", "Always"), "notified")
	})

	id := strings.TrimSpace(a.types(exitOK, "silence", "add", "Always", "node=~n.*", "-c", "planned work", "--duration=2h"))
	a.await("it is silenced", alertLimit, func() bool { return strings.Contains(a.types(exitOK, "alert", "list", "alertname=Always"), "silenced") })
	a.says(a.types(exitOK, "silence", "list"), id, "active", `alertname="Always" node=~"n.*"`, "planned work", me())
	a.says(a.types(exitOK, "alert", "explain", "Always"), "It is silenced by", "silenced by "+id)
	a.says(a.types(exitOK, "silence", "list", "-o", "json"), `"id": "`+id+`"`, `"comment": "planned work"`)
	if got := strings.TrimSpace(a.types(exitOK, "silence", "extend", id, "--duration=9h")); got != id {
		t.Errorf("extended %q, want %q", got, id)
	}
	a.says(a.types(exitOK, "alert", "explain", "Always"), " for another ", ", in ")
	if until := regexp.MustCompile(`another (\S+):`).FindStringSubmatch(a.types(exitOK, "alert", "explain", "Always")); until == nil {
		t.Error("it does not say for how long")
	} else if left, err := time.ParseDuration(until[1]); err != nil || left < 8*time.Hour {
		t.Errorf("%v %v are left after the silence was extended to nine hours", left, err)
	}
	a.types(exitOK, "silence", "expire", id)
	if out := a.types(exitOK, "silence", "list"); out != "" {
		t.Errorf("silences are left:\n%s", out)
	}
	a.says(a.types(exitOK, "silence", "list", "--expired"), id, "expired")
	a.says(a.types(exitFailure, "silence", "extend", id), "it is over; make a new one")
	a.says(a.types(exitFailure, "silence", "expire", "00000000-0000-4000-8000-000000000000"), "there is no such silence")
	a.says(a.types(exitUsage, "silence", "add", "a=~[", "-c", "x"), "write it like")
	a.says(a.types(exitUsage, "silence", "add", "A", "-c", "x", "--start=soon"), "want a time such as")

	ack := strings.TrimSpace(a.types(exitOK, "silence", "ack", "Always", "-c", "on it", "--author=ann"))
	a.says(a.types(exitOK, "silence", "list"), ack, "  ack  ", "ann")

	a.says(a.types(exitOK, "alert", "test", "ops team", "--label=alertname=Hello"), "webhook[0]: sent in")
	if m := a.next(); m["commonLabels"].(map[string]any)["alertname"] != "Hello" {
		t.Errorf("test %v", m)
	}
	a.says(a.types(exitFailure, "alert", "test", "nobody"), "there are: ops team")
}

func TestACollectorThatIsAwayIsSaid(t *testing.T) {
	for _, args := range [][]string{
		{"alert", "list"},
		{"alert", "explain", "X"},
		{"alert", "history"},
		{"alert", "receivers"},
		{"alert", "test", "x"},
		{"silence", "list"},
		{"silence", "add", "X", "-c", "x"},
		{"silence", "ack", "X", "-c", "x"},
		{"silence", "expire", "x"},
		{"silence", "extend", "x"},
	} {
		var out strings.Builder
		if code := run(t.Context(), append(args, "--url=http://127.0.0.1:1"), io.Discard, &out, nil); code != exitUnreachable || !strings.Contains(out.String(), "name it with --url") {
			t.Errorf("%v: exit code %d, %s", args, code, out.String())
		}
	}
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello") }))
	defer stranger.Close()
	var out strings.Builder
	if code := run(t.Context(), []string{"alert", "explain", "X", "--url=" + stranger.URL}, io.Discard, &out, nil); code != exitFailure || !strings.Contains(out.String(), "is --url right?") {
		t.Errorf("exit code %d, %s", code, out.String())
	}
}

// Grafana's Alertmanager and Prometheus data sources, both at the root, and karma.
func TestGrafanaFindsBothAPIsWhereItLooks(t *testing.T) {
	a := alertingCollector(t)
	a.next()
	for path, want := range map[string]int{
		"/api/v2/status":              http.StatusOK,
		"/alertmanager/api/v2/status": http.StatusNotFound, // an answer would be taken for Mimir's
		"/api/v2/receivers":           http.StatusOK,
		"/api/v2/silences":            http.StatusOK,
		"/api/v1/alertmanagers":       http.StatusOK,
	} {
		if code, body := a.page(path); code != want {
			t.Errorf("%s: %d, want %d: %.200s", path, code, want, body)
		}
	}
	code, body := a.page("/api/v2/alerts/groups?active=true&silenced=true&inhibited=true")
	var groups []struct {
		Labels   map[string]string
		Receiver struct{ Name string }
		Alerts   []struct{ Labels map[string]string }
	}
	if err := json.Unmarshal([]byte(body), &groups); err != nil || code != http.StatusOK || len(groups) != 1 ||
		groups[0].Receiver.Name != "ops team" || groups[0].Alerts[0].Labels["node"] != "n1" {
		t.Errorf("groups: %d %s", code, body)
	}

	// As Grafana makes and ends a silence.
	post, err := http.Post(a.url+"/api/v2/silences", "application/json", strings.NewReader(fmt.Sprintf(
		`{"matchers":[{"name":"alertname","value":"Always","isRegex":false,"isEqual":true}],"createdBy":"admin","comment":"c","startsAt":%q,"endsAt":%q,"id":""}`,
		time.Now().Format(time.RFC3339), time.Now().Add(time.Hour).Format(time.RFC3339))))
	if err != nil {
		t.Fatal(err)
	}
	defer post.Body.Close()
	var made struct{ SilenceID string }
	if err := json.NewDecoder(post.Body).Decode(&made); err != nil || made.SilenceID == "" {
		t.Fatalf("silence: %s %v", post.Status, err)
	}
	if _, body := a.page("/api/v2/silence/" + made.SilenceID); !strings.Contains(body, `"state":"active"`) {
		t.Errorf("silence %s", body)
	}
	end, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, a.url+"/api/v2/silence/"+made.SilenceID, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(end)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, body := a.page("/api/v2/silence/" + made.SilenceID); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"state":"expired"`) {
		t.Errorf("silence %s after its end %s", body, resp.Status)
	}

	// Prometheus', not Alertmanager's "410 gone".
	var alerts struct{ Alerts []struct{ State string } }
	a.api("/api/v1/alerts", nil, &alerts)
	if len(alerts.Alerts) != 2 {
		t.Errorf("alerts %+v, want one that fires and one that is pending", alerts)
	}
	var rules struct {
		Groups []struct{ Rules []struct{ Name string } }
	}
	a.api("/api/v1/rules", url.Values{"type": {"alert"}}, &rules)
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) != 2 {
		t.Errorf("rules %+v", rules)
	}
	if _, body := a.page("/metrics"); !regexp.MustCompile(`(?m)^alertmanager_build_info\{version="0\.\d+\.\d+"\} 1$`).MatchString(body) {
		t.Error("/metrics has no alertmanager_build_info that karma could read")
	}
}

// What a message links to shows the alert and its query.
func TestTheLinksOfAMessageLeadSomewhere(t *testing.T) {
	a := alertingCollector(t)
	m := a.next()
	external := m["externalURL"].(string)
	source := m["alerts"].([]any)[0].(map[string]any)["generatorURL"].(string)
	if external != a.url || !strings.HasPrefix(source, a.url+"/graph?g0.expr=") {
		t.Fatalf("links to %s and %s", external, source)
	}
	code, body := a.page(strings.TrimPrefix(source, a.url))
	if code != http.StatusOK || !strings.Contains(body, `>vector(42) &gt; 1</textarea>`) || !strings.Contains(body, `<td class="n">42</td>`) {
		t.Errorf("the link to the query: %d\n%s", code, body)
	}

	// Alertmanager's templates link to …/#/alerts?receiver=…, and the script of the
	// page asks for what is after #/.
	code, body = a.page("/")
	if code != http.StatusOK || !strings.Contains(body, `src="assets/page.js"`) {
		t.Errorf("the page: %d\n%s", code, body)
	}
	code, body = a.page("/?fragment=alerts&receiver=" + url.QueryEscape("ops team"))
	if code != http.StatusOK || !strings.Contains(body, ">Always</a>") || !strings.Contains(body, "for receiver ops team") {
		t.Errorf("the alerts of the receiver: %d\n%s", code, body)
	}
	if !strings.Contains(html.UnescapeString(body), source) {
		t.Error("the alert does not link to its query")
	}
	link := regexp.MustCompile(`#/silences/new\?([^"]*)`).FindStringSubmatch(body)
	if link == nil {
		t.Fatal("the alert has no link to silence it")
	}
	if _, body := a.page("/?fragment=silences%2Fnew&" + html.UnescapeString(link[1])); !strings.Contains(body, `value="Always"`) || !strings.Contains(body, `value="n1"`) {
		t.Errorf("the form for a silence:\n%s", body)
	}
}

func TestASilenceOfDebiansAmtoolEndsWithIt(t *testing.T) {
	amtool, err := exec.LookPath("amtool")
	if err != nil {
		const missing = "amtool is not installed: apt-get install prometheus-alertmanager"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	a := alertingCollector(t)
	a.next()
	tool := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), amtool, append([]string{"--alertmanager.url=" + a.url, "--output=simple"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "NO_PROXY=127.0.0.1")
		var said bytes.Buffer
		cmd.Stderr = &said // it warns of another version than its own
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("amtool %s: %v\n%s%s", strings.Join(args, " "), err, out, said.String())
		}
		return string(out)
	}
	id := strings.TrimSpace(tool("silence", "add", "alertname=Always", "--author=bob", "--comment=planned"))
	a.says(a.types(exitOK, "silence", "list"), id, "bob")
	a.await("amtool sees it suppressed", alertLimit, func() bool {
		return strings.Contains(tool("alert", "query", "--silenced"), "Always")
	})
	ours := strings.TrimSpace(a.types(exitOK, "silence", "add", "Later", "-c", "ours"))
	a.says(tool("silence", "query"), ours, "ours")
	tool("silence", "expire", id)
	a.await("it is over", alertLimit, func() bool {
		return !strings.Contains(a.types(exitOK, "silence", "list"), id)
	})
}

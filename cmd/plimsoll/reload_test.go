package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const reloadLimit = 2 * time.Minute

// reloading is a collector whose files change, with a person behind a webhook.
type reloading struct {
	*served
	dir  string
	hook string
	told chan string // "receiver alert"
}

func reloadingCollector(t *testing.T, flags ...string) *reloading {
	t.Helper()
	r := &reloading{dir: t.TempDir(), told: make(chan string, 100)}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var m struct {
			Receiver     string            `json:"receiver"`
			CommonLabels map[string]string `json:"commonLabels"`
		}
		if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		r.told <- m.Receiver + " " + m.CommonLabels["alertname"]
	}))
	t.Cleanup(hook.Close)
	r.hook = hook.URL
	config := r.write(t, "alertmanager.yml", r.config("before"))
	r.served = collect(t, filepath.Join(r.dir, "data"), append(flags, "--no-rules.bundled", "--rules.file="+filepath.Join(r.dir, "*.rules.yml"), "--alerting.config.file="+config)...)
	r.await("alerting runs", reloadLimit, func() bool {
		code, _ := r.ask(http.MethodGet, "/api/v2/status", "")
		return code == http.StatusOK
	})
	return r
}

func (r *reloading) config(receiver string) string {
	return fmt.Sprintf(`route: {receiver: %[1]s, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: %[1]s, webhook_configs: [{url: %[2]q}]}]
`, receiver, r.hook)
}

func (r *reloading) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(r.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ask is what is answered to a request.
func (r *reloading) ask(method, path, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// shows waits until /metrics has a line.
func (r *reloading) shows(line string) {
	r.t.Helper()
	r.await(line, reloadLimit, func() bool {
		_, text := r.ask(http.MethodGet, "/metrics", "")
		return strings.Contains(text, "\n"+line+"\n")
	})
}

// fires makes an alert and waits until somebody is told of it.
func (r *reloading) fires(name, receiver string) {
	r.t.Helper()
	if code, text := r.ask(http.MethodPost, "/api/v2/alerts", `[{"labels":{"alertname":"`+name+`"}}]`); code != http.StatusOK {
		r.t.Fatalf("status %d: %s", code, text)
	}
	r.hears(receiver + " " + name)
}

func (r *reloading) hears(want string) {
	r.t.Helper()
	select {
	case got := <-r.told:
		if got != want {
			r.t.Errorf("told %q, want %q", got, want)
		}
	case <-time.After(reloadLimit):
		r.t.Fatalf("nobody is told %q", want)
	}
}

func TestAFileThatChangesIsReadAgainAndABrokenOneIsNot(t *testing.T) {
	r := reloadingCollector(t)
	r.fires("First", "before")

	r.write(t, "alertmanager.yml", strings.Replace(r.config("before"), "receiver: before", "receiver: befor", 1))
	r.shows(`plimsoll_config_last_reload_successful{part="alerting"} 0`)
	r.shows("alertmanager_config_last_reload_successful 0")
	code, text := r.ask(http.MethodPost, "/-/reload", "")
	if code != http.StatusInternalServerError || !strings.Contains(text, `alertmanager.yml:1:19: route.receiver: undefined receiver "befor", did you mean "before"?`) {
		t.Errorf("status %d: %s", code, text)
	}
	r.fires("Second", "before")

	r.write(t, "alertmanager.yml", r.config("before"))
	r.shows(`plimsoll_config_last_reload_successful{part="alerting"} 1`)
	for range 3 { // with nothing new
		if code, text := r.ask(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
			t.Errorf("status %d: %s", code, text)
		}
	}
	r.fires("Third", "before")

	r.write(t, "more.rules.yml", "groups: [{name: more, interval: 1s, rules: [{alert: Ruled, expr: vector(1)}]}]\n")
	r.hears("before Ruled")
}

func TestNewRoutesComeWithTheFileThatNamesThem(t *testing.T) {
	r := reloadingCollector(t)
	r.write(t, "alertmanager.yml", r.config("after"))
	r.await("the new routes are in force", reloadLimit, func() bool {
		_, text := r.ask(http.MethodGet, "/api/v2/receivers", "")
		return strings.Contains(text, `"after"`)
	})
	r.fires("First", "after")
}

func TestWithoutWatchingFilesAreReadAgainOnRequest(t *testing.T) {
	r := reloadingCollector(t, "--no-reload.watch")
	r.write(t, "alertmanager.yml", r.config("after"))
	if code, text := r.ask(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
		t.Errorf("status %d: %s", code, text)
	}
	r.fires("First", "after")
}

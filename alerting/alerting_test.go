package alerting_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// settled is as many evaluations as take several group intervals, so that what
// would be sent has been.
const settled = 8

func TestACrossingIsToldOnceAndItsEndOnce(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	w.uses("web", 50)
	p.evaluates(2)
	w.silent()

	before := time.Now()
	w.uses("web", 95)
	m := w.next()
	if m.Version != "4" || m.Status != "firing" || m.Receiver != "hook" || len(m.Alerts) != 1 {
		t.Fatalf("message %+v", m)
	}
	if want := `{}:{alertname="NearLimit", name="web", node="n1"}`; m.GroupKey != want {
		t.Errorf("groupKey %s, want %s", m.GroupKey, want)
	}
	if m.ExternalURL != "http://plimsoll.example:9900" {
		t.Errorf("externalURL %s", m.ExternalURL)
	}
	a := m.Alerts[0]
	if a.Status != "firing" || !a.EndsAt.IsZero() || a.StartsAt.Before(before) || a.StartsAt.After(time.Now()) {
		t.Errorf("status %s from %v to %v, want firing since %v", a.Status, a.StartsAt, a.EndsAt, before)
	}
	if a.Labels["name"] != "web" || a.Labels["node"] != "n1" || a.Labels["severity"] != "warning" {
		t.Errorf("labels %v", a.Labels)
	}
	if a.Annotations["summary"] != "web uses 95%" {
		t.Errorf("summary %q", a.Annotations["summary"])
	}
	if want := "http://plimsoll.example:9900/graph?g0.expr=container_memory_working_set_bytes+%2F+"; !strings.HasPrefix(a.GeneratorURL, want) {
		t.Errorf("generatorURL %s, want %s…", a.GeneratorURL, want)
	}

	w.uses("web", 96)
	p.evaluates(settled)
	w.silent()

	w.uses("web", 50)
	m = w.next()
	if m.Status != "resolved" || len(m.Alerts) != 1 || m.Alerts[0].EndsAt.IsZero() {
		t.Errorf("message %+v, want it resolved with an end", m)
	}
	p.evaluates(settled)
	w.silent()
}

func TestTheBundledPackIsInForceAndAnAgentThatIsDownMutesOnlyItsNode(t *testing.T) {
	w := newWorld(t)
	w.write("down.rules.yml", `groups:
  - name: down
    rules:
      - {alert: AgentDown, expr: 'vector(1)', labels: {node: n1, severity: critical}}
`)
	w.write("other.rules.yml", `groups:
  - name: other
    rules:
      - {alert: OnOtherNode, expr: 'vector(1)', labels: {node: n2, severity: warning}}
`)
	opts := w.options()
	opts.BundledRules = true
	p := w.run(opts)

	groups := map[string]bool{}
	for _, g := range p.RulesManager().RuleGroups() {
		groups[g.Name()] = true
	}
	if !groups["container"] || !groups["plimsoll"] || !groups["test"] {
		t.Errorf("groups %v, want the pack and the files", groups)
	}

	told := map[string]bool{w.next().CommonLabels["alertname"]: true, w.next().CommonLabels["alertname"]: true}
	if !told["AgentDown"] || !told["OnOtherNode"] {
		t.Fatalf("told %v", told)
	}
	w.uses("web", 95)
	p.eventually("the alert on the silent node is held back", func() bool {
		return p.metric("alertmanager_notifications_suppressed_total", "reason", "inhibition") >= 2
	})
	w.silent()
	for _, a := range p.Active(t.Context()) {
		if a.Muted != (a.Name == "NearLimit") {
			t.Errorf("alert %+v", a)
		}
	}
}

func TestASilenceOfAmtoolMutesAndItsEndUnmutes(t *testing.T) {
	amtool, err := exec.LookPath("amtool")
	if err != nil {
		const missing = "amtool is not installed: apt-get install prometheus-alertmanager"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	w := newWorld(t)
	p := w.run(w.options())
	tool := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), amtool, append([]string{"--alertmanager.url=" + p.api, "--output=simple"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "NO_PROXY=127.0.0.1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("amtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return lastLine(string(out))
	}

	id := tool("silence", "add", "alertname=NearLimit", "--author=test", "--comment=planned work", "--duration=1h")
	w.uses("web", 95)
	p.eventually("the silence holds the alert back", func() bool {
		return p.metric("alertmanager_notifications_suppressed_total", "reason", "silence") >= 2
	})
	w.silent()
	if got := tool("alert", "query", "--silenced"); !strings.Contains(got, "NearLimit") || !strings.Contains(got, "suppressed") {
		t.Errorf("amtool alert query: %q, want NearLimit suppressed", got)
	}
	if active := p.Active(t.Context()); len(active) != 1 || !active[0].Muted {
		t.Errorf("active %+v, want one that is muted", active)
	}

	tool("silence", "expire", id)
	if m := w.next(); m.Status != "firing" {
		t.Errorf("message %+v, want it firing", m)
	}
	if active := p.Active(t.Context()); len(active) != 1 || active[0].Muted || active[0].Summary != "web uses 95%" || active[0].Severity != "warning" {
		t.Errorf("active %+v, want one that is not muted", active)
	}
}

func lastLine(out string) string {
	last := ""
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		if s.Text() != "" {
			last = s.Text()
		}
	}
	return strings.TrimSpace(last)
}

func TestSilencesAndWhatWasToldOutliveARestart(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	w.uses("web", 95)
	w.next()
	body := strings.NewReader(`{"matchers":[{"name":"alertname","value":"Other","isRegex":false}],"createdBy":"t","comment":"c",` +
		`"startsAt":"2026-01-01T00:00:00Z","endsAt":"2126-01-01T00:00:00Z"}`)
	r, err := http.Post(p.api+"/api/v2/silences", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("silence: %s", r.Status)
	}
	p.stop()
	if got := record(p.Handler(), httptest.NewRequest(http.MethodGet, "/api/v2/status", nil)).Code; got != http.StatusServiceUnavailable {
		t.Errorf("status %d after the end, want 503: a silence made now would be lost", got)
	}

	p = w.run(w.options())
	if got := p.metric("alertmanager_silences", "state", "active"); got != 1 {
		t.Errorf("%v active silences after the restart, want 1", got)
	}
	p.eventually("the alert fires again", func() bool { return len(p.Active(t.Context())) == 1 })
	p.evaluates(settled)
	w.silent()
}

func TestTheAPIIsAtOnePlaceOnly(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	for path, want := range map[string]int{
		"/api/v2/status":              http.StatusOK,
		"/api/v2/alerts/groups":       http.StatusOK,
		"/api/v2/silences":            http.StatusOK,
		"/alertmanager/api/v2/status": http.StatusNotFound, // Grafana takes an answer here for Mimir's
		"/api/v1/alerts":              http.StatusNotFound, // Prometheus', not Alertmanager's "410 gone"
		"/metrics":                    http.StatusNotFound,
		"/":                           http.StatusNotFound,
	} {
		if got := p.get(path); got != want {
			t.Errorf("%s: status %d, want %d", path, got, want)
		}
	}
}

func TestTheVersionIsThatOfTheModule(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	p := w.run(w.options())
	_, rest, _ := strings.Cut(string(mod), "github.com/prometheus/alertmanager v")
	version, _, _ := strings.Cut(rest, "\n")
	if p.metric("alertmanager_build_info", "version", strings.TrimSpace(version)) != 1 {
		t.Errorf("alertmanager_build_info does not say %s as go.mod does", version)
	}
}

func TestBeforeRunTheAPISaysThatItIsNotThere(t *testing.T) {
	w := newWorld(t)
	a, err := alerting.New(w.options())
	if err != nil {
		t.Fatal(err)
	}
	rec := record(a.Handler(), httptest.NewRequest(http.MethodGet, "/api/v2/status", nil))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q; want 503 and a time", rec.Code, rec.Header().Get("Retry-After"))
	}
	if got := a.Active(t.Context()); got != nil {
		t.Errorf("active %v, want none", got)
	}
}

func TestTwoAlertingsLiveInOneProcess(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.run(w.options())
	other.run(other.options())
	w.uses("web", 95)
	other.uses("db", 99)
	if m := w.next(); m.CommonLabels["name"] != "web" {
		t.Errorf("message %+v, want the one of web", m)
	}
	if m := other.next(); m.CommonLabels["name"] != "db" {
		t.Errorf("message %+v, want the one of db", m)
	}
}

func TestARegistererServesOneAlerting(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	if _, err := alerting.New(opts); err != nil {
		t.Fatal(err)
	}
	if _, err := alerting.New(opts); err == nil || !strings.Contains(err.Error(), "a registerer of its own") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}

func TestWithoutAFileNobodyIsToldButTheConsole(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	opts.ConfigFile = ""
	p := w.run(opts)
	w.uses("web", 95)
	p.eventually("the alert is active", func() bool { return len(p.Active(t.Context())) == 1 })
	a := p.Active(t.Context())[0]
	if a.Name != "NearLimit" || a.Labels["name"] != "web" || a.Since.IsZero() || a.Muted || !strings.Contains(a.Source, "/graph?") {
		t.Errorf("active %+v", a)
	}
	w.uses("web", 50)
	p.eventually("it is over", func() bool { return len(p.Active(t.Context())) == 0 })
	w.silent()
}

func TestItEndsWithinFiveSecondsWhileAReceiverHangs(t *testing.T) {
	w := newWorld(t)
	reached, release := make(chan struct{}), make(chan struct{})
	hang := serve(t, func(http.ResponseWriter, *http.Request) {
		close(reached)
		<-release
	})
	defer close(release)
	w.write("alertmanager.yml", config(hang))
	p := w.run(w.options())
	w.uses("web", 95)
	<-reached
	p.stop() // complains itself after 5 s
}

// stuck is a store whose answers never come.
type stuck struct {
	storage.Querier
	reached func()
}

func (s stuck) Select(ctx context.Context, _ bool, _ *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	s.reached()
	<-ctx.Done()
	return storage.ErrSeriesSet(ctx.Err())
}

func TestItEndsWithinFiveSecondsWhileAQueryHangs(t *testing.T) {
	w := newWorld(t)
	reached := make(chan struct{})
	once := sync.OnceFunc(func() { close(reached) })
	opts := w.options()
	opts.Queryable = storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
		return stuck{storage.NoopQuerier(), once}, nil
	})
	p := w.run(opts)
	<-reached
	p.stop() // complains itself after 5 s
}

func TestWhatIsWrongAtTheStartIsSaid(t *testing.T) {
	tests := map[string]struct {
		change func(*world, *alerting.Options)
		want   string
	}{
		"no engine": {
			func(_ *world, o *alerting.Options) { o.Engine = nil },
			"needs an engine",
		},
		"no such configuration": {
			func(_ *world, o *alerting.Options) { o.ConfigFile = "none.yml" },
			"none.yml: no such file or directory, name a readable alertmanager.yml",
		},
		"a mistake in a rule": {
			func(w *world, _ *alerting.Options) {
				w.write("rules.yml", "groups: [{name: g, rules: [{alert: A, expr: up(}]}]")
			},
			`rules.yml:1:`,
		},
		"a data directory that is a file": {
			func(w *world, o *alerting.Options) { o.DataDir = w.path("rules.yml") },
			"make it writable or choose another",
		},
		"silences that cannot be read": {
			func(w *world, o *alerting.Options) {
				if err := os.MkdirAll(filepath.Join(o.DataDir, "silences"), 0o777); err != nil {
					w.t.Fatal(err)
				}
			},
			"move it away, but then all silences are gone",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			opts := w.options()
			opts.Registerer = prometheus.NewRegistry()
			tt.change(w, &opts)
			if _, err := alerting.New(opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// What a rule with `for` had waited is in the store, and is not waited for again.
func TestHowLongAnAlertHasBeenPendingOutlivesARestart(t *testing.T) {
	w := newWorld(t)
	w.write("rules.yml", strings.Replace(nearLimit, "        labels:", "        for: 29m\n        labels:", 1))
	// As a process has left it that evaluated for half an hour and ended a minute ago.
	app := w.db.Appender(t.Context())
	since, ended := time.Now().Add(-31*time.Minute), time.Now().Add(-time.Minute)
	pending := labels.FromStrings("__name__", "ALERTS_FOR_STATE", "alertname", "NearLimit", "severity", "warning",
		"id", "/docker/web", "name", "web", "image", "nginx", "node", "n1", "job", "cadvisor")
	if _, err := app.Append(0, pending, ended.UnixMilli(), float64(since.Unix())); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	w.uses("web", 95)
	w.uses("new", 95)
	w.run(w.options())
	if m := w.next(); m.CommonLabels["name"] != "web" {
		t.Errorf("told of %v, want of the container that had waited long enough", m.CommonLabels)
	}
	w.silent()
}

package web_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/collector/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Now().Truncate(time.Second)

// world is what a page is made of in a test: a real store and a real inventory.
type world struct {
	t     *testing.T
	store *store.Store
	app   storage.AppenderV2
	opts  web.Options
	inv   *inventory.Inventory
}

// asks queries a store.
func asks(s *store.Store, opts query.EngineOptions) func(context.Context, string, time.Time, time.Duration) ([]query.Sample, error) {
	engine := query.NewEngine(opts)
	return func(ctx context.Context, promql string, at time.Time, lookback time.Duration) ([]query.Sample, error) {
		return query.Instant(ctx, engine, s, promql, at, lookback)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	inv := inventory.New(inventory.Options{})
	return &world{t: t, store: s, app: s.AppenderV2(context.Background()), inv: inv, opts: web.Options{
		Query: asks(s, query.EngineOptions{}), Inventory: inv, Now: func() time.Time { return now }, Version: "1.2.3",
	}}
}

// put stores value(second) for each of the 40 seconds that end age before now.
func (w *world) put(age time.Duration, value func(second float64) float64, name string, pairs ...string) {
	w.t.Helper()
	l := labels.FromStrings(append([]string{"__name__", name}, pairs...)...)
	for second := range 41 {
		at := now.Add(time.Duration(second-40)*time.Second - age).UnixMilli()
		if _, err := w.app.Append(0, l, 0, at, value(float64(second)), nil, nil, storage.AOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func always(v float64) func(float64) float64  { return func(float64) float64 { return v } }
func rising(by float64) func(float64) float64 { return func(s float64) float64 { return by * s } }

func (w *world) page() http.Handler {
	w.t.Helper()
	if err := w.app.Commit(); err != nil {
		w.t.Fatal(err)
	}
	p, err := web.New(w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

var (
	tableRow  = regexp.MustCompile(`(?s)<tr.*?</tr>`)
	tableCell = regexp.MustCompile(`(?s)<t[hd][^>]*>(.*?)</t[hd]>`)
	tag       = regexp.MustCompile(`<[^>]*>`)
)

// row returns the cells of the row with that first cell, as people read them.
func row(t *testing.T, page, first string) []string {
	t.Helper()
	for _, r := range tableRow.FindAllString(page, -1) {
		var cells []string
		for _, c := range tableCell.FindAllStringSubmatch(r, -1) {
			text := html.UnescapeString(tag.ReplaceAllString(c[1], ""))
			cells = append(cells, strings.Join(strings.Fields(text), " "))
		}
		if cells[0] == first {
			return cells
		}
	}
	t.Fatalf("no row %q in\n%s", first, page)
	return nil
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestThePageIsTrue(t *testing.T) {
	w := newWorld(t)
	w.inv.NodeSeen("n1", "0.1.0", now.Add(-time.Second))
	for _, cpu := range []string{"0", "1"} {
		w.put(0, rising(0.75), "node_cpu_seconds_total", "node", "n1", "cpu", cpu, "mode", "idle")
		w.put(0, rising(0.25), "node_cpu_seconds_total", "node", "n1", "cpu", cpu, "mode", "user")
	}
	w.put(0, always(8<<30), "node_memory_MemTotal_bytes", "node", "n1")
	w.put(0, always(2<<30), "node_memory_MemAvailable_bytes", "node", "n1")
	whole := []string{"node", "n1", "id", "/"}
	w.put(0, rising(1), "container_cpu_usage_seconds_total", whole...)

	full := []string{"node", "n1", "id", "/docker/aaa", "name", "web", "image", "nginx:1"}
	w.put(0, rising(0.2), "container_cpu_usage_seconds_total", append(full, "cpu", "total")...)
	w.put(0, always(50_000), "container_spec_cpu_quota", full...)
	w.put(0, always(100_000), "container_spec_cpu_period", full...)
	w.put(0, rising(10), "container_cpu_cfs_periods_total", full...)
	w.put(0, rising(3), "container_cpu_cfs_throttled_periods_total", full...)
	w.put(0, always(96<<20), "container_memory_working_set_bytes", full...)
	w.put(0, always(128<<20), "container_spec_memory_limit_bytes", full...)
	w.put(0, always(float64(now.Add(-90*time.Minute).Unix())), "container_start_time_seconds", full...)

	free := []string{"node", "n1", "id", "/docker/bbb", "name", "free", "image", "redis:7"}
	w.put(0, rising(1.5), "container_cpu_usage_seconds_total", append(free, "cpu", "total")...)
	w.put(0, always(-1), "container_spec_cpu_quota", free...)
	w.put(0, always(1<<20), "container_memory_working_set_bytes", free...)
	w.put(0, always(0), "container_spec_memory_limit_bytes", free...)

	w.put(0, always(0), "container_cpu_usage_seconds_total", "node", "n1", "id", "/system.slice/docker-ccc.scope", "cpu", "total")

	page := get(w.page(), "/").Body.String()
	same(t, row(t, page, "n1"), "n1", "up", "25.0 %", "2", "6.00 GiB 75.0 %", "8.00 GiB", "3", "0.1.0", "1 s ago")
	same(t, row(t, page, "web"), "web", "n1", "nginx:1", "0.20", "40.0 %", "30.0 %", "96.0 MiB", "75.0 %", "1 h 30 min ago")
	same(t, row(t, page, "free"), "free", "n1", "redis:7", "1.50", "no limit", "–", "1.00 MiB", "no limit", "–")
	// Nothing but its CPU time is known of the third; that is not zero memory.
	same(t, row(t, page, "docker-ccc.scope"), "docker-ccc.scope", "n1", "–", "0.00", "–", "–", "–", "–", "–")
	if strings.Index(page, ">free<") > strings.Index(page, ">web<") {
		t.Error("the busiest container does not come first")
	}
}

func TestWhatIsOldIsShownAsOld(t *testing.T) {
	w := newWorld(t)
	w.inv.NodeSeen("n1", "0.1.0", now)
	w.inv.NodeSeen("n2", "0.1.0", now.Add(-34*time.Second))
	w.inv.NodeLost("n2", now.Add(-20*time.Second))
	old := []string{"node", "n2", "id", "/docker/aaa", "name", "web"}
	w.put(34*time.Second, rising(0.2), "container_cpu_usage_seconds_total", old...)
	w.put(34*time.Second, always(96<<20), "container_memory_working_set_bytes", old...)
	w.put(0, rising(0.2), "container_cpu_usage_seconds_total", "node", "n1", "id", "/docker/bbb", "name", "db")

	page := get(w.page(), "/").Body.String()
	same(t, row(t, page, "n2"), "n2", "lost", "–", "–", "–", "–", "1", "0.1.0", "34 s ago")
	// A rate needs fresh samples; the memory is the last that was heard of.
	same(t, row(t, page, "web 34 s old"), "web 34 s old", "n2", "–", "–", "–", "–", "96.0 MiB", "–", "–")
	if n := strings.Count(page, `<tr class="stale">`); n != 2 {
		t.Errorf("%d rows are marked stale, want the node and its container", n)
	}
}

func TestANodeThatOnlyTheStoreKnowsIsListed(t *testing.T) {
	w := newWorld(t)
	w.put(0, always(8<<30), "node_memory_MemTotal_bytes", "node", "n9")
	same(t, row(t, get(w.page(), "/").Body.String(), "n9"), "n9", "not connected", "–", "–", "–", "8.00 GiB", "0", "–", "–")
}

func TestNamesAreNothingButText(t *testing.T) {
	const attack = `<img src=x onerror=alert(1)>`
	w := newWorld(t)
	w.inv.NodeSeen(attack, `"'><script>alert(2)</script>`, now)
	w.inv.Event(attack, now, attack, attack, "</td><script>alert(3)</script>")
	w.opts.Alerting = &people{alerts: []web.Alert{{Name: attack, Severity: attack, Summary: attack}}}
	w.opts.Decisions = func() []web.Decision {
		return []web.Decision{{Policy: attack, Mode: attack, From: attack, To: attack, Why: attack}}
	}
	for i, name := range []string{attack, `" onmouseover="alert(4)`, "a\u202egnp.exe", "new\nline\x1b[31m", "bad\xffutf8", strings.Repeat("long", 100)} {
		// The TSDB takes any bytes in a label; the gate in front of it may not.
		w.put(0, rising(1), "container_cpu_usage_seconds_total", "node", attack, "id", fmt.Sprint(`/"onload="alert(5)`, i), "name", name, "image", attack)
	}
	page := get(w.page(), "/").Body.String()
	if found := regexp.MustCompile(`(?i)<img|<script>|[" ]on\w+="`).FindString(page); found != "" {
		t.Errorf("%q went through:\n%s", found, page)
	}
	for _, want := range []string{
		"&lt;img src=x onerror=alert(1)&gt;", `a\u202egnp.exe`, `new\nline\x1b[31m`, `bad\xffutf8`, strings.Repeat("long", 50) + "…",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page does not show %s", want)
		}
	}
}

func TestTheFragmentIsThePartThatChanges(t *testing.T) {
	w := newWorld(t)
	w.inv.NodeSeen("n1", "0.1.0", now)
	p := w.page()
	whole, part := get(p, "/").Body.String(), get(p, "/?fragment").Body.String()
	if !strings.Contains(whole, part) || strings.Contains(part, "<html") || !strings.Contains(part, "n1") {
		t.Errorf("fragment:\n%s", part)
	}
}

func TestHeaders(t *testing.T) {
	p := newWorld(t).page()
	for _, path := range []string{"/", "/?fragment", "/graph?g0.expr=up", "/assets/page.js", "/assets/page.css"} {
		r := get(p, path)
		csp := r.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
			if r.Code != http.StatusOK || !strings.Contains(csp, want) {
				t.Errorf("%s: %d, policy %q lacks %s", path, r.Code, csp, want)
			}
		}
	}
	// What the policy would not let run must not be needed.
	for _, path := range []string{"/", "/graph?g0.expr=up"} {
		if page := get(p, path).Body.String(); regexp.MustCompile(`(?i) style=|<style|<script>|javascript:|https?://`).MatchString(page) {
			t.Errorf("%s has inline code, inline style or something from elsewhere", path)
		}
	}
}

func TestWhatThePageDoesNotServe(t *testing.T) {
	p := newWorld(t).page()
	for _, path := range []string{"/nosuch", "/assets/", "/assets/page.html", "/assets/../web.go", "/static/page.js"} {
		if code := get(p, path).Code; code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", w.Code)
	}
}

func TestAFailedQueryIsSaidOnThePage(t *testing.T) {
	w := newWorld(t)
	w.put(0, always(1<<20), "container_memory_working_set_bytes", "node", "n1", "id", "/docker/aaa", "name", "web")
	w.put(0, rising(1), "container_cpu_usage_seconds_total", "node", "n1", "id", "/docker/aaa", "name", "web")
	w.opts.Query = asks(w.store, query.EngineOptions{MaxSamples: 5}) // too few for a rate
	page := get(w.page(), "/").Body.String()
	if !strings.Contains(page, "Not all could be read") || !strings.Contains(page, "too many samples") {
		t.Error("the page keeps the failure to itself")
	}
	same(t, row(t, page, "web"), "web", "n1", "–", "–", "–", "–", "1.00 MiB", "–", "–")
}

func TestAlertsAndDecisions(t *testing.T) {
	w := newWorld(t)
	w.opts.Alerting = &people{alerts: []web.Alert{
		{Name: "ContainerMemoryNearLimit", Severity: "warning", Since: now.Add(-time.Minute), Summary: "web uses 95 % of its memory"},
		{Name: "AgentDown", Severity: "critical", Since: now.Add(-time.Hour), Summary: "n2 is silent", Muted: true},
	}}
	w.opts.Decisions = func() []web.Decision {
		return []web.Decision{
			{Policy: "web", Mode: "advise", At: now.Add(-5 * time.Second), From: "1", To: "3", Why: "cpu 0.91, held at 0.50"},
			{Policy: "db", Mode: "active", At: now, From: "2", To: "2", Why: "steady"},
			{Policy: "new", Mode: "advise"},
		}
	}
	page := get(w.page(), "/").Body.String()
	same(t, row(t, page, "warning"), "warning", "ContainerMemoryNearLimit", "1 min 0 s ago", "web uses 95 % of its memory")
	same(t, row(t, page, "critical muted"), "critical muted", "AgentDown", "1 h 0 min ago", "n2 is silent")
	same(t, row(t, page, "web"), "web", "advise", "1 → 3", "5 s ago", "cpu 0.91, held at 0.50")
	same(t, row(t, page, "db"), "db", "active", "2", "0 s ago", "steady")
	same(t, row(t, page, "new"), "new", "advise", "–", "–", "")

	bare := newWorld(t)
	if page := get(bare.page(), "/").Body.String(); strings.Contains(page, "Alerts") || strings.Contains(page, "Scaling") {
		t.Error("sections without a source are shown")
	}
}

func TestALongListIsCutAndSaysSo(t *testing.T) {
	w := newWorld(t)
	for i := range 503 {
		l := labels.FromStrings("__name__", "container_memory_working_set_bytes", "node", "n1", "id", fmt.Sprint("/docker/", i))
		if _, err := w.app.Append(0, l, 0, now.UnixMilli(), 1, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	page := get(w.page(), "/").Body.String()
	if !strings.Contains(page, "500 of the busiest, 3 more") {
		t.Error("it does not say that three are missing")
	}
	if same := row(t, page, "n1"); same[6] != "503" {
		t.Errorf("the node has %s containers, want all counted", same[6])
	}
}

package alerting_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/alerting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	evaluation    = 100 * time.Millisecond
	groupInterval = 200 * time.Millisecond
	patience      = time.Minute // how long to wait for what must come
)

// nearLimit is a rule that fires as soon as it sees its threshold crossed.
const nearLimit = `groups:
  - name: test
    rules:
      - alert: NearLimit
        expr: container_memory_working_set_bytes / container_spec_memory_limit_bytes > 0.9
        labels: {severity: warning}
        annotations:
          summary: '{{ $labels.name }} uses {{ $value | humanizePercentage }}'
`

// config is an alertmanager.yml that tells a webhook without delay.
func config(hook string) string {
	return fmt.Sprintf(`route:
  receiver: hook
  group_by: [alertname, node, name]
  group_wait: 0s
  group_interval: %v
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs: [{url: %q}]
inhibit_rules:
  - source_matchers: [alertname = AgentDown]
    target_matchers: [alertname != AgentDown]
    equal: [node]
`, groupInterval, hook)
}

// world is a store on disk, people behind a webhook, and files.
type world struct {
	t       *testing.T
	dir     string
	db      *tsdb.DB
	engine  *promql.Engine
	hook    string
	arrived chan message
}

// message is what Alertmanager's webhook sends.
type message struct {
	Version         string            `json:"version"`
	GroupKey        string            `json:"groupKey"`
	TruncatedAlerts int               `json:"truncatedAlerts"`
	Status          string            `json:"status"`
	Receiver        string            `json:"receiver"`
	GroupLabels     map[string]string `json:"groupLabels"`
	CommonLabels    map[string]string `json:"commonLabels"`
	ExternalURL     string            `json:"externalURL"`
	Alerts          []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := openWorld(t, t.TempDir())
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m message
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			t.Errorf("webhook got %q: %v", body, err)
		}
		w.arrived <- m
	}))
	t.Cleanup(hook.Close)
	w.hook = hook.URL
	w.write("alertmanager.yml", config(w.hook))
	w.write("rules.yml", nearLimit)
	return w
}

// openWorld is the store in a directory, and nobody to tell.
func openWorld(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{t: t, dir: dir, arrived: make(chan message, 100)}
	var err error
	if w.db, err = tsdb.Open(filepath.Join(w.dir, "tsdb"), nil, nil, tsdb.DefaultOptions(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{}),
	})
	t.Cleanup(func() {
		if err := w.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o666); err != nil {
		w.t.Fatal(err)
	}
}

// uses makes a container use that much of a limit of 100 bytes from now on.
func (w *world) uses(name string, bytes float64) {
	w.t.Helper()
	w.sample("container_memory_working_set_bytes", name, bytes)
	w.sample("container_spec_memory_limit_bytes", name, 100)
}

func (w *world) sample(metric, container string, value float64) {
	w.t.Helper()
	app := w.db.Appender(w.t.Context())
	series := labels.FromStrings("__name__", metric, "id", "/docker/"+container, "name", container, "image", "nginx", "node", "n1", "job", "cadvisor")
	if _, err := app.Append(0, series, time.Now().UnixMilli(), value); err != nil {
		w.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options() alerting.Options {
	return alerting.Options{
		Engine:             w.engine,
		Queryable:          w.db,
		Appendable:         w.db,
		ConfigFile:         w.path("alertmanager.yml"),
		RuleFiles:          []string{w.path("*rules.yml")},
		EvaluationInterval: evaluation,
		DataDir:            w.path("alerting"),
		ExternalURL:        &url.URL{Scheme: "http", Host: "plimsoll.example:9900"},
		Registerer:         prometheus.NewRegistry(),
	}
}

// process is an Alerting that runs.
type process struct {
	*alerting.Alerting
	t    *testing.T
	reg  *prometheus.Registry
	api  string // URL below which /api/v2 is
	stop func()
}

func (w *world) run(opts alerting.Options) *process {
	w.t.Helper()
	a, err := alerting.New(opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.start(a, opts)
}

func (w *world) start(a *alerting.Alerting, opts alerting.Options) *process {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	server := httptest.NewServer(a.Handler())
	p := &process{Alerting: a, t: w.t, reg: opts.Registerer.(*prometheus.Registry), api: server.URL}
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		server.Close()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				w.t.Error(err)
			}
		case <-time.After(patience):
			w.t.Error("alerting does not end")
		}
	}
	w.t.Cleanup(p.stop)
	p.eventually("the API answers", func() bool { return p.get("/api/v2/status") == http.StatusOK })
	return p
}

func (p *process) get(path string) int {
	p.t.Helper()
	r, err := http.Get(p.api + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}

// metric is the sum of all series of a metric whose labels include some: of a
// summary, how often something was observed.
func (p *process) metric(name string, with ...string) float64 {
	p.t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(with); i += 2 {
				if have[with[i]] != with[i+1] {
					continue series
				}
			}
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() + float64(m.GetSummary().GetSampleCount())
		}
	}
	return sum
}

// eventually waits until something is so.
func (p *process) eventually(what string, is func() bool) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// evaluations counts those of groups that have ended.
// prometheus_rule_group_iterations_total would also count those that have only
// begun, and those that were missed as one before them took long.
const evaluations = "prometheus_rule_group_duration_seconds"

// evaluates waits until n evaluations more have ended.
func (p *process) evaluates(n float64) {
	p.t.Helper()
	until := p.metric(evaluations) + n
	p.eventually("rules are evaluated", func() bool { return p.metric(evaluations) >= until })
}

// next waits for a message.
func (w *world) next() message {
	w.t.Helper()
	select {
	case m := <-w.arrived:
		return m
	case <-time.After(patience):
		w.t.Fatalf("no message within %v", patience)
		return message{}
	}
}

// silent fails if a message came that nobody waited for.
func (w *world) silent() {
	w.t.Helper()
	select {
	case m := <-w.arrived:
		w.t.Fatalf("a message too many: %+v", m)
	default:
	}
}

// serve is the URL of a server that answers with f.
func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

// record is what a handler answers to a request.
func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

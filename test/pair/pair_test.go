// Package pair_test has two alertings beside each other, with the line between
// them that two collectors have: gRPC over TLS, each end with an authority of its
// own.
package pair_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/collector/identity"
	"github.com/plimsoll-io/plimsoll/collector/pair"
	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
	"github.com/plimsoll-io/plimsoll/internal/testkit/road"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long to wait for what must come.
const patience = time.Minute

const secret = "0123456789abcdef0123456789abcdef"

const rules = `groups:
  - name: test
    rules:
      - {alert: High, expr: 'load > 10'}
      - {alert: Own, expr: 'own > 10'}
`

// told is an alert in a message, and who sent it.
type told struct{ by, status, name string }

func (t told) String() string { return t.by + " " + t.status + " " + t.name }

// world is what both see, and the people that either tells.
type world struct {
	t      *testing.T
	dir    string
	engine *promql.Engine

	mu      sync.Mutex
	arrived []told
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	t.Cleanup(func() {
		if err := w.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) count(what ...told) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, got := range w.arrived {
		for _, want := range what {
			if got.status == want.status && got.name == want.name && (want.by == "" || want.by == got.by) {
				n++
			}
		}
	}
	return n
}

func (w *world) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.arrived)
}

// eventually waits until something is so and returns how long that took.
func (w *world) eventually(what string, is func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		<-tick.C
		if time.Since(began) > patience {
			w.t.Fatalf("not within %v: %s; told: %v", patience, what, w.all())
		}
	}
	return time.Since(began)
}

// member is one of the pair. It has a store of its own, as collectors do.
type member struct {
	w     *world
	name  string
	db    *tsdb.DB
	leads atomic.Bool
	grpc  string     // address
	road  *road.Road // by which the other reaches it
	api   string
	reg   *prometheus.Registry
	stop  func() // at once, as if killed: nothing is said to the other
}

// prepare reserves an address, so that the other can be told of it.
func (w *world) prepare(name string) *member {
	w.t.Helper()
	m := &member{w: w, name: name, grpc: port.Free(w.t)}
	m.road = road.New(w.t, m.grpc)
	db, err := tsdb.Open(filepath.Join(w.dir, name, "tsdb"), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	m.db = db
	w.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return m
}

// start runs the member until stop is called or the test ends.
func (m *member) start(other *member) {
	t := m.w.t
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(m.hear))
	write := func(name, text string) string {
		file := filepath.Join(m.w.dir, m.name, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	m.reg = prometheus.NewRegistry()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	a, err := alerting.New(alerting.Options{
		Engine: m.w.engine, Queryable: m.db, Appendable: m.db,
		ConfigFile: write("alertmanager.yml", fmt.Sprintf(`route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: %q}]}]
`, hook.URL)),
		RuleFiles: []string{write("rules.yml", rules)}, EvaluationInterval: 200 * time.Millisecond,
		DataDir:     filepath.Join(m.w.dir, m.name, "alerting"),
		ExternalURL: &url.URL{Scheme: "http", Host: m.name + ":9900"}, Registerer: m.reg, Log: log,
		Pair: &alerting.PairOptions{Name: m.name, Leads: m.leads.Load},
	})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := identity.Open(identity.Options{
		Dir: filepath.Join(m.w.dir, m.name, "ca"), Names: []string{"localhost"}, Advertise: m.grpc, Socket: filepath.Join(t.TempDir(), "s"),
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := pair.New(pair.Options{
		Name: m.name, Peer: other.road.Address, Secret: []byte(secret), TLS: true, Bind: identity.Bind, Admitted: identity.Admit,
		Talk:  func(ctx context.Context, peer string, tube pair.Tube) error { return a.Talk(ctx, peer, tube) },
		Retry: 200 * time.Millisecond, Registerer: m.reg, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(authority.ServerOptions()...)
	p.Register(server)
	l, err := net.Listen("tcp", m.grpc)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(a.Handler())
	m.api = web.URL
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, run := range []func() error{
		func() error { return a.Run(ctx) },
		func() error { return p.Run(ctx) },
		func() error { return server.Serve(l) },
	} {
		running.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	m.stop = sync.OnceFunc(func() {
		server.Stop()
		cancel()
		running.Wait()
		web.Close()
		hook.Close()
		if err := authority.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { m.stop() })
	m.w.eventually(m.name+" answers", func() bool {
		r, err := http.Get(m.api + "/api/v2/status")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func (m *member) hear(_ http.ResponseWriter, r *http.Request) {
	var message struct {
		Alerts []struct {
			Status string
			Labels map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		m.w.t.Error(err)
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	for _, a := range message.Alerts {
		m.w.arrived = append(m.w.arrived, told{m.name, a.Status, a.Labels["name"]})
	}
}

// metric is the sum of a metric's series.
func (m *member) metric(name string) (sum float64) {
	m.w.t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		m.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, s := range f.GetMetric() {
				sum += s.GetGauge().GetValue() + s.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func (m *member) sees(v float64, series ...string) {
	m.w.t.Helper()
	app := m.db.Appender(m.w.t.Context())
	if _, err := app.Append(0, labels.FromStrings(series...), time.Now().UnixMilli(), v); err != nil {
		m.w.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		m.w.t.Fatal(err)
	}
}

func (m *member) connected() bool { return m.metric("plimsoll_alerting_peer_connected") > 0 }

// settle waits until so many rounds of rules are over that whoever waits for its
// turn had it, and what would be told has been.
func (w *world) settle(of ...*member) {
	w.t.Helper()
	const rounds = "prometheus_rule_group_iterations_total"
	until := map[*member]float64{}
	for _, m := range of {
		until[m] = m.metric(rounds) + 40
	}
	w.eventually("rules are evaluated", func() bool {
		return !slices.ContainsFunc(of, func(m *member) bool { return m.metric(rounds) < until[m] })
	})
}

// silence mutes all alerts of a name.
func (m *member) silence(name string) {
	m.w.t.Helper()
	body, err := json.Marshal(map[string]any{
		"matchers": []map[string]any{{"name": "name", "value": name, "isRegex": false, "isEqual": true}},
		"startsAt": time.Now().UTC(), "endsAt": time.Now().Add(time.Hour).UTC(),
		"createdBy": "test", "comment": m.name + " " + name,
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
	r, err := http.Post(m.api+"/api/v2/silences", "application/json", bytes.NewReader(body))
	if err != nil {
		m.w.t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(r.Body)
		m.w.t.Fatalf("%s: %s", r.Status, text)
	}
}

// silences are the comments of those there are.
func (m *member) silences() string {
	m.w.t.Helper()
	r, err := http.Get(m.api + "/api/v2/silences")
	if err != nil {
		m.w.t.Fatal(err)
	}
	defer r.Body.Close()
	var list []struct{ Comment string }
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		m.w.t.Fatal(err)
	}
	var all []string
	for _, s := range list {
		all = append(all, s.Comment)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// both starts a pair and waits until the two talk.
func both(t *testing.T) (w *world, a, b *member) {
	t.Helper()
	t.Parallel()
	w = newWorld(t)
	a, b = w.prepare("a"), w.prepare("b")
	a.start(b)
	b.start(a)
	w.eventually("they talk", func() bool {
		return a.metric("plimsoll_pair_lines") == 2 && b.metric("plimsoll_pair_lines") == 2 && a.connected() && b.connected()
	})
	return w, a, b
}

// load is what both see of something.
func load(v float64, name string, by ...*member) {
	for _, m := range by {
		m.sees(v, "__name__", "load", "name", name)
	}
}

func TestAnAlertThatBothSeeIsToldOnceAndByTheOneThatLeads(t *testing.T) {
	w, a, b := both(t)
	once := func(status, name, by string) {
		t.Helper()
		w.eventually(status+" "+name+" is told", func() bool { return w.count(told{status: status, name: name}) > 0 })
		w.settle(a, b)
		if n, right := w.count(told{status: status, name: name}), w.count(told{by, status, name}); n != 1 || right != 1 {
			t.Fatalf("%s %s was told %d times, by %s %d times: %s", status, name, n, by, right, w.all())
		}
	}
	load(20, "one", a, b)
	once("firing", "one", "a") // the first by name
	load(5, "one", a, b)
	once("resolved", "one", "a")
	b.leads.Store(true)
	w.settle(a, b) // a has heard of it by then
	load(20, "two", a, b)
	once("firing", "two", "b")
	load(5, "two", a, b)
	once("resolved", "two", "b")
}

func TestWhatOneIsKilledBeforeTellingTheOtherTells(t *testing.T) {
	w, a, b := both(t)
	load(20, "old", a, b)
	w.eventually("it is told", func() bool { return w.count(told{"a", "firing", "old"}) == 1 })
	w.settle(a, b)
	a.road.Cut()
	b.road.Cut()
	a.stop()
	load(20, "new", b)
	took := w.eventually("the other tells", func() bool { return w.count(told{"b", "firing", "new"}) == 1 })
	t.Logf("what fires when one was just killed is told %v later", took.Round(10*time.Millisecond))
	w.settle(b)
	if n := w.count(told{"b", "firing", "new"}); n != 1 {
		t.Errorf("it is told %d times", n)
	}
}

func TestASilenceMadeOnOneIsOnTheOther(t *testing.T) {
	w, a, b := both(t)
	a.silence("one")
	took := w.eventually("it is on the other", func() bool { return b.silences() == "a one" })
	t.Logf("a silence is on the other %v after it was made", took.Round(10*time.Millisecond))
	load(20, "one", a, b)
	load(20, "two", a, b)
	w.eventually("what is not silenced is told", func() bool { return w.count(told{status: "firing", name: "two"}) == 1 })
	w.settle(a, b)
	if n := w.count(told{status: "firing", name: "one"}); n != 0 {
		t.Errorf("what is silenced is told %d times", n)
	}
}

func TestPartedTheyBothTellAndTogetherTheyKnowAllOfBoth(t *testing.T) {
	w, a, b := both(t)
	a.road.Cut()
	b.road.Cut()
	w.eventually("they do not hear each other", func() bool { return !a.connected() && !b.connected() })
	load(20, "one", a, b)
	w.eventually("both tell", func() bool {
		return w.count(told{"a", "firing", "one"}) == 1 && w.count(told{"b", "firing", "one"}) == 1
	})
	a.silence("x")
	b.silence("y")
	a.road.Mend()
	b.road.Mend()
	took := w.eventually("both know both silences", func() bool { return a.silences() == "a x, b y" && b.silences() == "a x, b y" })
	t.Logf("all is on both %v after they hear each other again", took.Round(10*time.Millisecond))
	load(20, "two", a, b)
	w.eventually("what comes then is told", func() bool { return w.count(told{status: "firing", name: "two"}) > 0 })
	w.settle(a, b)
	if n := w.count(told{status: "firing", name: "two"}); n != 1 {
		t.Errorf("what comes then is told %d times: %s", n, w.all())
	}
}

func TestOneThatComesBackDoesNotTellAgainWhatTheOtherTold(t *testing.T) {
	w, a, b := both(t)
	a.stop()
	load(20, "one", a, b)
	w.eventually("the other tells", func() bool { return w.count(told{"b", "firing", "one"}) == 1 })
	load(20, "one", a, b)
	a.start(b)
	w.eventually("they talk", func() bool { return a.connected() && b.connected() })
	w.settle(a, b)
	if n := w.count(told{status: "firing", name: "one"}); n != 1 {
		t.Errorf("it is told %d times: %s", n, w.all())
	}
}

// What it sees at first is of before it was away.
func TestWhatEndedWhileOneWasAwayIsNotToldToFireByIt(t *testing.T) {
	w, a, b := both(t)
	load(20, "one", a, b)
	w.eventually("it is told", func() bool { return w.count(told{status: "firing", name: "one"}) == 1 })
	w.settle(a, b)
	b.stop()
	load(5, "one", a)
	w.eventually("its end is told", func() bool { return w.count(told{status: "resolved", name: "one"}) == 1 })
	b.start(a)
	w.eventually("they talk", func() bool { return a.connected() && b.connected() })
	w.settle(a, b)
	load(5, "one", b)
	w.settle(a, b)
	if w.count(told{status: "firing", name: "one"}) != 1 || w.count(told{status: "resolved", name: "one"}) != 1 {
		t.Fatalf("told: %s", w.all())
	}
	load(20, "one", a, b)
	w.eventually("that it fires again is told", func() bool { return w.count(told{status: "firing", name: "one"}) == 2 })
}

// Each has an alert about itself, in groups of the same labels.
func TestEachTellsOnceWhatIsAboutItself(t *testing.T) {
	w, a, b := both(t)
	for _, m := range []*member{a, b} {
		m.sees(20, "__name__", "own", "name", m.name, "instance", m.name+":9900")
	}
	w.eventually("both tell", func() bool {
		return w.count(told{"a", "firing", "a"}) > 0 && w.count(told{"b", "firing", "b"}) > 0
	})
	w.settle(a, b)
	w.settle(a, b)
	if w.count(told{"a", "firing", "a"}) != 1 || w.count(told{"b", "firing", "b"}) != 1 {
		t.Errorf("told: %s", w.all())
	}
}

package inventory_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a store that agents have written to, and an inventory that reads it.
type fleet struct {
	t     *testing.T
	store *store.Store
	now   time.Time
	opts  inventory.Options
	inv   *inventory.Inventory
	away  bool // the store does not answer
}

func newFleet(t *testing.T, opts inventory.Options) *fleet {
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
	f := &fleet{t: t, store: s, now: time.Now().Add(-2 * time.Hour).Truncate(time.Minute), opts: opts}
	engine := query.NewEngine(query.EngineOptions{})
	f.opts.Now = func() time.Time { return f.now }
	f.opts.Query = func(ctx context.Context, promql string, at time.Time) ([]query.Sample, error) {
		if f.away {
			return nil, errors.New("the disk is on fire")
		}
		return query.Instant(ctx, engine, s, promql, at, 0)
	}
	f.restart()
	return f
}

// restart is what a restart of the collector does to an inventory.
func (f *fleet) restart() {
	f.opts.Registerer = prometheus.NewRegistry()
	f.inv = inventory.New(f.opts)
}

func (f *fleet) refresh() {
	f.t.Helper()
	if err := f.inv.Refresh(f.t.Context(), f.now); err != nil {
		f.t.Fatal(err)
	}
}

// put stores a sample of now.
func (f *fleet) put(v float64, name string, pairs ...string) {
	f.t.Helper()
	f.putAt(f.now, v, name, pairs...)
}

func (f *fleet) putAt(at time.Time, v float64, name string, pairs ...string) {
	f.t.Helper()
	app := f.store.AppenderV2(context.Background())
	l := labels.FromStrings(append([]string{"__name__", name}, pairs...)...)
	if _, err := app.Append(0, l, 0, at.UnixMilli(), v, nil, nil, storage.AOptions{}); err != nil {
		f.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		f.t.Fatal(err)
	}
}

// end ends a series right behind its last sample.
func (f *fleet) end(name string, pairs ...string) {
	f.t.Helper()
	f.putAt(f.now.Add(time.Millisecond), math.Float64frombits(value.StaleNaN), name, pairs...)
}

// report is what the agent of a node tells of itself.
func (f *fleet) report(node, version string) {
	f.t.Helper()
	f.put(1, "plimsoll_agent_build_info", "node", node, "version", version, "job", "plimsoll-agent")
	f.put(1, "plimsoll_agent_interval_seconds", "node", node, "job", "plimsoll-agent")
}

func (f *fleet) running(node, name string, more ...string) {
	f.t.Helper()
	l := append([]string{"node", node, "id", "/docker/" + name, "name", name, "image", "shop/" + name + ":1"}, more...)
	f.put(float64(f.now.Unix()), "container_last_seen", l...)
	f.put(1, "container_cpu_usage_seconds_total", append(l, "cpu", "total")...)
}

// ended is what an agent writes of a container that has ended.
func (f *fleet) ended(node, name string) {
	f.t.Helper()
	l := []string{"node", node, "id", "/docker/" + name, "name", name, "image", "shop/" + name + ":1"}
	f.end("container_cpu_usage_seconds_total", append(l, "cpu", "total")...)
}

func (f *fleet) pass(d time.Duration) { f.now = f.now.Add(d) }

// seconds lets so many pass, with a node that reports and its containers.
func (f *fleet) seconds(n int, node, version string, containers ...string) {
	f.t.Helper()
	for range n {
		f.pass(time.Second)
		f.report(node, version)
		for _, c := range containers {
			f.running(node, c)
		}
	}
	f.inv.NodeSeen(node, version, f.now)
}

// states are those of the containers by name.
func (f *fleet) states() map[string]inventory.State {
	m := map[string]inventory.State{}
	for _, c := range f.inv.Containers() {
		m[c.Name] = c.State
	}
	return m
}

// answer is what the API says.
type answer struct {
	Status, ErrorType, Error string
	Data                     struct {
		AsOf    *time.Time `json:"as_of"`
		Trouble []string
		Total   int
		LeftOut int `json:"left_out"`
		Items   []map[string]any
	}
}

func (f *fleet) get(path string) (int, answer) {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.inv.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		f.t.Fatalf("%s: %d, %v: %s", path, w.Code, err, w.Body)
	}
	return w.Code, a
}

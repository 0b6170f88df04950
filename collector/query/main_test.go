package query_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	v1 "github.com/prometheus/prometheus/web/api/v1"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is the time of the first test sample.
var start = time.Now().Add(-time.Hour).Truncate(time.Minute)

// newStore holds load{node="a"} and load{node="b"}, a sample a second for five
// minutes, with values 0, 1, 2… and ten times that.
func newStore(t *testing.T, reg prometheus.Registerer) *store.Store {
	t.Helper()
	free := store.Space{Bytes: -1} // whatever the disk of the test has
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Registerer: reg, MinFree: free, Ballast: free})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	app := s.AppenderV2(context.Background())
	for n := range 301 {
		for i, node := range []string{"a", "b"} {
			at := start.Add(time.Duration(n) * time.Second).UnixMilli()
			l := labels.FromStrings("__name__", "load", "node", node)
			v := float64(n) * []float64{1, 10}[i]
			if _, err := app.Append(0, l, 0, at, v, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return s
}

// options are those of an API over the test samples.
func options(t *testing.T) query.Options {
	t.Helper()
	reg := prometheus.NewRegistry()
	return query.Options{
		Store:     newStore(t, reg),
		Engine:    query.NewEngine(query.EngineOptions{Name: "people", Registerer: reg}),
		Flags:     map[string]string{"storage.path": "data"},
		Build:     v1.PrometheusVersion{Version: "1.2.3"},
		Retention: "15d or 80%",
		Metadata: func() []query.Metric {
			return []query.Metric{
				{Name: "load", Type: "gauge", Help: "How much."},
				{Name: "load", Type: "gauge", Help: "How much."},
				{Name: "load", Type: "gauge", Help: "How much it is."},
				{Name: "work_seconds_total", Type: "counter", Help: "Work.", Unit: "seconds"},
			}
		},
		Registerer: reg, Gatherer: reg,
	}
}

func newAPI(t *testing.T) http.Handler {
	t.Helper()
	return makeAPI(t, options(t))
}

func makeAPI(t *testing.T, opts query.Options) http.Handler {
	t.Helper()
	api, err := query.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

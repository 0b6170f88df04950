//go:build e2e

package differential

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/plimsoll-io/plimsoll/collector"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/receive"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

// ours is a collector's store, API and receiver, without what else there is.
type ours struct {
	store  *store.Store
	url    string
	closed *atomic.Bool // nothing is taken in
	stop   func()
}

func startOurs(t *testing.T, dir string) ours {
	t.Helper()
	registry := prometheus.NewRegistry()
	free := store.Space{Bytes: -1} // whatever the disk of the test has
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Registerer: registry, MinFree: free, Ballast: free})
	if err != nil {
		t.Fatal(err)
	}
	closed := new(atomic.Bool)
	receiver, err := receive.New(receive.Options{Store: s, Registerer: registry, Refuse: func() error {
		if closed.Load() {
			return errors.New("closed for the moment")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	api, err := query.New(query.Options{
		RemoteWrite: receiver.RemoteWrite(), OTLP: receiver.OTLP(),
		Store: s, Engine: query.NewEngine(query.EngineOptions{Name: "people", Registerer: registry}),
		Build: v1.PrometheusVersion{Version: "3.15.0"}, Registerer: registry, Gatherer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(collector.Routes{
		Page: api, Metrics: registry, Ready: func() error { return nil },
		Parts: map[string]http.Handler{query.Prefix + "/": api, query.FederationPath: api},
	}.Handler())
	stop := sync.OnceFunc(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return ours{s, server.URL, closed, stop}
}

// both have the same samples, from start.
func both(t *testing.T) (us ours, peer string, start time.Time) {
	t.Helper()
	promtool := program(t, "promtool")
	start = beginning()
	us = startOurs(t, filepath.Join(t.TempDir(), "ours"))
	fill(t, us.store, start)
	dir := filepath.Join(t.TempDir(), "theirs")
	run(t, promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", writeText(t, t.TempDir(), start), dir)
	// The step of a subquery that names none.
	return us, startPeer(t, dir, "global:\n  evaluation_interval: 15s\n"), start
}

// beginning is the time of the first sample. It lies beside the full minute, or
// the steps of subqueries would meet samples at the edges of ranges.
func beginning() time.Time {
	return time.Now().Add(-2 * span).Truncate(2 * time.Hour).Add(7 * time.Second)
}

// result is an answer to a query.
type result struct {
	Status, ErrorType, Error string
	Data                     struct {
		ResultType string
		Result     json.RawMessage
	}
}

// element is one series of a result.
type element struct {
	Metric map[string]string
	Value  []any   // [time, "value"]
	Values [][]any // the same for each step
}

func ask(t *testing.T, url string) result {
	t.Helper()
	code, body := get(t, url)
	var r result
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%s: %d %s", url, code, body)
	}
	return r
}

func TestQueriesAreAnsweredAsPrometheusDoes(t *testing.T) {
	us, peer, start := both(t)
	asked, compared, empty := 0, 0, 0
	for _, q := range queries(start) {
		for kind, params := range moments(start) {
			params.Set("query", q)
			path := "/api/v1/" + kind + "?" + params.Encode()
			got, want := ask(t, us.url+path), ask(t, peer+path)
			asked++
			if slices.Contains([]string{"[]", ""}, string(want.Data.Result)) {
				empty++
			}
			ordered := kind == "query" && (strings.HasPrefix(q, "sort") || strings.HasPrefix(q, "topk") || strings.HasPrefix(q, "bottomk"))
			if diff := compare(got, want, ordered); diff != "" {
				t.Errorf("%s %s: %s", kind, q, diff)
				continue
			}
			compared++
		}
	}
	t.Logf("%d queries asked, %d with the same answer, %d of them without result", asked, compared, empty)
	if asked < 300 || empty > asked/5 {
		t.Errorf("%d queries, %d without result: too little is compared", asked, empty)
	}
}

// moments are when it is asked. No sample lies on the edge of a range or of the
// lookback, which version 3 counts differently; those are asked below.
func moments(start time.Time) map[string]url.Values {
	at := func(d time.Duration) string {
		return strconv.FormatFloat(float64(start.Add(d).UnixMilli()+300)/1000, 'f', 3, 64)
	}
	return map[string]url.Values{
		"query":       {"time": {at(3*time.Hour + 7*time.Second)}},
		"query_range": {"start": {at(90*time.Minute + 7*time.Second)}, "end": {at(4*time.Hour + 7*time.Second)}, "step": {"487"}},
	}
}

// What is different in version 2, as version 3 has it in its changelog. A row that
// no longer differs fails, so that the list stays true; and with a version 3
// nothing may differ.
func TestKnownDifferences(t *testing.T) {
	us, peer, start := both(t)
	_, version := get(t, peer+"/api/v1/status/buildinfo")
	differs := strings.Contains(string(version), `"version":"2.`)
	sample := start.Add(3 * time.Hour)
	minute := sample.Truncate(time.Minute)
	for q, why := range map[string]string{
		`count_over_time(build_info[1m])`:                "a range no longer includes its older edge: 4 samples, not 5",
		`sum(increase(http_requests_total[1m]))`:         "the same, seen in what is extrapolated",
		`count_over_time(build_info[5m:1m])`:             "a subquery no longer includes its older edge: 5 steps, not 6",
		`temperature_celsius atan2 12.5`:                 "an operation drops the name, this one too",
		`holt_winters(temperature_celsius[5m], 0.5, .5)`: "it is called double_exponential_smoothing, and experimental",
	} {
		at := sample
		if strings.Contains(q, ":") {
			at = minute // a step of the subquery lies on its edge
		}
		path := "/api/v1/query?" + url.Values{"query": {q}, "time": {fmt.Sprint(at.Unix())}}.Encode()
		if diff := compare(ask(t, us.url+path), ask(t, peer+path), false); (diff != "") != differs {
			t.Errorf("%s: difference %q (%s)", q, diff, why)
		}
	}
}

// compare tells what is different, "" if nothing is.
func compare(got, want result, ordered bool) string {
	switch {
	case got.Status != want.Status || got.ErrorType != want.ErrorType:
		return fmt.Sprintf("%s %s %s, want %s %s %s", got.Status, got.ErrorType, got.Error, want.Status, want.ErrorType, want.Error)
	case got.Status == "error":
		return ""
	case got.Data.ResultType != want.Data.ResultType:
		return fmt.Sprintf("a %s, want a %s", got.Data.ResultType, want.Data.ResultType)
	case want.Data.ResultType == "scalar" || want.Data.ResultType == "string":
		return compareOne(got.Data.Result, want.Data.Result)
	}
	var have, wanted []element
	if err := json.Unmarshal(got.Data.Result, &have); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(want.Data.Result, &wanted); err != nil {
		return err.Error()
	}
	if len(have) != len(wanted) {
		return fmt.Sprintf("%d series, want %d:\n%s\n%s", len(have), len(wanted), got.Data.Result, want.Data.Result)
	}
	if !ordered {
		byLabels := func(a, b element) int { return strings.Compare(fmt.Sprint(a.Metric), fmt.Sprint(b.Metric)) }
		slices.SortFunc(have, byLabels)
		slices.SortFunc(wanted, byLabels)
	}
	for i := range wanted {
		if diff := have[i].compare(wanted[i]); diff != "" {
			return diff
		}
	}
	return ""
}

func compareOne(got, want json.RawMessage) string {
	var a, b []any
	if err := json.Unmarshal(got, &a); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(want, &b); err != nil {
		return err.Error()
	}
	if !same(a, b) {
		return fmt.Sprintf("%v, want %v", a, b)
	}
	return ""
}

func (e element) compare(want element) string {
	if fmt.Sprint(e.Metric) != fmt.Sprint(want.Metric) {
		return fmt.Sprintf("series %v, want %v", e.Metric, want.Metric)
	}
	got, wanted := append(e.Values, e.Value), append(want.Values, want.Value)
	if len(got) != len(wanted) {
		return fmt.Sprintf("%v has %d values, want %d", e.Metric, len(got), len(wanted))
	}
	for i := range wanted {
		if !same(got[i], wanted[i]) {
			return fmt.Sprintf("%v has %v, want %v", e.Metric, got[i], wanted[i])
		}
	}
	return ""
}

// same tells whether two samples are, but for how sums are rounded: version 3
// sums with less error.
func same(a, b []any) bool {
	if len(a) != len(b) || len(a) == 0 {
		return len(a) == len(b)
	}
	v, err1 := strconv.ParseFloat(a[1].(string), 64)
	w, err2 := strconv.ParseFloat(b[1].(string), 64)
	if err1 != nil || err2 != nil {
		return a[0] == b[0] && a[1] == b[1]
	}
	close := v == w || math.IsNaN(v) && math.IsNaN(w) || math.Abs(v-w) <= 1e-9*max(math.Abs(v), math.Abs(w), 1e-3)
	return a[0] == b[0] && close
}

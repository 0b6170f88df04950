package query_test

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/collector/query"
)

// ask sends params in the way the method wants them.
func ask(api http.Handler, method, path, params string) *httptest.ResponseRecorder {
	var r *http.Request
	if method == http.MethodGet {
		r = httptest.NewRequest(method, query.Prefix+path+"?"+params, nil)
	} else {
		r = httptest.NewRequest(method, query.Prefix+path, strings.NewReader(params))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// at formats a time of the test samples, seconds after their first.
func at(second int) string { return fmt.Sprint(start.Unix() + int64(second)) }

const (
	ok       = http.StatusOK
	none     = 0                              // not served
	off      = http.StatusInternalServerError // as Prometheus does, with errorType unavailable
	notThere = http.StatusNotFound
	bad      = http.StatusBadRequest
)

// routes has all that Prometheus serves, with what we want of it.
var routes = map[string]struct {
	params    string
	get, post int
	says      string // part of the answer
}{
	"/query":                       {"query=load&time=" + at(100), ok, ok, `"value":[` + at(100) + `,"1000"]`},
	"/query_range":                 {"query=load&step=60&start=" + at(0) + "&end=" + at(300), ok, ok, `[` + at(300) + `,"3000"]`},
	"/query_exemplars":             {"query=load&start=" + at(0) + "&end=" + at(300), ok, ok, `"data":[]`},
	"/format_query":                {"query=sum+by(a)(load)", ok, ok, `"data":"sum by (a) (load)"`},
	"/parse_query":                 {"query=load", ok, ok, `"vectorSelector"`},
	"/labels":                      {"", ok, ok, `"data":["__name__","node"]`},
	"/label/{name}/values":         {"", ok, none, `"data":["a","b"]`},
	"/series":                      {"match[]=load", ok, ok, `{"__name__":"load","node":"a"}`},
	"/metadata":                    {"", ok, none, `"work_seconds_total":[{"type":"counter","help":"Work.","unit":"seconds"}]`},
	"/scrape_pools":                {"", ok, none, `"scrapePools":[]`},
	"/scrape_pools/config":         {"scrapePool=x", bad, none, `agents push`},
	"/targets":                     {"", ok, none, `"activeTargets":[]`},
	"/targets/metadata":            {"", ok, none, `"data":[]`},
	"/targets/relabel_steps":       {`scrapePool=x&labels={}`, bad, none, `agents push`},
	"/rules":                       {"", ok, none, `"groups":[]`},
	"/alerts":                      {"", ok, none, `"alerts":[]`},
	"/alertmanagers":               {"", ok, none, `"activeAlertmanagers":[]`},
	"/status/config":               {"", ok, none, `"yaml":`},
	"/status/runtimeinfo":          {"", ok, none, `"storageRetention":"15d or 80%"`},
	"/status/buildinfo":            {"", ok, none, `"version":"1.2.3"`},
	"/status/flags":                {"", ok, none, `"storage.path":"data"`},
	"/status/tsdb":                 {"", ok, none, `"seriesCountByMetricName":[{"name":"load","value":2}]`},
	"/status/tsdb/blocks":          {"", ok, none, `"blocks":[]`},
	"/status/walreplay":            {"", ok, none, `"current":0`},
	"/status/self_metrics":         {"", ok, none, `prometheus_tsdb_head_series`},
	"/features":                    {"", ok, none, `"status":"success"`},
	"/notifications":               {"", ok, none, `"status":"success"`},
	"/notifications/live":          {"", http.StatusNoContent, none, ``},
	"/openapi.yaml":                {"", ok, none, `/query_range:`},
	"/read":                        {"", none, bad, ``}, // wants snappy, see below
	"/write":                       {"", none, notThere, `needs to be enabled`},
	"/otlp/v1/metrics":             {"", none, notThere, `needs to be enabled`},
	"/search/metric_names":         {"", off, off, `disabled`},
	"/search/label_names":          {"", off, off, `disabled`},
	"/search/label_values":         {"", off, off, `disabled`},
	"/admin/tsdb/delete_series":    {"match[]=load", none, off, `admin APIs disabled`},
	"/admin/tsdb/clean_tombstones": {"", none, off, `admin APIs disabled`},
	"/admin/tsdb/snapshot":         {"", none, off, `admin APIs disabled`},
}

func TestEveryRouteAnswersAsPrometheusDoes(t *testing.T) {
	api := newAPI(t)
	for path, want := range routes {
		for method, code := range map[string]int{http.MethodGet: want.get, http.MethodPost: want.post} {
			w := ask(api, method, strings.Replace(path, "{name}", "node", 1), want.params)
			if code == none {
				if w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
					t.Errorf("%s %s: %d, want it not served", method, path, w.Code)
				}
				continue
			}
			if body := w.Body.String(); w.Code != code || !strings.Contains(body, want.says) {
				t.Errorf("%s %s: %d, want %d and %q:\n%.300s", method, path, w.Code, code, want.says, body)
			}
		}
	}
}

// A release of Prometheus that adds an endpoint fails here, so that somebody
// decides what it should do.
func TestNoRouteIsUnknownToUs(t *testing.T) {
	described := ask(newAPI(t), http.MethodGet, "/openapi.yaml", "").Body.String()
	paths := regexp.MustCompile(`(?m)^    (/[^:\s]*):$`).FindAllStringSubmatch(described, -1)
	if len(paths) < 20 {
		t.Fatalf("only %d paths found in\n%.500s", len(paths), described)
	}
	for _, p := range paths {
		if _, known := routes[p[1]]; !known {
			t.Errorf("%s is served, and not in the table", p[1])
		}
	}
}

func TestQueriesThatNeedTheEngineSetUp(t *testing.T) {
	api := newAPI(t)
	tests := map[string]struct{ promql, want string }{
		"a subquery without a step":   {`max_over_time(load{node="a"}[5m:])`, "300"},
		"the value at the end":        {`load{node="a"} @ end()`, "300"},
		"the value at the start":      {`load{node="a"} @ start()`, "300"},
		"a value from the future":     {`load{node="a"} offset -1m`, "300"},
		"a rate over a range":         {`rate(load{node="b"}[1m])`, "10"},
		"a join that keeps one label": {`sum by (node) (load) / 10 and on (node) load{node="b"}`, "300"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				w := ask(api, method, "/query", "time="+at(300)+"&query="+url.QueryEscape(tt.promql))
				if !strings.Contains(w.Body.String(), `,"`+tt.want+`"]`) {
					t.Errorf("%s: %s", method, w.Body)
				}
			}
		})
	}
}

func TestMistakesAreAnsweredInPrometheusWords(t *testing.T) {
	api := newAPI(t)
	tests := map[string]struct {
		path, params string
		code         int
		kind         string
	}{
		"a typo":                 {"/query", "query=load{", bad, "bad_data"},
		"a time that is none":    {"/query", "query=load&time=noon", bad, "bad_data"},
		"steps without number":   {"/query_range", "query=load&step=1&start=0&end=" + at(0), bad, "bad_data"},
		"a query that cannot be": {"/query", "query=" + url.QueryEscape(`load + on() load`) + "&time=" + at(9), http.StatusUnprocessableEntity, "execution"},
		"series without match":   {"/series", "", bad, "bad_data"},
		"a limit that is none":   {"/metadata", "limit=few", bad, "bad_data"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(api, http.MethodGet, tt.path, tt.params)
			var body struct{ Status, ErrorType, Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.code || body.Status != "error" || body.ErrorType != tt.kind || body.Error == "" {
				t.Errorf("%d %+v, want %d %s", w.Code, body, tt.code, tt.kind)
			}
		})
	}
}

func TestNoOtherOriginMayRead(t *testing.T) {
	api := newAPI(t)
	for _, path := range []string{"/query?query=load", "/status/walreplay", "/metadata", "/notifications"} {
		for _, origin := range []string{"https://evil.example", "null", "http://127.0.0.1:9900"} {
			r := httptest.NewRequest(http.MethodGet, query.Prefix+path, nil)
			r.Header.Set("Origin", origin)
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if got, there := w.Header()["Access-Control-Allow-Origin"]; there {
				t.Errorf("%s lets %s read: %q", path, origin, got)
			}
		}
	}
}

func TestMetadata(t *testing.T) {
	api := newAPI(t)
	tests := map[string]struct{ params, want string }{
		"each saying once":     {"metric=load", `{"load":[{"type":"gauge","help":"How much.","unit":""},{"type":"gauge","help":"How much it is.","unit":""}]}`},
		"at most so many each": {"metric=load&limit_per_metric=1", `{"load":[{"type":"gauge","help":"How much.","unit":""}]}`},
		"at most so many":      {"limit=1&limit_per_metric=1", `{"load":[{"type":"gauge","help":"How much.","unit":""}]}`},
		"none of that name":    {"metric=nosuch", `{}`},
		"a limit of nothing":   {"limit=0", `{}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var body struct{ Data json.RawMessage }
			if err := json.Unmarshal(ask(api, http.MethodGet, "/metadata", tt.params).Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if string(body.Data) != tt.want {
				t.Errorf("got %s", body.Data)
			}
		})
	}
}

func TestWhatIsGivenIsServed(t *testing.T) {
	opts := options(t)
	took := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	opts.RemoteWrite, opts.OTLP = http.HandlerFunc(took), http.HandlerFunc(took)
	var copied string
	opts.Snapshot = func(dir string, withHead bool) error {
		copied = fmt.Sprint(dir, " ", withHead)
		return nil
	}
	opts.ExternalLabels = labels.FromStrings("plimsoll_cluster", "eu")
	opts.Targets = func() []query.Target {
		return []query.Target{
			{Pool: "agents", Address: "n1:9100", Labels: map[string]string{"job": "plimsoll-agent", "instance": "n1:9100", "node": "n1"}, Seen: start, Interval: time.Second},
			{Pool: "agents", Address: "n2:9100", Labels: map[string]string{"job": "plimsoll-agent", "instance": "n2:9100", "node": "n2"}, Seen: start, Err: errors.New("lost 5 min ago")},
		}
	}
	api := makeAPI(t, opts)
	for path, want := range map[string]struct {
		method string
		code   int
		says   string
	}{
		"/write":                       {http.MethodPost, http.StatusTeapot, ""},
		"/otlp/v1/metrics":             {http.MethodPost, http.StatusTeapot, ""},
		"/admin/tsdb/delete_series":    {http.MethodPost, http.StatusBadRequest, "match[]"},
		"/admin/tsdb/clean_tombstones": {http.MethodPost, off, "nothing is deleted on request"},
		"/status/config":               {http.MethodGet, ok, "plimsoll_cluster: eu"},
		"/scrape_pools":                {http.MethodGet, ok, `["agents"]`},
		"/targets": {http.MethodGet, ok, `"labels":{"instance":"n1:9100","job":"plimsoll-agent","node":"n1"},"scrapePool":"agents","scrapeUrl":"push://n1:9100",` +
			`"globalUrl":"push://n1:9100","lastError":"","lastScrape":"` + start.Format(time.RFC3339) + `","lastScrapeDuration":0,"health":"up","scrapeInterval":"1s"`},
	} {
		if w := ask(api, want.method, path, ""); w.Code != want.code || !strings.Contains(w.Body.String(), want.says) {
			t.Errorf("%s: %d %s, want %d and %q", path, w.Code, w.Body, want.code, want.says)
		}
	}
	if w := ask(api, http.MethodGet, "/targets", "state=active"); !strings.Contains(w.Body.String(), `"lastError":"lost 5 min ago"`) {
		t.Errorf("%s", w.Body)
	}
	w := ask(api, http.MethodPost, "/admin/tsdb/snapshot", "")
	var body struct{ Data struct{ Name string } }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != ok {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if want := filepath.Join(opts.Store.Dir(), "snapshots", body.Data.Name) + " true"; copied != want {
		t.Errorf("copied %q, want %q", copied, want)
	}
	var at string
	opts.Snapshot = func(dir string, _ bool) error {
		at = dir
		return errors.New("the disk is full")
	}
	opts.Registerer = nil
	if w := ask(makeAPI(t, opts), http.MethodPost, "/admin/tsdb/snapshot", ""); w.Code == ok || !strings.Contains(w.Body.String(), "the disk is full") {
		t.Errorf("a snapshot that fails: %d %s", w.Code, w.Body)
	}
	if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s stays: %v", at, err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		copied = ""
		if w := ask(api, method, "/admin/tsdb/snapshot", ""); w.Code == ok || copied != "" {
			t.Errorf("%s makes a snapshot: %d", method, w.Code)
		}
	}
}

// Thanos' sidecar reads durations from here, by Prometheus' rules.
func TestDurationsOfFlagsAreSpeltAsPrometheusDoes(t *testing.T) {
	opts := options(t)
	want := map[string]string{}
	opts.Flags = map[string]string{}
	for given, shown := range map[string]string{
		"2h0m0s": "2h", "1h30m0s": "1h30m", "36h": "1d12h", "1.5s": "1s500ms", "15d": "15d", "10µs": "10µs", // Prometheus has nothing as short
		"0": "0", "0s": "0s", "-1s": "-1s", "50000000": "50000000", "data/2h0m0s": "data/2h0m0s", "": "",
	} {
		opts.Flags["flag."+given], want["flag."+given] = given, shown
	}
	var body struct{ Data map[string]string }
	if err := json.Unmarshal(ask(makeAPI(t, opts), http.MethodGet, "/status/flags", "").Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, body.Data); diff != "" {
		t.Error(diff)
	}
}

func TestAnswersAreCompressedForThoseWhoAsk(t *testing.T) {
	api := newAPI(t)
	for _, path := range []string{query.Prefix + "/query?query=load&time=" + at(100), query.FederationPath + "?match[]=load"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if _, err := gzip.NewReader(w.Body); w.Code != ok || w.Header().Get("Content-Encoding") != "gzip" || err != nil {
			t.Errorf("%s: %d %v", path, w.Code, err)
		}
	}
}

func TestTwoEnginesShareARegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	query.NewEngine(query.EngineOptions{Name: "people", Registerer: reg})
	query.NewEngine(query.EngineOptions{Name: "rules", Registerer: reg})
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}

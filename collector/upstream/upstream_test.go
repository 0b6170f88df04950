package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a handler and returns a client of it.
func serve(t *testing.T, h http.Handler, change ...func(*Options)) *Upstream {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	address, err := url.Parse(s.URL)
	must(t, err)
	o := Options{URL: address, Timeout: 5 * time.Second, Registerer: prometheus.NewRegistry()}
	for _, c := range change {
		c(&o)
	}
	u, err := New(o)
	must(t, err)
	t.Cleanup(func() { must(t, u.Close()) })
	return u
}

// engine is another collector's API, over a store with three nodes. Their
// newest samples are of now, except those of load, which are of the given age.
func engine(t *testing.T, age time.Duration) (http.Handler, time.Time) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	last := time.Now().Add(-age).Truncate(time.Second)
	app := s.AppenderV2(context.Background())
	for n := range 3 {
		for name, end := range map[string]time.Time{"load": last, "plimsoll_ingest_seq": last.Add(age)} {
			ls := labels.FromStrings("__name__", name, "node", fmt.Sprintf("n%d", n))
			for i := range 61 {
				_, err := app.Append(0, ls, 0, end.Add(time.Duration(i-60)*time.Second).UnixMilli(), float64(n*100+i), nil, nil, storage.AOptions{})
				must(t, err)
			}
		}
	}
	must(t, app.Commit())
	api, err := query.New(query.Options{Store: s, Engine: query.NewEngine(query.EngineOptions{})})
	must(t, err)
	return api, last
}

func TestAnAnswerIsThatOfTheEngineBehind(t *testing.T) {
	h, last := engine(t, time.Second)
	u := serve(t, h)
	for expr, want := range map[string][]query.Sample{
		`sum by (node) (load{node=~"n[12]"})`: {
			{Labels: map[string]string{"node": "n1"}, At: last, Value: 160},
			{Labels: map[string]string{"node": "n2"}, At: last, Value: 260},
		},
		`load{node="n0"}`:             {{Labels: map[string]string{"__name__": "load", "node": "n0"}, At: last, Value: 60}},
		`scalar(load{node="n0"}) + 1`: {{Labels: map[string]string{}, At: last, Value: 61}},
		`no_such_metric`:              {},
	} {
		got, err := u.Query(t.Context(), expr, last, 0)
		must(t, err)
		for i := range got {
			got[i].At = got[i].At.Local()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", expr, diff)
		}
	}
}

func TestALookbackIsTheEnginesOwn(t *testing.T) {
	h, last := engine(t, 30*time.Second)
	u := serve(t, h)
	at := last.Add(30 * time.Second)
	for lookback, want := range map[time.Duration]int{0: 3, time.Minute: 3, 10 * time.Second: 0} {
		got, err := u.Query(t.Context(), "load", at, lookback)
		must(t, err)
		if len(got) != want {
			t.Errorf("lookback %v: %d samples, want %d", lookback, len(got), want)
		}
	}
}

func TestRulesSeeWhatTheirOwnEngineWouldGiveThem(t *testing.T) {
	h, last := engine(t, time.Second)
	u := serve(t, h)
	var ask rules.QueryFunc = u.Rules
	v, err := ask(t.Context(), `load > 100`, last)
	must(t, err)
	if len(v) != 2 || v[0].F != 160 || v[0].T != last.UnixMilli() ||
		!labels.Equal(v[0].Metric, labels.FromStrings("__name__", "load", "node", "n1")) {
		t.Errorf("%v", v)
	}
}

// answer is an engine that says what it is told to. NEWEST in it stands for what
// it tells of its newest sample.
type answer struct {
	body, newest string
	code         int
}

func (a *answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if a.code != 0 {
		w.WriteHeader(a.code)
	}
	fmt.Fprint(w, strings.ReplaceAll(a.body, "NEWEST", a.newest))
}

var noon = time.Now().Truncate(time.Second)

// seen is what tells of a newest sample of the given age.
func seen(age time.Duration) string {
	return fmt.Sprintf(`,{"metric":{"plimsoll_newest":"1"},"value":[%d,"%d"]}`, noon.Unix(), noon.Add(-age).Unix())
}

func vector(at time.Time, more string) string {
	return fmt.Sprintf(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[%d.000,"1"]}NEWEST]}%s}`, at.Unix(), more)
}

func TestWhatIsNotTheWholeTruthIsAnError(t *testing.T) {
	tests := map[string]struct {
		body   string
		newest string
		code   int
		want   error
		says   string
		result string
	}{
		"one of the stores cannot be reached":       {body: vector(noon, `,"warnings":["no StoreAPIs matched for this query"]`), want: ErrPartial, says: "no StoreAPIs", result: "partial"},
		"a remark on the query is none on the data": {body: vector(noon, `,"warnings":["PromQL info: metric might not be a counter","PromQL warning: x"],"infos":["PromQL info: y"]`), result: "ok"},
		"it is of an hour ago":                      {body: vector(noon.Add(-time.Hour), ""), want: ErrStale, says: "1h0m0s from the time asked for", result: "stale"},
		"it is of the future":                       {body: vector(noon.Add(time.Hour), ""), want: ErrStale, says: "from the time asked for", result: "stale"},
		"nothing has come for ten minutes":          {body: vector(noon, ""), newest: seen(10 * time.Minute), want: ErrStale, says: "newest sample is 10m", result: "stale"},
		"no agent was ever seen":                    {body: vector(noon, ""), newest: " ", want: ErrStale, says: "has no samples of agents", result: "stale"},
		"the newest sample has no time":             {body: vector(noon, ""), newest: strings.Replace(seen(0), fmt.Sprintf(`"%d"`, noon.Unix()), `"NaN"`, 1), want: ErrStale, says: "is no time", result: "stale"},
		"too many samples": {
			body: `{"status":"success","data":{"resultType":"vector","result":[` + strings.Repeat(`{"metric":{},"value":[0,"1"]},`, 5) + `{"metric":{},"value":[0,"1"]}NEWEST]}}`,
			want: ErrTooLarge, says: "7 samples, at most 5", result: "too_large",
		},
		"too many bytes":         {body: `{"status":"success","data":"` + strings.Repeat("x", 5000) + `"}`, want: ErrTooLarge, says: "more than 4096 bytes", result: "too_large"},
		"a matrix":               {body: `{"status":"success","data":{"resultType":"matrix","result":[]}}`, says: "an instant vector or a scalar is needed", result: "error"},
		"a histogram":            {body: `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[0,{"count":"1","sum":"1","buckets":[]}]}]}}`, says: "histograms", result: "error"},
		"an error":               {code: 422, body: `{"status":"error","errorType":"execution","error":"query timed out"}`, says: "query timed out", result: "error"},
		"a proxy's page":         {code: 502, body: `<html>bad gateway</html>`, says: "bad gateway", result: "error"},
		"no JSON":                {body: `<html>`, says: "bad_response", result: "error"},
		"an empty answer":        {body: ``, says: "bad_response", result: "error"},
		"neither data nor error": {body: `{"status":"success"}`, says: "", result: "error"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.newest == "" {
				tt.newest = seen(time.Second)
			}
			u := serve(t, &answer{body: tt.body, newest: tt.newest, code: tt.code}, func(o *Options) { o.MaxSamples, o.MaxBytes = 5, 4096 })
			got, err := u.Query(t.Context(), "x", noon, 0)
			if n := testutil.ToFloat64(u.metrics.queries.WithLabelValues(tt.result)); n != 1 {
				t.Errorf("not counted as %s; error %v", tt.result, err)
			}
			if tt.result == "ok" {
				if err != nil || len(got) != 1 {
					t.Errorf("%v, error %v", got, err)
				}
				return
			}
			if err == nil || got != nil || !strings.Contains(err.Error(), tt.says) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, error %v; want one that says %q", got, err, tt.says)
			}
		})
	}
}

// The querier has lost its stores, says so to nobody, and answers with nothing.
func TestNothingOfNothingIsNotZero(t *testing.T) {
	u := serve(t, &answer{body: `{"status":"success","data":{"resultType":"vector","result":[]}}`})
	if got, err := u.Query(t.Context(), "x", noon, 0); !errors.Is(err, ErrStale) {
		t.Errorf("%v, error %v", got, err)
	}
	h, last := engine(t, time.Second)
	u = serve(t, h)
	got, err := u.Query(t.Context(), "no_such_metric", last, 0)
	if err != nil || len(got) != 0 {
		t.Errorf("what there is none of, among samples that are there: %v, error %v", got, err)
	}
}

func TestALagLastsAsLongAsItLasts(t *testing.T) {
	h, last := engine(t, 0)
	u := serve(t, h)
	for at, want := range map[time.Duration]error{0: nil, 119 * time.Second: nil, 121 * time.Second: ErrStale, time.Hour: ErrStale, -10 * time.Second: nil} {
		if _, err := u.Query(t.Context(), "rate(load[5m])", last.Add(at), 0); !errors.Is(err, want) {
			t.Errorf("%v after the newest sample: error %v, want %v", at, err, want)
		}
	}
}

func TestEveryShapeOfExpressionCanBeAskedFor(t *testing.T) {
	h, last := engine(t, time.Second)
	u := serve(t, h)
	for expr, want := range map[string]int{
		"load # of all": 3, "1": 1, "scalar(load{node=\"n1\"}) # one": 1, "time()": 1, "topk(2, load)": 2, "load > 100 or on() vector(1)": 2,
		"-load": 3, "load == bool 60": 3, "absent(load)": 0, "count by (node) (load) unless load": 0,
	} {
		got, err := u.Query(t.Context(), expr, last, 0)
		if err != nil || len(got) != want {
			t.Errorf("%s: %d samples, error %v, want %d", expr, len(got), err, want)
		}
		for _, s := range got {
			if _, ok := s.Labels[witness]; ok {
				t.Errorf("%s: the newest sample is among its samples", expr)
			}
		}
	}
	for _, expr := range []string{"load[5m]", `"text"`, "load +"} {
		if _, err := u.Query(t.Context(), expr, last, 0); err == nil {
			t.Errorf("%s: taken", expr)
		}
	}
}

func TestAHangingUpstreamHoldsNobodyUpPastItsTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	u := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}), func(o *Options) { o.Timeout = 50 * time.Millisecond })
	var all sync.WaitGroup
	for range 50 { // in turn they would take 2.5 s and more
		all.Go(func() {
			if _, err := u.Query(t.Context(), "x", noon, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		})
	}
	all.Wait()
	if n := testutil.ToFloat64(u.metrics.queries.WithLabelValues("timeout")); n != 50 {
		t.Errorf("%v timeouts counted", n)
	}
}

func TestPeopleReadThroughTheProxyAndChangeNothing(t *testing.T) {
	h, last := engine(t, time.Second)
	var credentials atomic.Int32
	u := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie")+r.Header.Get("Authorization") != "" {
			credentials.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	front := httptest.NewServer(u.Proxy("/upstream"))
	defer front.Close()
	for path, want := range map[string]int{
		fmt.Sprintf("/upstream/api/v1/query?query=load&time=%d", last.Unix()): http.StatusOK,
		"/upstream/api/v1/labels":                   http.StatusOK,
		"/upstream/api/v1/label/node/values":        http.StatusOK,
		"/upstream/api/v1/series?match[]=load":      http.StatusOK,
		"/upstream/api/v1/status/config":            http.StatusNotFound,
		"/upstream/api/v1/write":                    http.StatusNotFound,
		"/upstream/api/v1/read":                     http.StatusNotFound,
		"/upstream/api/v1/admin/tsdb/delete_series": http.StatusNotFound,
		"/upstream/api/v1/query/../status/config":   http.StatusNotFound,
		"/upstream/api/v1/label/..%2Fstatus/values": http.StatusBadRequest,
		"/upstream/metrics":                         http.StatusNotFound,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+path, nil)
		must(t, err)
		req.Header.Set("Cookie", "session=1")
		req.SetBasicAuth("u", "p")
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
	if credentials.Load() != 0 {
		t.Error("a caller's credentials were passed on")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTheProxySaysThatTheUpstreamIsAway(t *testing.T) {
	u, err := New(Options{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	must(t, err)
	w := httptest.NewRecorder()
	u.Proxy("").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/query?query=1", nil))
	if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), `"status":"error"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRequestsCarryWhatTheFileAndTheAddressSay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "http.yml")
	must(t, os.WriteFile(file, []byte("basic_auth:\n  username: u\n  password: p\n"), 0o600))
	var user, dedup string
	u := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ = r.BasicAuth()
		dedup = r.FormValue("dedup")
		(&answer{body: vector(noon, ""), newest: seen(0)}).ServeHTTP(w, r)
	}), func(o *Options) {
		o.HTTPConfigFile = file
		o.URL.RawQuery = "dedup=true"
	})
	_, err := u.Query(t.Context(), "x", noon, 0)
	must(t, err)
	if user != "u" || dedup != "true" {
		t.Errorf("user %q, dedup %q", user, dedup)
	}
}

func TestOptionsThatCannotWorkSayWhy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "http.yml")
	must(t, os.WriteFile(file, []byte("basic_auht: {}\n"), 0o600))
	for name, o := range map[string]Options{
		"no address":     {},
		"a wrong file":   {URL: &url.URL{Scheme: "http", Host: "x"}, HTTPConfigFile: file},
		"a missing file": {URL: &url.URL{Scheme: "http", Host: "x"}, HTTPConfigFile: file + "x"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// What an upstream answers is not ours to trust.
func FuzzAnswer(f *testing.F) {
	f.Add(vector(noon, ""))
	f.Add(vector(noon, `,"warnings":["x"]`))
	f.Add(`{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`)
	f.Add(`{"status":"error","errorType":"timeout","error":"x"}`)
	a := &answer{newest: seen(0)}
	s := httptest.NewServer(a)
	f.Cleanup(s.Close)
	address, err := url.Parse(s.URL)
	if err != nil {
		f.Fatal(err)
	}
	u, err := New(Options{URL: address})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = u.Close() })
	f.Fuzz(func(t *testing.T, body string) {
		a.body = body
		got, err := u.Query(t.Context(), "x", noon, 0)
		if err != nil && got != nil || strings.Contains(body, `"warnings":["x"]`) && err == nil {
			t.Fatalf("%v, error %v", got, err)
		}
	})
}

package query_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/query"
)

// stuck is a store in which queries stay until told otherwise.
type stuck struct {
	query.Store
	held
}

func (s stuck) Querier(from, to int64) (storage.Querier, error) { return s.held.Querier(from, to) }

func TestQueriesOverTheNumberWaitAndAreToldToComeAgain(t *testing.T) {
	opts := options(t)
	h := held{make(chan struct{}), make(chan struct{})}
	opts.Queryable = stuck{opts.Store, h}
	opts.Bounds = query.Bounds{Concurrent: 1, Patience: 20 * time.Millisecond}
	api := makeAPI(t, opts)
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- ask(api, http.MethodGet, "/query", "query=load") }()
	<-h.entered
	for _, path := range []string{"/query", "/query_range", "/series", "/labels", "/label/node/values", "/status/tsdb"} {
		w := ask(api, http.MethodGet, path, "query=load")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"status":"error"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/status/buildinfo", "/metadata", "/rules", "/targets"} {
		if w := ask(api, http.MethodGet, path, ""); w.Code != ok {
			t.Errorf("%s waits for queries: %d", path, w.Code)
		}
	}
	close(h.leave)
	if w := <-first; w.Code != ok {
		t.Errorf("the first: %d %s", w.Code, w.Body)
	}
}

func TestQueriesThatTakeTooLongSayWhenToComeAgain(t *testing.T) {
	opts := options(t)
	opts.Engine = query.NewEngine(query.EngineOptions{Timeout: time.Nanosecond})
	w := ask(makeAPI(t, opts), http.MethodGet, "/query", "query=load")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"errorType":"timeout"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestWhatReadsWithoutTheEngineHasATimeOfItsOwn(t *testing.T) {
	opts := options(t)
	opts.Bounds = query.Bounds{Timeout: time.Nanosecond}
	api := makeAPI(t, opts)
	if w := ask(api, http.MethodGet, "/query", "query=load&time="+at(9)); w.Code != ok {
		t.Errorf("a query ends with it: %d %s", w.Code, w.Body)
	}
	if w := ask(api, http.MethodGet, "/series", "match[]=load"); w.Code == ok || !strings.Contains(w.Body.String(), "deadline exceeded") {
		t.Errorf("series do not: %d %s", w.Code, w.Body)
	}
}

func TestQueriesAreBoundedInLengthAndPoints(t *testing.T) {
	opts := options(t)
	opts.Bounds = query.Bounds{QueryBytes: 100, RequestBytes: 1000}
	api := makeAPI(t, opts)
	tests := map[string]struct {
		path, params string
		code         int
		says         string
	}{
		"a query as long as allowed": {"/query", "time=" + at(9) + "&query=load%2B" + strings.Repeat("0", 95), ok, "success"},
		"a longer one":               {"/query", "query=" + strings.Repeat("0", 101), bad, "at most 100"},
		"a longer one to format":     {"/format_query", "query=" + strings.Repeat("0", 101), bad, "at most 100"},
		"a longer one for a range":   {"/query_range", "query=" + strings.Repeat("0", 101), bad, "at most 100"},
		"a request over the limit":   {"/series", "match[]=" + strings.Repeat("x", 2000), http.StatusRequestEntityTooLarge, "too large"},
		"too many points":            {"/query_range", "query=load&step=1&start=" + at(0) + "&end=" + at(11_001), bad, "11,000 points"},
		"a step of nothing":          {"/query_range", "query=load&step=0&start=" + at(0) + "&end=" + at(1), bad, "zero or negative"},
		"an end before the start":    {"/query_range", "query=load&step=1&start=" + at(1) + "&end=" + at(0), bad, "end timestamp"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(api, http.MethodPost, tt.path, tt.params)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, tt.code, tt.says)
			}
		})
	}
}

func TestASecondAPIOnARegistryIsAnError(t *testing.T) {
	opts := options(t)
	opts.Registerer = prometheus.NewRegistry()
	makeAPI(t, opts)
	if _, err := query.New(opts); err == nil {
		t.Error("no error")
	}
}

// Their cost grows with the square of their depth, and no timeout ends it.
func TestQueriesThatNestTooDeepAreRefused(t *testing.T) {
	api := newAPI(t)
	const most = 1000
	tests := map[string]func(depth int) string{
		"parentheses": func(n int) string { return strings.Repeat("(", n) + "load" + strings.Repeat(")", n) },
		"sums":        func(n int) string { return "load" + strings.Repeat("+1", n) },
		"functions":   func(n int) string { return strings.Repeat("abs(", n) + "load" + strings.Repeat(")", n) },
		"aggregates":  func(n int) string { return strings.Repeat("sum(", n) + "load" + strings.Repeat(")", n) },
	}
	for name, of := range tests {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/query", "/query_range", "/format_query", "/parse_query"} {
				params := "step=1&time=" + at(9) + "&start=" + at(9) + "&end=" + at(9) + "&query="
				if w := ask(api, http.MethodPost, path, params+url.QueryEscape(of(400))); w.Code != ok {
					t.Errorf("%s of 400: %d %.200s", path, w.Code, w.Body)
				}
				if w := ask(api, http.MethodPost, path, params+url.QueryEscape(of(most+2))); w.Code != bad || !strings.Contains(w.Body.String(), "nests more than") {
					t.Errorf("%s of %d: %d %.200s", path, most+2, w.Code, w.Body)
				}
			}
		})
	}
	long := `load{node=~"` + strings.Repeat("a|", 20_000) + `b"}`
	if w := ask(api, http.MethodPost, "/query", "query="+url.QueryEscape(long)); w.Code != ok {
		t.Errorf("a long and flat one: %d %.200s", w.Code, w.Body)
	}
}

func TestManySelectorsAreRefused(t *testing.T) {
	opts := options(t)
	api := makeAPI(t, opts)
	for _, path := range []string{"/api/v1/series", "/api/v1/labels", "/api/v1/label/node/values", "/federate"} {
		for n, code := range map[int]int{100: ok, 101: bad} {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+strings.Repeat("match[]=load&", n), nil))
			if w.Code != code {
				t.Errorf("%s with %d: %d %.200s", path, n, w.Code, w.Body)
			}
		}
	}
}

// narrow is a listener whose connections hold next to nothing.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return c, err
}

func TestAClientThatStallsLosesItsPlace(t *testing.T) {
	tests := map[string]struct{ request, begins string }{
		"taking the answer in": {
			"GET /api/v1/query_range?query=load&step=0.02&start=" + at(0) + "&end=" + at(200) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200",
		},
		"sending what it asks": { // the server says Continue once it reads
			"POST /api/v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 100",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := options(t)
			opts.Bounds = query.Bounds{Concurrent: 1, Patience: time.Minute, Transfer: time.Second}
			api := makeAPI(t, opts)
			server := httptest.NewUnstartedServer(api)
			server.Listener = narrow{server.Listener}
			server.Start()
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(tt.request)); err != nil {
				t.Fatal(err)
			}
			begin := make([]byte, len(tt.begins))
			if _, err := io.ReadFull(conn, begin); err != nil || string(begin) != tt.begins {
				t.Fatalf("%q %v", begin, err)
			}
			if w := ask(api, http.MethodGet, "/query", "query=load"); w.Code != ok {
				t.Errorf("the next: %d %s", w.Code, w.Body)
			}
		})
	}
}

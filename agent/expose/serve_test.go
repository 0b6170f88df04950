package expose

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func TestAnswersAreCompressedForThoseWhoCanReadIt(t *testing.T) {
	e := fleet()
	plain := get(e, "/metrics").Body.String()
	for range 2 { // the second time with a compressor that was used before
		w := get(e, "/metrics", "Accept-Encoding", "br;q=1.0, gzip;q=0.8, *;q=0.1")
		if w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("headers %v", w.Header())
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(z)
		if err != nil || string(got) != plain {
			t.Errorf("%v, and %d of %d bytes", err, len(got), len(plain))
		}
	}
	for _, refused := range []string{"", "identity", "gzip;q=0", "zstd", "gzipped", "gzip;q=x"} {
		if w := get(e, "/metrics", "Accept-Encoding", refused); w.Header().Get("Content-Encoding") != "" || w.Body.String() != plain {
			t.Errorf("Accept-Encoding %q: compressed", refused)
		}
	}
}

func TestTheFormatIsTheOneThatTheClientLikesBest(t *testing.T) {
	tests := map[string]struct {
		accept []string
		want   format
	}{
		"nothing asked":          {nil, text},
		"a browser":              {[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, text},
		"Prometheus 2":           {[]string{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}, openMetrics},
		"Prometheus 3":           {[]string{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"}, openMetrics},
		"text before":            {[]string{"text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5"}, text},
		"an old version only":    {[]string{"application/openmetrics-text;version=0.0.1,*/*;q=0.1"}, text},
		"a new version only":     {[]string{"application/openmetrics-text;version=2.0.0"}, text},
		"no version":             {[]string{"application/openmetrics-text"}, openMetrics},
		"two headers":            {[]string{"text/plain;q=0.2", "application/openmetrics-text;version=1.0.0;q=0.3"}, openMetrics},
		"anything but":           {[]string{"application/openmetrics-text;q=0"}, text},
		"nonsense":               {[]string{";;,=,q=1,application/openmetrics-text;q=much"}, text},
		"spaces and upper cases": {[]string{" Application/OpenMetrics-Text ; Version=1.0.0 ; q=0.5 , text/plain;q=0.4"}, openMetrics},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := prefersOpenMetrics(tt.accept); got != (tt.want == openMetrics) {
				t.Errorf("OpenMetrics: %t", got)
			}
		})
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	e := fleet()
	ask := func(method string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		return w
	}
	if w := ask(http.MethodPost); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
	if w := ask(http.MethodHead); w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Type") == "" {
		t.Errorf("HEAD: %d %v, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
}

// pipes is a listener of connections that hold nothing back: what is not read
// is not written.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func TestASlowClientHoldsUpNobodyAndIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{Timeout: 10 * time.Second, MaxScrapes: 1})
		var b batch
		for i := range 2000 {
			b.with(one(fmt.Sprint("c", i)), 1, 2, 3)
		}
		e.Observe(&b.Batch)

		listener := make(pipes)
		server := &http.Server{Handler: e}
		served := make(chan error)
		go func() { served <- server.Serve(listener) }()
		client, conn := net.Pipe()
		listener <- conn
		if _, err := io.WriteString(client, "GET /metrics HTTP/1.1\r\nHost: agent\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReaderSize(client, 16).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the server is stuck in its first write

		start := time.Now()
		e.Observe(&b.Batch)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the agent waited %s for a client", waited)
		}
		if w := get(e, "/metrics"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("a second scrape: %d", w.Code)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		if got, want := e.Stats(), (Stats{Scrapes: 1, Refused: 1, Cut: 1}); got != want {
			t.Errorf("after the time is up: %+v, want %+v", got, want)
		}
		e.Observe(&b.Batch)
		if w := get(e, "/metrics"); w.Code != http.StatusOK {
			t.Errorf("a scrape afterwards: %d", w.Code)
		}

		client.Close()
		close(listener)
		<-served
		server.Close()
	})
}

// discard takes an answer and forgets it.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func TestAScrapeDoesNotAllocatePerSeries(t *testing.T) {
	allocs := func(containers int) float64 {
		e := New(Options{})
		var b batch
		for i := range containers {
			b.with(one(fmt.Sprint("c", i)), 1.5, 2, sample.Absent)
		}
		e.Observe(&b.Batch)
		w, r := discard{http.Header{}}, httptest.NewRequest(http.MethodGet, "/metrics", nil)
		return testing.AllocsPerRun(20, func() { e.ServeHTTP(w, r) })
	}
	few, many := allocs(1), allocs(2000)
	if few > 100 || many > 100 { // of 4000 series; some more than usual where pools are emptied meanwhile
		t.Errorf("%v allocations for 1 container, %v for 2000", few, many)
	}
}

package scrape

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// served is a server in memory, so that time may be a test's own.
type served chan net.Conn

func (s served) Accept() (net.Conn, error) {
	conn, ok := <-s
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (s served) Close() error { close(s); return nil }
func (s served) Addr() net.Addr {
	return &net.UnixAddr{Net: "pipe"}
}

// serve answers HTTP until the test ends. Call what it returns to connect.
func serve(t testing.TB, h http.Handler) func() net.Conn {
	l := make(served)
	server := &http.Server{Handler: h, ErrorLog: nil}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return func() net.Conn {
		near, far := net.Pipe()
		l <- far
		return near
	}
}

// answer writes bytes rather than what a server would make of them, then hangs
// until the other side goes.
func answer(t testing.TB, text string) net.Conn {
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = http.ReadRequest(bufio.NewReader(far))
		_, _ = io.WriteString(far, text)
		_, _ = io.Copy(io.Discard, far)
	}()
	t.Cleanup(func() { near.Close(); far.Close(); <-ended })
	return near
}

var plain = Spec{Scheme: "http", Port: 80, Path: "/metrics", Interval: DefaultInterval, Timeout: MaxTimeout}

func fetch(t testing.TB, s Spec, conn net.Conn) (exposition, error) {
	t.Helper()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
	defer cancel()
	a, err := ask(ctx, s, conn)
	if err != nil {
		return exposition{}, err
	}
	defer a.Body.Close()
	return read(a, 2<<20)
}

func zipped(data []byte) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.String()
}

func TestARequestIsWhatServersOfMetricsExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got *http.Request
		dial := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprintln(w, "x 1")
		}))
		spec := plain
		spec.Port, spec.Path, spec.Query = 8080, "/a b/..", "module=http"
		e, err := fetch(t, spec, dial())
		if err != nil || string(e.body) != "x 1\n" || e.contentType != "text/plain; version=0.0.4" {
			t.Fatalf("%q, %v", e, err)
		}
		if got.RequestURI != "/a%20b/..?module=http" || got.Host != "localhost:8080" || got.Header.Get("X-Prometheus-Scrape-Timeout-Seconds") != "10" {
			t.Errorf("asked %s of %s with %v", got.RequestURI, got.Host, got.Header)
		}
		if a := got.Header.Get("Accept"); !strings.HasPrefix(a, "application/openmetrics-text;version=1.0.0") {
			t.Errorf("Accept: %s", a)
		}
	})
}

func TestAnAnswerThatIsNoneFailsWithItsReason(t *testing.T) {
	endless := func(w http.ResponseWriter) {
		for range 1 << 19 {
			if _, err := fmt.Fprintln(w, "endless 1"); err != nil {
				return
			}
		}
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		raw     string
		want    Reason
	}{
		"a redirect to where clouds tell secrets": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
			}, want: Redirect,
		},
		"an error": {handler: http.NotFound, want: Status},
		"a body without end": {
			handler: func(w http.ResponseWriter, _ *http.Request) { endless(w) }, want: TooLarge,
		},
		"a body that swells": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = io.WriteString(w, zipped(make([]byte, 100<<20)))
			}, want: TooLarge,
		},
		"a compressed body that comes to nothing": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				nothing := []byte(strings.Repeat(zipped(nil), 1000))
				for range 1000 {
					if _, err := w.Write(nothing); err != nil {
						return
					}
				}
			}, want: TooLarge,
		},
		"more protobuf than is taken": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.google.protobuf; encoding=delimited")
				_, _ = w.Write(make([]byte, maxProtobufBytes+1))
			}, want: TooLarge,
		},
		"an encoding nobody asked for": {
			handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "br") }, want: Encoding,
		},
		"a broken compression": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = io.WriteString(w, zipped([]byte("x 1\n"))[:15])
			}, want: Broken,
		},
		"an end in mid-body": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprintln(w, "x 1")
		}, want: Broken},
		"a header without end":   {raw: "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20_000), want: Broken},
		"another protocol":       {raw: "SSH-2.0-OpenSSH_9.2\r\n", want: Broken},
		"silence":                {raw: "", want: Timeout},
		"a body that hangs":      {raw: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx 1\n", want: Timeout},
		"a header that hangs":    {raw: "HTTP/1.1 200 OK\r\nA: ", want: Timeout},
		"a switch to another":    {raw: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", want: Status},
		"answers before answers": {raw: strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", 20_000), want: Broken},
		"a body that trickles": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				for {
					select {
					case <-r.Context().Done():
						return
					case <-time.After(time.Second):
						fmt.Fprint(w, "x")
						w.(http.Flusher).Flush()
					}
				}
			}, want: Timeout,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var conn net.Conn
				if tt.handler != nil {
					conn = serve(t, tt.handler)()
				} else {
					conn = answer(t, tt.raw)
				}
				began := time.Now()
				_, err := fetch(t, plain, conn)
				if err == nil || reasonOf(err, Broken) != tt.want {
					t.Errorf("error %v, want one of %s", err, tt.want)
				}
				if took := time.Since(began); took > plain.Timeout {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func TestARedirectIsNotFollowedToTheNode(t *testing.T) {
	asked := false
	node := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer node.Close()
	target := httptest.NewServer(http.RedirectHandler(node.URL, http.StatusTemporaryRedirect))
	defer target.Close()
	conn, err := net.Dial("tcp", target.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, plain, conn); reasonOf(err, Broken) != Redirect {
		t.Error(err)
	}
	if asked {
		t.Error("the node was asked")
	}
}

func TestACertificateOfAContainerNeedsNoAuthority(t *testing.T) {
	target := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "x 1") }))
	defer target.Close()
	conn, err := net.Dial("tcp", target.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	spec := plain
	spec.Scheme = "https"
	if e, err := fetch(t, spec, conn); err != nil || string(e.body) != "x 1\n" {
		t.Errorf("%q, %v", e.body, err)
	}
}

func TestACompressedAnswerIsUnzipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Error("not asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, zipped([]byte("x 1\n")))
		}))()
		if e, err := fetch(t, plain, conn); err != nil || string(e.body) != "x 1\n" {
			t.Errorf("%q, %v", e.body, err)
		}
	})
}

func TestABodyMayBeAsLongAsItsLimitButNoLonger(t *testing.T) {
	for n, want := range map[int]error{9: nil, 10: nil, 11: errTooLarge} {
		body, err := io.ReadAll(&bounded{from: strings.NewReader(strings.Repeat("x", n)), left: 10})
		if !errors.Is(err, want) || err == nil && len(body) != n {
			t.Errorf("%d bytes: %d, %v", n, len(body), err)
		}
	}
}

package pair

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret   = "0123456789abcdef"
	patience = time.Minute
)

// bind is what collector/identity does.
func bind(ctx context.Context) ([]byte, error) {
	p, _ := peer.FromContext(ctx)
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		return info.State.ExportKeyingMaterial("EXPORTER-plimsoll-pair", nil, 32)
	}
	return nil, nil
}

// certificate is one that nobody has reason to trust.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// end is one collector: it says its name by each tube and keeps what it hears.
type end struct {
	*Pair
	address string
	heard   chan string
	stop    func()
}

// serve starts an end that only answers, unless it is told whom to call.
func serve(t *testing.T, opts Options) *end {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveAt(t, l, opts)
}

func serveAt(t *testing.T, l net.Listener, opts Options) *end {
	t.Helper()
	e := &end{address: l.Addr().String(), heard: make(chan string, 16)}
	opts.Bind, opts.Retry = bind, 20*time.Millisecond
	opts.Registerer = prometheus.NewRegistry()
	opts.Talk = func(_ context.Context, from string, tube Tube) error {
		if err := tube.Send([]byte("hello " + from)); err != nil {
			return err
		}
		for {
			payload, err := tube.Recv()
			if err != nil {
				return err
			}
			e.heard <- from + " says " + string(payload)
		}
	}
	p, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	e.Pair = p
	var options []grpc.ServerOption
	if opts.TLS {
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate(t)}})))
	}
	server := grpc.NewServer(options...)
	p.Register(server)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	running.Go(func() { _ = server.Serve(l) })
	e.stop = sync.OnceFunc(func() {
		cancel()
		server.Stop()
		running.Wait()
	})
	t.Cleanup(e.stop)
	return e
}

func (e *end) hears(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-e.heard:
		if got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("not heard within %v: %s", patience, want)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func TestBothEndsOfACallHearEachOther(t *testing.T) {
	for name, opts := range map[string]Options{
		"over TLS":                     {TLS: true, Secret: []byte(secret)},
		"in plain text":                {},
		"in plain text, with a secret": {Secret: []byte(secret)},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Name = "b"
			b := serve(t, opts)
			opts.Name, opts.Peer = "a", b.address
			a := serve(t, opts)
			a.hears(t, "b says hello a")
			b.hears(t, "a says hello b")
			if n := testutil.ToFloat64(a.metrics.lines); n != 1 {
				t.Errorf("%v lines", n)
			}
		})
	}
}

func TestWhoDoesNotHaveTheSecretIsToldNothing(t *testing.T) {
	const other = "another secret, as long"
	for name, tt := range map[string]struct{ caller, called Options }{
		"the caller":          {Options{Secret: []byte(other)}, Options{Secret: []byte(secret)}},
		"the called one":      {Options{Secret: []byte(secret)}, Options{Secret: []byte(secret + ".")}},
		"one without any":     {Options{Secret: nil}, Options{Secret: []byte(secret)}},
		"one with the name":   {Options{Name: "b", Secret: []byte(secret)}, Options{Secret: []byte(secret)}},
		"one with a long one": {Options{Name: strings.Repeat("a", 200), Secret: []byte(secret)}, Options{Secret: []byte(secret)}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.called.Name = "b"
			b := serve(t, tt.called)
			tt.caller.Peer = b.address
			if tt.caller.Name == "" {
				tt.caller.Name = "a"
			}
			a := serve(t, tt.caller)
			eventually(t, "it is refused", func() bool {
				return testutil.ToFloat64(a.metrics.refused)+testutil.ToFloat64(b.metrics.refused) > 1
			})
			select {
			case got := <-a.heard:
				t.Errorf("the caller heard %q", got)
			case got := <-b.heard:
				t.Errorf("the called one heard %q", got)
			default:
			}
		})
	}
}

func TestRefusalsWithoutEndCostAFewLines(t *testing.T) {
	var said said
	b := serve(t, Options{Name: "b", Secret: []byte(secret), Log: slog.New(slog.NewTextHandler(&said, nil))})
	const calls = refusalsAtOnce + 20
	conn, err := grpc.NewClient(b.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range calls {
		stream, err := plimsollv1.NewPairServiceClient(conn).Talk(t.Context())
		if err == nil {
			err = stream.Send(&plimsollv1.TalkRequest{Name: "a", Proof: []byte("none")})
		}
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unauthenticated {
			t.Fatal(err)
		}
	}
	if n := testutil.ToFloat64(b.metrics.refused); n != calls {
		t.Errorf("%v refusals are counted, want %d", n, calls)
	}
	if n := said.lines(); n < 1 || n > refusalsAtOnce+2 {
		t.Errorf("%d lines are logged", n)
	}
}

// said counts lines.
type said struct {
	mu sync.Mutex
	n  int
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return len(p), nil
}

func (s *said) lines() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// A relay that ends TLS on both sides sees the proofs, and they are worth nothing
// on the other connection.
func TestWhoStandsBetweenThemIsFound(t *testing.T) {
	opts := Options{TLS: true, Secret: []byte(secret), Name: "b"}
	b := serve(t, opts)
	relay, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var relaying sync.WaitGroup
	relaying.Go(func() {
		for {
			in, err := relay.Accept()
			if err != nil {
				return // closed below
			}
			relaying.Go(func() {
				defer in.Close()
				out, err := tls.Dial("tcp", b.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				if err != nil {
					return
				}
				defer out.Close()
				relaying.Go(func() {
					defer in.Close()
					_, _ = io.Copy(in, out) // until either side ends
				})
				_, _ = io.Copy(out, in)
			})
		}
	})
	opts.Name, opts.Peer = "a", relay.Addr().String()
	a := serve(t, opts)
	eventually(t, "the caller finds out", func() bool { return testutil.ToFloat64(a.metrics.refused) > 1 })
	if n := testutil.ToFloat64(a.metrics.lines) + testutil.ToFloat64(b.metrics.lines); n != 0 {
		t.Errorf("%v lines are open", n)
	}
	a.stop()
	b.stop()
	_ = relay.Close()
	relaying.Wait()
}

func TestOneThatWasAwayIsCalledAgain(t *testing.T) {
	opts := Options{Secret: []byte(secret), Name: "b"}
	b := serve(t, opts)
	called := opts
	opts.Name, opts.Peer = "a", b.address
	a := serve(t, opts)
	a.hears(t, "b says hello a")
	b.stop()
	eventually(t, "it is away", func() bool { return testutil.ToFloat64(a.metrics.lines) == 0 })
	l, err := net.Listen("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	serveAt(t, l, called)
	a.hears(t, "b says hello a")
}

func TestASecretThatCouldBeGuessedIsRefused(t *testing.T) {
	talk := func(context.Context, string, Tube) error { return nil }
	for want, opts := range map[string]Options{
		"8 bytes":          {Name: "a", Secret: []byte("12345678"), Talk: talk},
		"needs a secret":   {Name: "a", TLS: true, Talk: talk},
		"needs a name":     {Secret: []byte(secret), Talk: talk},
		"somebody to talk": {Name: "a"},
	} {
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", opts.Name, err, want)
		}
	}
}

package collector_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/collector"
)

const anyPort = "127.0.0.1:0"

func TestOnlyLoopbackIsOpenedUnprotected(t *testing.T) {
	users := write(t, "web.yml", "basic_auth_users: {}\n")
	tests := map[string]struct {
		opts collector.Options
		want string // part of the error, or empty
	}{
		"loopback":                         {collector.Options{HTTPAddress: anyPort, GRPCAddress: anyPort}, ""},
		"localhost by name":                {collector.Options{HTTPAddress: "localhost:0", GRPCAddress: anyPort}, ""},
		"everywhere":                       {collector.Options{HTTPAddress: ":0", GRPCAddress: anyPort}, "--web.listen-address=:0 can be reached"},
		"everywhere, for agents":           {collector.Options{HTTPAddress: anyPort, GRPCAddress: "0.0.0.0:0"}, "--grpc.listen-address=0.0.0.0:0 can be reached"},
		"everywhere, by word":              {collector.Options{HTTPAddress: ":0", GRPCAddress: anyPort, Insecure: true}, ""},
		"agents prove who they are":        {collector.Options{HTTPAddress: anyPort, GRPCAddress: ":0", AgentsProven: true}, ""},
		"agents do, whatever the word":     {collector.Options{HTTPAddress: anyPort, GRPCAddress: ":0", Insecure: true}, "leave --grpc.tls=auto"},
		"a web configuration is for HTTP":  {collector.Options{HTTPAddress: ":0", GRPCAddress: anyPort, WebConfigFile: users}, ""},
		"a web configuration is no cipher": {collector.Options{HTTPAddress: anyPort, GRPCAddress: ":0", WebConfigFile: users}, "--grpc.listen-address"},
		"a port alone":                     {collector.Options{HTTPAddress: "9900", GRPCAddress: anyPort}, "give host:port"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := collector.Listen(tt.opts)
			if err == nil {
				defer s.Close()
			}
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestABadWebConfigurationIsToldBeforeAnythingIsOpened(t *testing.T) {
	for name, file := range map[string]string{
		"not there":     "/no/such/web.yml",
		"unknown key":   write(t, "key.yml", "tls: {}\n"),
		"bad password":  write(t, "users.yml", "basic_auth_users: {a: b}\n"),
		"cert, no file": write(t, "cert.yml", "tls_server_config: {cert_file: no.pem, key_file: no.pem}\n"),
	} {
		s, err := collector.Listen(collector.Options{HTTPAddress: anyPort, GRPCAddress: anyPort, WebConfigFile: file})
		if err == nil || !strings.Contains(err.Error(), "--web.config.file="+file) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

func TestTheURLIsHTTPSWhereTLSIsOn(t *testing.T) {
	cert, key := certificate(t)
	file := write(t, "web.yml", "tls_server_config: {cert_file: "+cert+", key_file: "+key+"}\n")
	s, err := collector.Listen(collector.Options{HTTPAddress: anyPort, GRPCAddress: anyPort, WebConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("%s, but the server speaks TLS", s.URL())
	}
}

// certificate makes files of a certificate that nobody signed but itself.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	self := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err1 := x509.CreateCertificate(rand.Reader, self, self, public, private)
	secret, err2 := x509.MarshalPKCS8PrivateKey(private)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	pemFile := func(name, kind string, data []byte) string {
		return write(t, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})))
	}
	return pemFile("cert.pem", "CERTIFICATE", signed), pemFile("key.pem", "PRIVATE KEY", secret)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhatServesEndsWhenTold(t *testing.T) {
	s, err := collector.Listen(collector.Options{HTTPAddress: anyPort, GRPCAddress: anyPort})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	routes := collector.Routes{
		Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "the page of "+r.URL.Path)
		}),
		Parts: map[string]http.Handler{"/api/v1/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.RawQuery)
		})},
		Metrics: prometheus.NewRegistry(),
		Reload:  func() error { return errors.New("policies.yml:3:1: no") },
		Ready:   func() error { return nil },
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, routes.Handler(), grpc.NewServer()) }()

	for _, tt := range []struct {
		method, path, origin string
		code                 int
		body                 string
	}{
		{http.MethodGet, "/-/healthy", "", http.StatusOK, "healthy"},
		{http.MethodGet, "/-/ready", "", http.StatusOK, "ready"},
		{http.MethodGet, "/-/reload", "", http.StatusMethodNotAllowed, ""},
		{http.MethodPost, "/-/reload", "", http.StatusInternalServerError, "policies.yml:3:1: no"},
		{http.MethodPost, "/-/reload", "https://evil.example", http.StatusForbidden, ""},
		{http.MethodGet, "/no-such", "", http.StatusNotFound, ""},
		{http.MethodGet, "/graph?g0.expr=up+%3D%3D+0&g0.tab=1", "", http.StatusOK, "the page of /graph"}, // where messages lead to
	} {
		code, body := request(t, tt.method, s.URL()+tt.path, tt.origin)
		if code != tt.code || !strings.Contains(body, tt.body) {
			t.Errorf("%s %s from %q: %d %q, want %d and %q", tt.method, tt.path, tt.origin, code, body, tt.code, tt.body)
		}
	}

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still serving a minute after the end")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func request(t *testing.T, method, url, origin string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

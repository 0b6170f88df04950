package collector_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/collector"
)

const anyPort = "127.0.0.1:0"

func TestOnlyLoopbackIsOpenedUnprotected(t *testing.T) {
	tests := map[string]struct {
		opts collector.Options
		want string // part of the error, or empty
	}{
		"loopback":                         {collector.Options{HTTPAddress: anyPort, GRPCAddress: anyPort}, ""},
		"localhost by name":                {collector.Options{HTTPAddress: "localhost:0", GRPCAddress: anyPort}, ""},
		"everywhere":                       {collector.Options{HTTPAddress: ":0", GRPCAddress: anyPort}, "--web.listen-address=:0 can be reached"},
		"everywhere, for agents":           {collector.Options{HTTPAddress: anyPort, GRPCAddress: "0.0.0.0:0"}, "--grpc.listen-address=0.0.0.0:0 can be reached"},
		"everywhere, by word":              {collector.Options{HTTPAddress: ":0", GRPCAddress: ":0", Insecure: true}, ""},
		"a web configuration is for HTTP":  {collector.Options{HTTPAddress: ":0", GRPCAddress: anyPort, WebConfigFile: "web.yml"}, ""},
		"a web configuration is no cipher": {collector.Options{HTTPAddress: anyPort, GRPCAddress: ":0", WebConfigFile: "web.yml"}, "--grpc.listen-address"},
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

func TestWhatServesEndsWhenTold(t *testing.T) {
	s, err := collector.Listen(collector.Options{HTTPAddress: anyPort, GRPCAddress: anyPort})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	routes := collector.Routes{
		Page:    http.NotFoundHandler(),
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
	case <-time.After(10 * time.Second):
		t.Fatal("still serving 10 s after the end")
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

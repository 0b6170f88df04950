package door_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/internal/door"
)

// Whoever opens connections without end has others wait, and not the memory of
// the process.
func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	registry := prometheus.NewRegistry()
	h, err := door.ListenHTTP(door.HTTPOptions{Address: "127.0.0.1:0", MaxConnections: 2, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- h.Run(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	ask := func(one *http.Transport) error {
		answer, err := (&http.Client{Transport: one}).Get(h.URL())
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body) // and the connection stays open
		return err
	}
	open := []*http.Transport{{}, {}}
	for _, one := range open {
		defer one.CloseIdleConnections()
		if err := ask(one); err != nil {
			t.Fatal(err)
		}
	}
	third := &http.Transport{}
	defer third.CloseIdleConnections()
	answered := make(chan error, 1)
	go func() { answered <- ask(third) }()
	select {
	case err := <-answered:
		t.Fatalf("answered beside two others, error %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	for name, want := range map[string]float64{"plimsoll_http_connections": 2, "plimsoll_http_connections_limit": 2} {
		if got := metric(t, registry, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	open[0].CloseIdleConnections()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// metric is the value of a gauge without labels, or -1.
func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

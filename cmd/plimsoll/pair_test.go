package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// paired is a collector of which only the line to another one is made.
func paired(t *testing.T, peer, secret, tls string) (*collectorParts, error) {
	t.Helper()
	p := &collectorParts{log: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry(), agents: grpc.NewServer()}
	p.flags.grpc, p.flags.identity.tls = "127.0.0.1:9901", tls
	p.flags.pair = pairFlags{name: "a", peer: peer}
	if secret != "" {
		p.flags.pair.secret = filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(p.flags.pair.secret, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p, p.makePair()
}

func TestAPairThatOthersCouldListenToOrJoinIsRefused(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef\n"
	for name, tt := range map[string]struct{ peer, secret, tls, want string }{
		"this machine":              {"127.0.0.1:1", "", "auto", ""},
		"with a secret and TLS":     {"b.example.com:9901", secret, "auto", ""},
		"without a secret":          {"b.example.com:9901", "", "auto", "needs --pair.secret-file"},
		"a secret of white space":   {"b.example.com:9901", strings.Repeat(" \n", 20), "auto", "needs --pair.secret-file"},
		"another machine, no TLS":   {"b.example.com:9901", secret, "off", "--grpc.tls=off"},
		"a secret that is guessed":  {"b.example.com:9901", "short\n" + strings.Repeat(" ", 20), "auto", "5 bytes"},
		"this machine, and no TLS":  {"127.0.0.1:1", secret, "off", ""},
		"this machine, told to TLS": {"127.0.0.1:1", "", "on", "needs a secret"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := paired(t, tt.peer, tt.secret, tt.tls)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTheLineToTheOtherEndsAfterAlerting(t *testing.T) {
	p, err := paired(t, "127.0.0.1:1", "", "auto")
	if err != nil {
		t.Fatal(err)
	}
	var told context.CancelFunc
	p.telling, told = context.WithCancel(t.Context())
	stopped, stop := context.WithCancel(t.Context())
	stop()
	ended := make(chan error, 1)
	go func() { ended <- p.loops[0].Run(stopped) }()
	// It still calls: there is nobody, so each attempt is counted.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for failed := 0.0; failed < 2; {
		select {
		case err := <-ended:
			t.Fatalf("it ended while alerting tells: %v", err)
		case <-tick.C:
		}
		families, err := p.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "plimsoll_pair_failures_total" {
				failed = f.GetMetric()[0].GetCounter().GetValue()
			}
		}
	}
	told()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

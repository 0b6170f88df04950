package collector

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/internal/door"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// Options say where a Server listens.
type Options struct {
	HTTPAddress string // "127.0.0.1:9900"
	GRPCAddress string // "127.0.0.1:9901"
	// WebConfigFile turns on TLS and basic auth for HTTP, in the format of
	// Prometheus' exporter-toolkit. Empty for neither.
	WebConfigFile string
	// Names are hosts by which a proxy on this machine asks for HTTPAddress if
	// that is loopback, besides localhost.
	Names []string
	// AgentsProven says that the gRPC server that Run gets speaks TLS and knows
	// by their certificates who calls. Without it GRPCAddress must be loopback.
	AgentsProven bool
	// Insecure allows an HTTPAddress other than loopback without encryption.
	Insecure bool
	// MaxConnections to the HTTP server are open at a time; a default if 0.
	MaxConnections int
	Registerer     prometheus.Registerer // may be nil
	Log            *slog.Logger
}

// Server is the collector's two doors: HTTP for people and gRPC for agents.
type Server struct {
	http *door.HTTP
	grpc net.Listener
}

// Listen binds both addresses, so that a port in use is known before anything
// else is opened. The caller either runs the server or closes it.
func Listen(opts Options) (*Server, error) {
	web, err := door.ListenHTTP(door.HTTPOptions{
		Address: opts.HTTPAddress, ConfigFile: opts.WebConfigFile, Names: opts.Names, Insecure: opts.Insecure,
		MaxConnections: opts.MaxConnections, Registerer: opts.Registerer, Log: opts.Log,
	})
	if err != nil {
		return nil, err
	}
	agents, err := door.Listen("grpc.listen-address", opts.GRPCAddress, "or leave --grpc.tls=auto in force, which has agents prove who they are", opts.AgentsProven)
	if err != nil {
		return nil, errors.Join(err, web.Close())
	}
	return &Server{http: web, grpc: agents}, nil
}

// URL is where people find the console.
func (s *Server) URL() string { return s.http.URL() }

// User is who sends a request by HTTP, and whether that is proven.
func (s *Server) User(r *http.Request) (name string, proven bool) { return s.http.User(r) }

// GRPCAddress is where agents connect to.
func (s *Server) GRPCAddress() string { return s.grpc.Addr().String() }

// Close gives the addresses back. A server that ran has done so already.
func (s *Server) Close() error {
	err := s.http.Close()
	if e := s.grpc.Close(); !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// Run serves until ctx ends, then lets what is in flight finish for a while.
func (s *Server) Run(ctx context.Context, handler http.Handler, agents *grpc.Server) error {
	return lifecycle.Run(ctx,
		lifecycle.Loop{Name: "http", Run: func(ctx context.Context) error { return s.http.Run(ctx, handler) }},
		lifecycle.Loop{Name: "grpc", Run: func(ctx context.Context) error { return s.serveGRPC(ctx, agents) }},
	)
}

func (s *Server) serveGRPC(ctx context.Context, agents *grpc.Server) error {
	ended := make(chan error, 1)
	go func() { ended <- agents.Serve(s.grpc) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// The streams end by themselves once ingest has said its last.
	force := time.AfterFunc(door.Drain, agents.Stop)
	defer force.Stop()
	agents.GracefulStop()
	if err := <-ended; !errors.Is(err, grpc.ErrServerStopped) { // told to stop before it began
		return err
	}
	return nil
}

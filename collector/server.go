package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// drain is how long requests in flight may take at the end.
const drain = 5 * time.Second

// Options say where a Server listens.
type Options struct {
	HTTPAddress string // "127.0.0.1:9900"
	GRPCAddress string // "127.0.0.1:9901"
	// WebConfigFile turns on TLS and basic auth for HTTP, in the format of
	// Prometheus' exporter-toolkit. Empty for neither.
	WebConfigFile string
	// Insecure allows addresses other than loopback without encryption.
	Insecure bool
	Log      *slog.Logger
}

// Server is the collector's two doors: HTTP for people and gRPC for agents.
type Server struct {
	opts       Options
	scheme     string
	http, grpc net.Listener
}

// Listen binds both addresses, so that a port in use is known before anything
// else is opened. The caller either runs the server or closes it.
func Listen(opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts}
	var err error
	if s.scheme, err = readWebConfig(opts.WebConfigFile); err != nil {
		return nil, err
	}
	if s.http, err = listen("web.listen-address", opts.HTTPAddress, opts.Insecure || opts.WebConfigFile != ""); err != nil {
		return nil, err
	}
	if s.grpc, err = listen("grpc.listen-address", opts.GRPCAddress, opts.Insecure); err != nil {
		return nil, errors.Join(err, s.http.Close())
	}
	return s, nil
}

// readWebConfig makes sure of a web configuration before anything else is opened,
// and tells the scheme that it makes of HTTP.
func readWebConfig(file string) (scheme string, err error) {
	if file == "" {
		return "http", nil
	}
	if err := web.Validate(file); err != nil {
		return "", fmt.Errorf("--web.config.file=%s: %w; correct the file, its format is that of Prometheus", file, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--web.config.file: %w", err)
	}
	doc, err := conf.Parse(file, data)
	if err != nil {
		return "", err
	}
	if doc.Has("tls_server_config.cert") || doc.Has("tls_server_config.cert_file") {
		return "https", nil
	}
	return "http", nil
}

func listen(flag, address string, anywhere bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w; give host:port, as in 127.0.0.1:9900", flag, address, err)
	}
	if ip := net.ParseIP(host); !anywhere && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("--%s=%s can be reached from other machines, and nothing protects it; "+
			"listen on 127.0.0.1, give --web.config.file with TLS and users, or say --insecure if the network itself is trusted", flag, address)
	}
	l, err := net.Listen("tcp", address) //nolint:noctx // binding does not wait
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--%s=%s: the port is in use, probably by another collector; stop that one or choose another port", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w", flag, address, err)
	}
	return l, nil
}

// URL is where people find the console.
func (s *Server) URL() string { return s.scheme + "://" + s.http.Addr().String() }

// GRPCAddress is where agents connect to.
func (s *Server) GRPCAddress() string { return s.grpc.Addr().String() }

// Close gives the addresses back. A server that ran has done so already.
func (s *Server) Close() error {
	var errs []error
	for _, l := range []net.Listener{s.http, s.grpc} {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, then lets what is in flight finish for a while.
func (s *Server) Run(ctx context.Context, handler http.Handler, agents *grpc.Server) error {
	return lifecycle.Run(ctx,
		lifecycle.Loop{Name: "http", Run: func(ctx context.Context) error { return s.serveHTTP(ctx, handler) }},
		lifecycle.Loop{Name: "grpc", Run: func(ctx context.Context) error { return s.serveGRPC(ctx, agents) }},
	)
}

func (s *Server) serveHTTP(ctx context.Context, handler http.Handler) error {
	srv := &http.Server{
		// A page on another site must not reach what changes things here.
		Handler:           http.NewCrossOriginProtection().Handler(handler),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() {
		systemd := false
		ended <- web.Serve(s.http, srv, &web.FlagConfig{
			WebSystemdSocket: &systemd,
			WebConfigFile:    &s.opts.WebConfigFile,
		}, s.opts.Log)
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := srv.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
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
	force := time.AfterFunc(drain, agents.Stop)
	defer force.Stop()
	agents.GracefulStop()
	if err := <-ended; !errors.Is(err, grpc.ErrServerStopped) { // told to stop before it began
		return err
	}
	return nil
}

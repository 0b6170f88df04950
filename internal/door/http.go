package door

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Drain is how long requests in flight may take at the end.
const Drain = 5 * time.Second

// HTTPOptions say where and how HTTP is served.
type HTTPOptions struct {
	Address string // "127.0.0.1:9900", as given by --web.listen-address
	// ConfigFile turns on TLS and basic auth, in the format of Prometheus'
	// exporter-toolkit. Empty for neither.
	ConfigFile string
	// Names are hosts by which a proxy on this machine, or a tunnel to it, asks
	// for an address of loopback, besides localhost. Others are refused.
	Names []string
	// Insecure allows addresses other than loopback without encryption.
	Insecure bool
	// MaxConnections are open at a time; more wait until one is closed. 512 if 0,
	// as in Prometheus.
	MaxConnections int
	Registerer     prometheus.Registerer // gets the metrics of connections; may be nil
	Log            *slog.Logger
}

// HTTP is a port at which HTTP is served.
type HTTP struct {
	opts        HTTPOptions
	scheme      string
	listener    net.Listener
	connections prometheus.Gauge
}

// ListenHTTP makes sure of the web configuration and binds the address. The
// caller either runs what it returns or closes it.
func ListenHTTP(opts HTTPOptions) (*HTTP, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.MaxConnections = cmp.Or(opts.MaxConnections, 512)
	h := &HTTP{opts: opts, connections: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "plimsoll_http_connections", Help: "Connections to the HTTP server that are open.",
	})}
	var err error
	if h.scheme, err = readWebConfig(opts.ConfigFile); err != nil {
		return nil, err
	}
	h.listener, err = Listen("web.listen-address", opts.Address, "give --web.config.file with TLS and users, or say --insecure if the network itself is trusted", opts.Insecure || opts.ConfigFile != "")
	if err != nil {
		return nil, err
	}
	h.listener = netutil.LimitListener(h.listener, opts.MaxConnections)
	if err := h.register(); err != nil {
		return nil, errors.Join(err, h.listener.Close())
	}
	return h, nil
}

func (h *HTTP) register() error {
	if h.opts.Registerer == nil {
		return nil
	}
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "plimsoll_http_connections_limit", Help: "Connections to the HTTP server that may be open; more wait.",
	})
	limit.Set(float64(h.opts.MaxConnections))
	return errors.Join(h.opts.Registerer.Register(h.connections), h.opts.Registerer.Register(limit))
}

// count is told what becomes of connections.
func (h *HTTP) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		h.connections.Inc()
	case http.StateClosed, http.StateHijacked:
		h.connections.Dec()
	}
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

// URL is where it is served.
func (h *HTTP) URL() string { return h.scheme + "://" + h.listener.Addr().String() }

// Close gives the address back. After Run that has been done.
func (h *HTTP) Close() error {
	if err := h.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// User is who sends a request, and whether that is proven: by a certificate, or by
// the password of a user that the web configuration has. It counts only for what
// has come through Run, which has turned everybody else away.
func (h *HTTP) User(r *http.Request) (name string, proven bool) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		subject := r.TLS.VerifiedChains[0][0].Subject
		name = cmp.Or(subject.CommonName, subject.String())
		return name, name != ""
	}
	name, _, given := r.BasicAuth()
	if !given || name == "" || h.opts.ConfigFile == "" {
		return "", false
	}
	// The file is read at each request by those who ask for passwords as well.
	data, err := os.ReadFile(h.opts.ConfigFile)
	if err != nil {
		return "", false
	}
	doc, err := conf.Parse(h.opts.ConfigFile, data)
	if err != nil || !doc.Has("basic_auth_users."+name) {
		return "", false
	}
	return name, true
}

// Run serves until ctx ends, then lets what is in flight finish for a while.
func (h *HTTP) Run(ctx context.Context, handler http.Handler) error {
	srv := &http.Server{
		// A page on another site must not reach what changes things here.
		Handler:           h.onlyKnown(http.NewCrossOriginProtection().Handler(handler)),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState:         h.count,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() {
		systemd := false
		ended <- web.Serve(h.listener, srv, &web.FlagConfig{
			WebSystemdSocket: &systemd,
			WebConfigFile:    &h.opts.ConfigFile,
		}, h.opts.Log)
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), Drain)
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

// Package relay passes the connections of agents on to a collector that they
// cannot reach themselves: from a data centre to the cloud, say. It passes bytes,
// not frames. Encryption, identity, numbering and acknowledgement stay between
// the agent and the collector behind the relay, so the relay holds nothing that
// could be lost or forged, and whatever is delivered exactly once without it is
// with it.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// Options say from where to where.
type Options struct {
	// Address is where agents connect to, host:port.
	Address string
	// Upstream is the gRPC address of the collector behind, host:port.
	Upstream string
	// MaxConnections at a time; 0 means 4096. Those beyond are closed at once,
	// and agents come back by themselves.
	MaxConnections int
	Log            *slog.Logger
	Registerer     prometheus.Registerer
}

const (
	defaultConnections = 4096
	dialTimeout        = 10 * time.Second
	// A peer that is gone without a word is noticed within a minute; the agents'
	// own pings, which go through, are faster.
	keepAlive = 15 * time.Second
	// acceptPause is how long to wait where no connection can be accepted.
	acceptPause = time.Second
)

// Relay is open from Listen to Close.
type Relay struct {
	opts     Options
	log      *slog.Logger
	listener net.Listener
	places   chan struct{}
	metrics  *metrics
}

// Listen binds the address.
func Listen(ctx context.Context, opts Options) (*Relay, error) {
	if _, _, err := net.SplitHostPort(opts.Upstream); err != nil {
		return nil, fmt.Errorf("relay: the collector to pass agents on to: %w", err)
	}
	if opts.MaxConnections <= 0 {
		opts.MaxConnections = defaultConnections
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	r := &Relay{opts: opts, log: opts.Log, places: make(chan struct{}, opts.MaxConnections), metrics: newMetrics()}
	config := net.ListenConfig{KeepAlive: keepAlive}
	var err error
	if r.listener, err = config.Listen(ctx, "tcp", opts.Address); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if opts.Registerer != nil {
		if err := r.metrics.register(opts.Registerer); err != nil {
			return nil, errors.Join(fmt.Errorf("relay: register metrics: %w", err), r.listener.Close())
		}
	}
	return r, nil
}

// Address is where the relay listens.
func (r *Relay) Address() string { return r.listener.Addr().String() }

// Close is for a relay that never ran.
func (r *Relay) Close() error {
	if err := r.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Run passes connections on until ctx ends, and ends them with it.
func (r *Relay) Run(ctx context.Context) error {
	var passing sync.WaitGroup
	defer passing.Wait()
	defer context.AfterFunc(ctx, func() { _ = r.listener.Close() })()
	for {
		agent, err := r.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = agent.Close()
			}
			return r.Close()
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("relay: %w", err)
		}
		if err != nil { // too many open files, say: the connections there are go on
			r.metrics.refused.WithLabelValues("failed").Inc()
			r.log.Warn("agent not accepted, trying again", "in", acceptPause, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		select {
		case r.places <- struct{}{}:
		default:
			r.metrics.refused.WithLabelValues("full").Inc()
			_ = agent.Close()
			continue
		}
		passing.Go(func() {
			defer func() { <-r.places }()
			r.pass(ctx, agent)
		})
	}
}

// pass connects an agent to the collector behind.
func (r *Relay) pass(ctx context.Context, agent net.Conn) {
	defer agent.Close()
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	behind, err := dialer.DialContext(ctx, "tcp", r.opts.Upstream)
	if err != nil {
		if ctx.Err() == nil {
			r.metrics.refused.WithLabelValues("unreachable").Inc()
			r.log.Warn("agent not passed on", "agent", agent.RemoteAddr(), "to", r.opts.Upstream, "err", err)
		}
		return
	}
	defer behind.Close()
	r.metrics.connections.Inc()
	defer r.metrics.connections.Dec()
	_ = lifecycle.Run(ctx, // either side's end, however it came, ends both
		lifecycle.Loop{Name: "up", Run: carry(behind, agent, r.metrics.bytes.WithLabelValues("up"))},
		lifecycle.Loop{Name: "down", Run: carry(agent, behind, r.metrics.bytes.WithLabelValues("down"))},
	)
}

// carry copies one direction. It returns when its source ends or its context
// does; a stream of gRPC has no use for one direction without the other.
func carry(to, from net.Conn, count prometheus.Counter) func(context.Context) error {
	return func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() {
			_ = from.SetDeadline(time.Unix(1, 0))
			_ = to.SetDeadline(time.Unix(1, 0))
		})()
		_, err := io.Copy(counted{to, count}, from)
		return err
	}
}

type counted struct {
	io.Writer
	count prometheus.Counter
}

// Write implements io.Writer.
func (c counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.count.Add(float64(n))
	return n, err
}

type metrics struct {
	connections    prometheus.Gauge
	refused, bytes *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "plimsoll_relay_connections", Help: "Connections that are being passed on.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_relay_refused_total",
			Help: "Connections that were not passed on: full (there were too many), unreachable (the collector behind did not answer), failed (the system would not let them in).",
		}, []string{"reason"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_relay_bytes_total", Help: "Bytes passed on, up to the collector behind and down to agents.",
		}, []string{"direction"}),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.connections, m.refused, m.bytes} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Package stream brings what is in an agent's spool to a collector, or to
// several.
//
//	           ┌ live:      Next ─ Encoder ─ Packer ┐
//	spool ─────┤                                    ├─ Push ══ collector
//	           └ backfill:  Next ─ Encoder ─ Packer ┘
//
// It keeps one gRPC stream open, sends each batch as a frame, and lets the
// spool forget it once the collector has it on stable storage. It never gives
// up: while no collector listens, batches stay in the spool. After an outage the
// present goes first, and the past beside it as fast as the collector asks.
package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/plimsoll-io/plimsoll/agent/spool"
)

// Options say what to send, where to, and in whose name.
type Options struct {
	Spool    *spool.Spool
	Target   string        // the collector, "host:port" or any gRPC target
	Node     string        // the node's name, as operators know it
	BootID   string        // the kernel's, empty if unknown
	Version  string        // of the agent
	Interval time.Duration // the agent's tick while nobody slows it; default 1 s
	Round    uint32        // in how many ticks everything is read once; 0 if that is not known
	Settings *Settings     // where the collector's wishes go; nil if nobody heeds them

	Credentials credentials.TransportCredentials // default: plain text
	DialOptions []grpc.DialOption                // further ones
	// DialFor gives still others for one of several collectors; may be nil.
	DialFor func(target string) []grpc.DialOption
	// Beside runs on the connection of each stream for as long as that lasts, for
	// what else there is to say; may be nil.
	Beside func(context.Context, grpc.ClientConnInterface) error

	Drain     time.Duration // how long to flush when told to end; default 2 s
	MaxFrames int           // sent and not acknowledged; default 256
	MaxBytes  int           // of those frames; default 4 MiB

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Stream sends a spool's batches to one collector. Run does it.
type Stream struct {
	opts    Options
	dial    []grpc.DialOption
	metrics *metrics
	packer  *Packer
	cursor  *spool.Cursor
	wishes  *wishes // nil if nobody heeds them

	away   bool          // it has been said that no collector is there
	said   string        // the last refusal that was logged
	skip   atomic.Uint64 // a frame that is too large to be sent
	resent atomic.Uint64 // frames that the collector had acknowledged
}

// New completes opts and complains of what is missing. It starts nothing.
func New(opts Options) (*Stream, error) {
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	return newStream(opts, m)
}

func newStream(opts Options, m *fleetMetrics) (*Stream, error) {
	if opts.Spool == nil || opts.Target == "" || opts.Node == "" {
		return nil, errors.New("a stream needs a spool, the address of a collector and the name of the node")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Credentials == nil {
		opts.Credentials = insecure.NewCredentials()
	}
	opts.Interval = cmp.Or(opts.Interval, time.Second)
	opts.Drain = cmp.Or(opts.Drain, 2*time.Second)
	opts.MaxFrames = cmp.Or(opts.MaxFrames, 256)
	opts.MaxBytes = cmp.Or(opts.MaxBytes, 4<<20)
	p, err := NewPacker()
	if err != nil {
		return nil, err
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(opts.Credentials),
		grpc.WithUserAgent("plimsoll-agent/" + cmp.Or(opts.Version, "unknown")),
		// Without these a partition goes unnoticed until the kernel gives up,
		// and a collector that is back waits for minutes. The time limit of
		// the keepalive becomes TCP_USER_TIMEOUT.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: firstDelay, Multiplier: 2, Jitter: 0.2, MaxDelay: maxDelay},
			MinConnectTimeout: connectTimeout,
		}),
	}, opts.DialOptions...)
	if opts.DialFor != nil {
		dial = append(dial, opts.DialFor(opts.Target)...)
	}
	s := &Stream{opts: opts, dial: dial, metrics: m.of(opts.Target), packer: p, cursor: opts.Spool.Cursor(opts.Target)}
	if opts.Settings != nil {
		s.wishes = opts.Settings.of(opts.Target)
	}
	return s, nil
}

// Run sends until ctx ends; then it flushes, for a short time, and says
// goodbye.
func (s *Stream) Run(ctx context.Context) error {
	var b backoff
	for {
		progress, err := s.session(ctx)
		s.metrics.connected.Set(0)
		if ctx.Err() != nil {
			return nil
		}
		if progress {
			b.reset()
		}
		delay := b.next()
		if what, calm, final := remedy(err); final {
			s.refused(err, what)
			delay = max(delay, jitter(calm))
		} else {
			s.unreachable(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
			s.metrics.reconnects.Inc()
		}
	}
}

// unreachable says once that nobody listens.
func (s *Stream) unreachable(err error) {
	// A stream ends so when the certificate it began with has run out.
	if s.away || errors.Is(err, errAgain) || status.Code(err) == codes.Aborted {
		return
	}
	s.away = true
	s.opts.Log.Warn("collector unreachable, spooling; check that it runs and that its address is right",
		"target", s.opts.Target, "err", reason(err))
}

// refused says once, for each reason, why the collector does not listen.
func (s *Stream) refused(err error, what string) {
	if why := reason(err); s.said != why {
		s.said, s.away = why, true
		s.opts.Log.Error("collector refuses this agent, spooling; "+what, "target", s.opts.Target, "err", why)
	}
}

// reachable says that it is well again, or for the first time.
func (s *Stream) reachable(next uint64) {
	s.away, s.said = false, ""
	s.metrics.connected.Set(1)
	s.opts.Log.Info("connected to collector", "target", s.opts.Target, "from", next, "backlog", s.opts.Spool.NextSeq()-min(next, s.opts.Spool.NextSeq()))
}

// reason is what an error says, without gRPC's words around it.
func reason(err error) string {
	if st, ok := status.FromError(err); ok && st != nil {
		return fmt.Sprintf("%s: %s", st.Code(), st.Message())
	}
	return err.Error()
}

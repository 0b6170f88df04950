package identity

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	// DefaultLifetime is how long a node's certificate is good, and the most.
	DefaultLifetime = 24 * time.Hour
	// MaxTokenTTL bounds the life of a token.
	MaxTokenTTL = time.Hour

	// lateRenewal is for how long a certificate that has expired is still good
	// to get the next one. A collector that was away for days would else have
	// to be joined anew by every node.
	lateRenewal = 30 * 24 * time.Hour
	// lastOnes is how many of a node's certificates that is true of: the answer
	// with the very last may have been lost.
	lastOnes = 2
	// rememberTokens is for how long it can be told that a token has expired,
	// rather than that there is no such token.
	rememberTokens = time.Hour
	maxTokens      = 1000
	// maxLive bounds the certificates of a node that are good at a time, and so
	// what one that renews without end can have remembered.
	maxLive = 16
)

// Options say where an Authority keeps its secrets and what it vouches for.
type Options struct {
	Dir string // of its keys, and of what it has issued to whom
	// Names are hosts and IP addresses that the collector's certificate is also
	// good for, to clients that are not agents.
	Names []string
	// Advertise is the collector's address in join strings, host:port.
	Advertise string
	// Socket is where commands are taken; default admin.sock in Dir. The kernel
	// takes 107 bytes.
	Socket string
	// Lifetime of a node's certificate, from 1 s to DefaultLifetime, which it is
	// by default.
	Lifetime   time.Duration
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Authority gives nodes their certificates, and knows which of them count.
type Authority struct {
	plimsollv1.UnimplementedEnrollServiceServer

	opts    Options
	log     *slog.Logger
	metrics *metrics
	lock    *os.File
	// commands are taken here; Run serves them.
	commands  net.Listener
	strangers strangers

	mu       sync.Mutex
	ca       *ca
	server   *tls.Certificate // nil until it is asked for
	state    state
	attempts attempts
	refusals *rate.Limiter // of what is logged of them
	streams  map[*stream]struct{}
}

// Open takes the directory, and makes an authority if it has none.
func Open(opts Options) (*Authority, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Lifetime = cmp.Or(opts.Lifetime, DefaultLifetime)
	if opts.Lifetime < time.Second || opts.Lifetime > DefaultLifetime {
		return nil, fmt.Errorf("--grpc.certificate-lifetime=%v: certificates of nodes last for 1s to %v", opts.Lifetime, DefaultLifetime)
	}
	if err := join.CheckAddress(opts.Advertise); err != nil {
		return nil, fmt.Errorf("what agents are told to connect to: %w; say it with --grpc.advertise-address", err)
	}
	opts.Socket = cmp.Or(opts.Socket, SocketIn(opts.Dir))
	a := &Authority{opts: opts, log: opts.Log, streams: map[*stream]struct{}{}, refusals: rate.NewLimiter(1, 20)}
	var err error
	if a.lock, err = claim(opts.Dir); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	if err = a.load(); err != nil {
		err = fmt.Errorf("%w; put back a copy of %s, or remove it and join every node again", err, opts.Dir)
	}
	if err == nil {
		a.commands, err = listenSocket(opts.Socket)
	}
	if err == nil {
		err = a.register()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open authority: %w", err), a.Close())
	}
	return a, nil
}

// load reads the authority, or makes one. What is remembered is written first:
// keys without memory are then a loss that is noticed, not a beginning.
func (a *Authority) load() (err error) {
	file := filepath.Join(a.opts.Dir, stateFile)
	// It may have a key in it that is to be gone.
	if err := errors.Join(durable.DropTorn(file), durable.DropTorn(filepath.Join(a.opts.Dir, caFile))); err != nil {
		return err
	}
	_, missing := os.Stat(filepath.Join(a.opts.Dir, caFile))
	a.state, err = openState(a.opts.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		if missing == nil {
			return fmt.Errorf("%s is not there, and with it what was revoked", file)
		}
		err = a.state.save(a.opts.Dir)
	}
	if err != nil {
		return err
	}
	if a.ca, err = openCA(a.opts.Dir); err != nil {
		return err
	}
	if missing != nil {
		a.log.Info("made an authority for the certificates of this collector's nodes; keep a copy of its directory",
			"dir", a.opts.Dir, "pin", join.PinOf(a.ca.cert))
	}
	return nil
}

// Close gives the directory back. Run, if it was called, must have returned.
func (a *Authority) Close() error {
	var err error
	if a.commands != nil {
		if err = a.commands.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	return errors.Join(err, a.lock.Close())
}

// change makes a change that is on stable storage when it returns, or none. a.mu
// is held.
func (a *Authority) change(now time.Time, f func(*state) error) error {
	next := a.state.clone()
	if err := f(&next); err != nil {
		return err
	}
	next.prune(now)
	if err := next.save(a.opts.Dir); err != nil {
		a.metrics.errors.Inc()
		a.log.Error("what the authority remembers cannot be written, so nothing was changed; see to the disk", "err", err)
		return fmt.Errorf("write what the authority remembers: %w", err)
	}
	a.state = next
	return nil
}

// certificate is the collector's own. It is made anew in time, by the first who
// asks after two thirds of its life.
func (a *Authority) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if s := a.server; s != nil && now.Before(s.Leaf.NotAfter.Add(-serverLife/3)) {
		return s, nil
	}
	s, err := a.ca.server(a.opts.Names)
	if err != nil {
		return nil, err
	}
	a.server = s
	return s, nil
}

// Rotate makes a new authority that signs from now on. The one before is trusted
// for as long as any certificate of it can be good, even for a late renewal;
// until then there can be no further one. It returns that time.
func (a *Authority) Rotate(_ context.Context) (until time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if r := a.ca.retired; r != nil && now.Before(r.until) {
		return time.Time{}, fmt.Errorf("the authority before this one is still trusted, until %s; wait until then. "+
			"If a key of the authority may be in wrong hands, remove %s and join every node again", r.until.UTC().Format(time.RFC3339), a.opts.Dir)
	}
	next, err := a.ca.succeed(now.Add(a.opts.Lifetime + lateRenewal))
	if err != nil {
		return time.Time{}, err
	}
	if err := next.save(a.opts.Dir); err != nil {
		return time.Time{}, fmt.Errorf("write the new authority: %w", err)
	}
	a.ca, a.server = next, nil
	a.log.Info("a new authority signs from now on", "pin", join.PinOf(next.cert), "before_trusted_until", next.retired.until)
	return next.retired.until, nil
}

package pair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// MaxPayload is the largest payload, in bytes.
const MaxPayload = 1 << 20

// leastSecret is how many bytes a secret has at the least. It must not be
// guessed: whoever connects gets a proof to try guesses on.
const leastSecret = 16

// refusalEach is how often a refusal is logged, after refusalsAtOnce of them.
const (
	refusalEach    = time.Minute
	refusalsAtOnce = 5
)

// Tube is a way to the other collector. Each of its methods may be called by one
// goroutine at a time. Both fail once the connection has ended.
type Tube interface {
	Send(payload []byte) error
	Recv() ([]byte, error)
}

// Options are what a Pair works with. Name and Talk are needed.
type Options struct {
	// Name is this collector's own; the other must have another.
	Name string
	// Peer is the address of the other's gRPC server. Empty: this one is only
	// called.
	Peer string
	// Secret is what both have, 16 bytes at least. It may be empty where both
	// ends talk in plain text, which is for loopback.
	Secret []byte
	// TLS tells whether the other's server speaks it.
	TLS bool
	// Bind returns bytes that belong to the connection of a call, which both ends
	// of it know and nobody can choose, or nil if it is in plain text. Nil: all
	// calls are.
	Bind func(ctx context.Context) ([]byte, error)
	// Admitted is told of a call whose other end has proven itself; may be nil.
	Admitted func(ctx context.Context)
	// Talk lasts until a tube ends or ctx does. It is called for each connection,
	// with the name that the other goes by.
	Talk func(ctx context.Context, peer string, tube Tube) error

	Retry      time.Duration         // between two attempts to call; 1 s if 0
	Registerer prometheus.Registerer // none if nil
	Log        *slog.Logger          // none if nil
}

// Pair calls the other collector and answers its calls.
type Pair struct {
	plimsollv1.UnimplementedPairServiceServer
	opts    Options
	log     *slog.Logger
	metrics *metrics
	// refusals is how many of them are logged. All are counted.
	refusals *rate.Limiter
	ending   context.Context // of the calls that are answered
	end      context.CancelFunc

	mu    sync.Mutex // of talks and their end
	talks sync.WaitGroup
}

// New completes opts. It starts nothing: see Run.
func New(opts Options) (*Pair, error) {
	if opts.Name == "" || opts.Talk == nil {
		return nil, errors.New("a pair needs a name for this collector, and somebody to talk")
	}
	if n := len(opts.Secret); n > 0 && n < leastSecret {
		return nil, fmt.Errorf("the secret of the pair has %d bytes; make one of %d at least, say by: openssl rand -hex 32", n, leastSecret)
	}
	if opts.TLS && len(opts.Secret) == 0 {
		return nil, errors.New("a pair whose collectors others can reach needs a secret; put the same file on both, made by: openssl rand -hex 32")
	}
	opts.Retry = cmp.Or(opts.Retry, time.Second)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	p := &Pair{opts: opts, log: opts.Log, metrics: m, refusals: rate.NewLimiter(rate.Every(refusalEach), refusalsAtOnce)}
	p.ending, p.end = context.WithCancel(context.Background())
	return p, nil
}

// Register puts the service on a gRPC server.
func (p *Pair) Register(r grpc.ServiceRegistrar) { plimsollv1.RegisterPairServiceServer(r, p) }

// Run calls the other collector, again and again, until ctx ends. Then all that
// is open ends.
func (p *Pair) Run(ctx context.Context) error {
	defer p.talks.Wait()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.end()
	}()
	if p.opts.Peer == "" {
		<-ctx.Done()
		return nil
	}
	said := "" // so that a peer that stays away costs one line
	for {
		err := p.call(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if why := fmt.Sprint(err); why != said {
			p.log.Warn("no line to the other collector; calling again", "peer", p.opts.Peer, "err", err)
			said = why
		}
		p.metrics.failures.Inc()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(p.opts.Retry):
		}
	}
}

package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// Store keeps samples. Its references to series stay good as long as it does.
type Store interface {
	storage.Queryable
	// AppenderV2 begins a transaction, visible and safe from a kill once
	// committed.
	storage.AppendableV2
	// Sync returns once all that was committed before the call is on stable
	// storage.
	Sync(ctx context.Context) error
}

// Inventory hears of nodes and of what happens on them. It must not block.
type Inventory interface {
	NodeSeen(node, agentVersion string, at time.Time)
	NodeLost(node string, at time.Time)
	Event(node string, at time.Time, kind, container, text string)
}

// Durability is when a frame is acknowledged.
type Durability string

// What an acknowledgement means: the frame survives
const (
	WAL     Durability = "wal"     // a kill of the collector, not a power cut
	Fsync   Durability = "fsync"   // a power cut too
	Replica Durability = "replica" // and the loss of this collector: another has it
)

// Options are what ingest works with.
type Options struct {
	Store     Store
	Inventory Inventory // may be nil
	Limits    Limits
	Version   string // of the collector, for people

	// UncleanStop says that the store was not closed by whoever had it before:
	// frames that may not be whole in it are asked for again.
	UncleanStop bool
	// Reopen closes and opens the store after it has failed, if that can be
	// done; without it nothing more is taken in until a restart.
	Reopen func(context.Context) error
	// Lives counts how often the store was opened anew, by whomever; nil if it never
	// is. Its references to series, and what was not synced, end with a life.
	Lives func() uint64
	// HeadSeries is how many series the store has in memory, for
	// Limits.TotalSeries; nil if it does not say. It is asked often.
	HeadSeries func() uint64

	// Identify tells whose stream this is, by its certificate. The node it
	// names is the stream's, whatever the agent says. Where it names none, or is
	// nil, the agent is believed.
	Identify func(context.Context) (node string, err error)
	// Refuse tells why nothing is taken in for now, such as a disk that is
	// nearly full; nil if nothing speaks against it. It is asked before each
	// frame.
	Refuse func() error
	// Tap is shown what is stored; may be nil.
	Tap Tap
	// Watch is shown samples of the series that it wants; may be nil.
	Watch Watch
	// Arrived is told the time of each live frame once its samples can be
	// queried; may be nil. It must not block.
	Arrived func(node string, at time.Time)

	// Durability is Fsync by default. Replica needs Replicated, which returns
	// once another has all that was stored before the call.
	Durability Durability
	Replicated func(context.Context) error

	CommitInterval time.Duration // at most this long until a frame is acknowledged; default 200 ms
	Patience       time.Duration // with a silent agent, 3 of its ticks at least; default 15 s
	Grace          time.Duration // for agents to finish when the collector ends; default 1 s
	// MostSlowdown is at how many intervals agents are asked to tick, at the most,
	// while there is more work than this collector can do; default 4, 1 for
	// never.
	MostSlowdown uint32
	// InOrder is how many frames an agent may be behind and still send them in
	// order; default 30. If there are more, the present goes first and the past
	// beside it.
	InOrder uint64

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Server is the IngestService.
type Server struct {
	plimsollv1.UnimplementedIngestServiceServer

	opts    Options
	log     *slog.Logger
	metrics *metrics
	zstd    *zstd.Decoder
	life    atomic.Uint64 // of the store, that all of this is about
	metas   metas
	causes  causes
	turns   chan struct{} // full while as many frames are worked on as there are processors
	past    chan struct{} // the same, of frames of the past
	pace    *rate.Limiter // of samples of the past
	worked  atomic.Int64  // for how long live frames have had turns, in ns

	mu       sync.Mutex
	spools   map[string]*agentSpool // by id
	nodes    map[string]*node       // by name
	wanted   map[string]*wanted     // of nodes, by name
	overload overload               // what is wanted of all nodes
	version  uint64                 // of what was wanted last
	sessions map[*session]struct{}
	unclean  bool // what the store says of a spool may be ahead of what is whole
	dirty    bool // something has been committed and is not yet durable
	halt     error
	alone    error     // why no other collector has what was stored
	refusing bool      // it has been said that nothing is taken in for now
	hearing  time.Time // since when agents are listened to again, after that or halt
	stopped  bool
	overfed  map[string]struct{} // containers that have been named in a metric
	watched  time.Time           // when the nodes were last looked at
	ended    sync.WaitGroup      // of sessions
}

// agentSpool is what is known of an agent's spool. Server.mu guards it.
type agentSpool struct {
	id string
	progress
	loaded  bool
	head    uint64 // the last live frame that is done with
	floor   uint64 // what is not done from here on and is no longer held has been lost
	fault   fault
	session *session      // the latest that wants it, or nil
	turn    chan struct{} // full while a session has it
	heard   time.Time

	acked     uint64 // all frames up to this one are durable,
	ackedLive uint64 // and all live ones up to this one
}

// New completes opts and complains of what is missing. It starts nothing.
func New(opts Options) (*Server, error) {
	if opts.Store == nil {
		return nil, errors.New("ingest needs a store")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Limits = opts.Limits.withDefaults()
	opts.CommitInterval = cmp.Or(opts.CommitInterval, 200*time.Millisecond)
	opts.Patience = cmp.Or(opts.Patience, 15*time.Second)
	opts.Grace = cmp.Or(opts.Grace, time.Second)
	opts.InOrder = cmp.Or(opts.InOrder, 30)
	opts.MostSlowdown = min(cmp.Or(opts.MostSlowdown, 4), mostSlowdown)
	opts.Durability = cmp.Or(opts.Durability, Fsync)
	switch opts.Durability {
	case WAL, Fsync:
	case Replica:
		if opts.Replicated == nil {
			return nil, fmt.Errorf("durability %q: there is no other collector to have what is stored; configure one or choose %q", Replica, Fsync)
		}
	default:
		return nil, fmt.Errorf("durability %q: choose %q, %q or %q", opts.Durability, WAL, Fsync, Replica)
	}
	m, err := newMetrics(opts.Registerer, opts.Limits)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(opts.Limits.FrameBytes)), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("make a zstd decoder: %w", err)
	}
	processors := runtime.GOMAXPROCS(0)
	s := &Server{
		opts: opts, log: opts.Log, metrics: m, zstd: z,
		turns:  make(chan struct{}, max(2, processors)),
		past:   make(chan struct{}, max(1, processors/2)),
		pace:   rate.NewLimiter(rate.Limit(opts.Limits.BackfillRate), int(opts.Limits.BackfillRate)),
		spools: map[string]*agentSpool{}, nodes: map[string]*node{}, wanted: map[string]*wanted{}, sessions: map[*session]struct{}{}, overfed: map[string]struct{}{},
		unclean: opts.UncleanStop, overload: overload{slowdown: 1},
		// What a process that was killed had committed may still be in the
		// kernel's hands alone.
		dirty: true,
	}
	s.lives()
	return s, nil
}

// ServerOptions are what a gRPC server needs to notice agents that are gone,
// and not to be brought down by one that is not: what one may have on the way is
// bounded, whatever the network would bear.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.StaticStreamWindowSize(512 << 10),
		grpc.StaticConnWindowSize(1 << 20),
		grpc.MaxRecvMsgSize(4 << 20),
		grpc.MaxHeaderListSize(16 << 10), // what anybody may send that has proven nothing
		grpc.MaxConcurrentStreams(16),    // of one connection; an agent needs one
	}
}

// Ready tells why nothing is taken in, or acknowledged, at present, or nil.
func (s *Server) Ready() error {
	s.mu.Lock()
	halt, alone := s.halt, s.alone
	s.mu.Unlock()
	if halt != nil {
		return fmt.Errorf("the store has failed and takes nothing in: %w", halt)
	}
	if s.opts.Refuse != nil {
		if err := s.opts.Refuse(); err != nil {
			return fmt.Errorf("nothing is taken in for now: %w", err)
		}
	}
	return alone
}

// Register puts the service on a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { plimsollv1.RegisterIngestServiceServer(r, s) }

// Run acknowledges what has become durable, and ends the series of agents that
// went away, until ctx ends. Agents that are connected then have a moment to
// finish; no stream is left when it returns.
func (s *Server) Run(ctx context.Context) error {
	defer s.zstd.Close()
	return lifecycle.Run(ctx,
		lifecycle.Loop{Name: "commit", Run: s.runCommits},
		lifecycle.Loop{Name: "lost agents", Run: s.runLost},
		lifecycle.Loop{Name: "overload", Run: s.runOverload},
	)
}

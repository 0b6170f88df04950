package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
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

	CommitInterval time.Duration // at most this long until a frame is acknowledged; default 200 ms
	Patience       time.Duration // with a silent agent, 3 of its ticks at least; default 15 s
	Grace          time.Duration // for agents to finish when the collector ends; default 1 s

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
	metas   metas

	mu       sync.Mutex
	spools   map[string]*agentSpool // by id
	nodes    map[string]*node       // by name
	wanted   map[string]*wanted     // of nodes, by name
	sessions map[*session]struct{}
	unclean  bool // what the store says of a spool may be ahead of what is whole
	dirty    bool // something has been committed and is not yet durable
	halt     error
	stopped  bool
	watched  time.Time      // when the nodes were last looked at
	ended    sync.WaitGroup // of sessions
}

// agentSpool is what is known of an agent's spool. Server.mu guards it.
type agentSpool struct {
	id string
	progress
	loaded    bool
	session   *session      // the latest that wants it, or nil
	turn      chan struct{} // full while a session has it
	heard     time.Time
	seq, safe *series // its sequences, which the session writes
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
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(opts.Limits.FrameBytes)), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("make a zstd decoder: %w", err)
	}
	return &Server{
		opts: opts, log: opts.Log, metrics: m, zstd: z,
		spools: map[string]*agentSpool{}, nodes: map[string]*node{}, wanted: map[string]*wanted{}, sessions: map[*session]struct{}{},
		unclean: opts.UncleanStop,
		// What a process that was killed had committed may still be in the
		// kernel's hands alone.
		dirty: true,
	}, nil
}

// ServerOptions are what a gRPC server needs to notice agents that are gone,
// and not to be brought down by one that is not.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(4 << 20),
		grpc.MaxConcurrentStreams(16), // of one connection; an agent needs one
	}
}

// Ready tells why nothing is taken in at present, or nil.
func (s *Server) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halt
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
	)
}

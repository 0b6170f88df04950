package otlp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// Options say where a server listens. Table and an address are needed.
type Options struct {
	Table *push.Table
	GRPC  string // host:port; empty for none
	HTTP  string // host:port; empty for none
	// Insecure allows addresses that other machines can reach.
	Insecure bool
	// PerSecond is how many points are taken in a second, at each address, and
	// of half as many more than that at once; 20,000 if 0.
	PerSecond int
	Log       *slog.Logger // none if nil
}

const (
	grpcFlag = "otlp.grpc-listen-address"
	httpFlag = "otlp.http-listen-address"

	maxConnections = 64 // at each address
	maxRequests    = 4  // at a time, at both: each may take maxMessage and maxDecoded
	// drain is how long requests in flight may take at the end.
	drain = 5 * time.Second
)

// Server takes what OpenTelemetry's exporters send.
type Server struct {
	log   *slog.Logger
	slots chan struct{} // taken by requests being served
	grpc  *endpoint
	http  *endpoint
	rpc   *grpc.Server
	web   *http.Server
}

// endpoint is a bound address and what comes in there.
type endpoint struct {
	listener net.Listener
	feed     *push.Feed
	burst    int
}

// Listen binds the addresses. The caller either runs what it returns or closes
// it. The errors say what to do.
func Listen(opts Options) (*Server, error) {
	if opts.Table == nil || opts.GRPC == "" && opts.HTTP == "" {
		return nil, errors.New("an otlp server needs a table and an address")
	}
	s := &Server{log: opts.Log, slots: make(chan struct{}, maxRequests)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.grpc, err = bind(grpcFlag, opts.GRPC, "otlp-grpc", opts); err != nil {
		return nil, err
	}
	if s.http, err = bind(httpFlag, opts.HTTP, "otlp-http", opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.grpc != nil {
		s.rpc = s.newGRPC()
	}
	if s.http != nil {
		s.web = s.newHTTP()
	}
	return s, nil
}

func bind(flag, address, name string, opts Options) (*endpoint, error) {
	if address == "" {
		return nil, nil
	}
	if err := push.Local(flag, address, opts.Insecure); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address) //nolint:noctx // binding does not wait
	if err != nil {
		return nil, push.Bound(flag, address, err)
	}
	perSecond := cmp.Or(opts.PerSecond, 20_000)
	e := &endpoint{burst: perSecond + perSecond/2}
	e.feed = opts.Table.Feed(name, perSecond, e.burst)
	e.listener = &guarded{Listener: l, feed: e.feed}
	return e, nil
}

// GRPCAddr and HTTPAddr are where s listens, empty where it does not.
func (s *Server) GRPCAddr() string { return s.grpc.addr() }

// HTTPAddr is where s listens for HTTP.
func (s *Server) HTTPAddr() string { return s.http.addr() }

func (e *endpoint) addr() string {
	if e == nil {
		return ""
	}
	return e.listener.Addr().String()
}

// Close gives the addresses back. After Run that has been done.
func (s *Server) Close() error {
	var errs []error
	for _, e := range []*endpoint{s.grpc, s.http} {
		if e == nil {
			continue
		}
		if err := e.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, then lets what is in flight finish for a while.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	ended := make(chan error, 2)
	var serving sync.WaitGroup
	if s.rpc != nil {
		serving.Go(func() { ended <- s.rpc.Serve(s.grpc.listener) })
	}
	if s.web != nil {
		serving.Go(func() { ended <- s.web.Serve(s.http.listener) })
	}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	s.stop(context.WithoutCancel(ctx))
	serving.Wait()
	return err
}

// stop lets what is in flight finish, but not for long.
func (s *Server) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	var stopping sync.WaitGroup
	if s.rpc != nil {
		late := context.AfterFunc(ctx, s.rpc.Stop)
		stopping.Go(func() {
			s.rpc.GracefulStop()
			late()
		})
	}
	if s.web != nil {
		stopping.Go(func() {
			if s.web.Shutdown(ctx) != nil {
				_ = s.web.Close()
			}
		})
	}
	stopping.Wait()
}

// admit takes a slot for a request, unless all are taken.
func (s *Server) admit(e *endpoint) (release func(), ok bool) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, true
	default:
		e.feed.Drop(push.Busy, 1)
		return nil, false
	}
}

var (
	errRate   = errors.New("more points than the agent takes in a second: send less often, or raise the limit")
	errPoints = errors.New("more points than the agent takes in one message: send smaller batches")
	errBug    = errors.New("the agent failed on this message; its log says how")
)

// export takes a request. An error that wraps errRate says that the same may be
// tried again.
func (s *Server) export(e *endpoint, r *collectorpb.ExportMetricsServiceRequest) (answer *collectorpb.ExportMetricsServiceResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.feed.Drop(push.Failed, 1)
			s.log.Error("otlp message panicked", "err", p, "stack", string(debug.Stack()))
			answer, err = nil, errBug
		}
	}()
	n := 0
	for _, of := range r.GetResourceMetrics() {
		for _, scoped := range of.GetScopeMetrics() {
			for _, m := range scoped.GetMetrics() {
				n += points(m)
			}
		}
	}
	if n > e.burst {
		e.feed.Drop(push.TooLarge, n)
		return nil, errPoints
	}
	if !e.feed.Allow(n) {
		return nil, errRate
	}
	x := export{feed: e.feed, now: time.Now(), powers: powersOfTwo()}
	return x.request(r), nil
}

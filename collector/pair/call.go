package pair

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// greeting is how long the other may take to prove itself.
const greeting = 5 * time.Second

// call talks to the other collector until that ends, and returns why.
func (p *Pair) call(ctx context.Context) error {
	creds := insecure.NewCredentials()
	if p.opts.TLS {
		creds = credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13,
			// The proof, which is bound to this connection, takes the place of the
			// other's certificate: it has an authority of its own.
			InsecureSkipVerify: true, //nolint:gosec // see above
		})
	}
	conn, err := grpc.NewClient(p.opts.Peer, grpc.WithTransportCredentials(creds),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(2*MaxPayload)))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := plimsollv1.NewPairServiceClient(conn).Talk(ctx)
	if err != nil {
		return err
	}
	slow := time.AfterFunc(greeting, cancel)
	defer slow.Stop()
	hello, err := stream.Recv()
	if err != nil {
		return err
	}
	bound := stream.Context() // only now does it know the connection
	if err := p.believe(bound, called, hello.GetName(), hello.GetProof()); err != nil {
		p.metrics.refused.Inc()
		return fmt.Errorf("the collector at %s is not believed: %w", p.opts.Peer, err)
	}
	mine, err := p.prove(bound, caller)
	if err != nil {
		return err
	}
	if err := stream.Send(&plimsollv1.TalkRequest{Name: p.opts.Name, Proof: mine}); err != nil {
		return err
	}
	if !slow.Stop() {
		return errors.New("it was too slow")
	}
	return p.talk(ctx, hello.GetName(), callerTube{stream})
}

// Talk implements PairServiceServer.
func (p *Pair) Talk(stream grpc.BidiStreamingServer[plimsollv1.TalkRequest, plimsollv1.TalkResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(p.ending, cancel)()
	mine, err := p.prove(ctx, called)
	if err != nil {
		p.metrics.refused.Inc()
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	if err := stream.Send(&plimsollv1.TalkResponse{Name: p.opts.Name, Proof: mine}); err != nil {
		return err
	}
	hello, err := within(ctx, greeting, stream.Recv)
	if err != nil {
		return err
	}
	if err := p.believe(ctx, caller, hello.GetName(), hello.GetProof()); err != nil {
		p.metrics.refused.Inc()
		if p.refusals.Allow() { // anybody can make these come without end
			p.log.Warn("a call that claims to come from the other collector is refused", "name", fmt.Sprintf("%.40q", hello.GetName()), "err", err)
		}
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if p.opts.Admitted != nil {
		p.opts.Admitted(ctx)
	}
	done := make(chan error, 1)
	if !p.begin() {
		return status.Error(codes.Unavailable, "the collector is shutting down")
	}
	go func() {
		defer p.talks.Done()
		done <- p.talk(ctx, hello.GetName(), calledTube{stream})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done(): // returning ends the stream, and with it the tube
		return status.Error(codes.Unavailable, "the collector is shutting down")
	}
}

// begin counts a conversation that Run waits for, unless it has ended.
func (p *Pair) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending.Err() != nil {
		return false
	}
	p.talks.Add(1)
	return true
}

// within calls receive and gives up after a time, which ends the stream.
func within[T any](ctx context.Context, limit time.Duration, receive func() (T, error)) (T, error) {
	type result struct {
		message T
		err     error
	}
	got := make(chan result, 1)
	go func() {
		m, err := receive()
		got <- result{m, err}
	}()
	var none T
	select {
	case r := <-got:
		return r.message, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-time.After(limit):
		return none, status.Error(codes.DeadlineExceeded, "no proof came in time")
	}
}

func (p *Pair) talk(ctx context.Context, peer string, t Tube) error {
	p.metrics.lines.Inc()
	defer p.metrics.lines.Dec()
	p.log.Info("line to the other collector is open", "peer", peer)
	err := p.opts.Talk(ctx, peer, t)
	p.log.Info("line to the other collector has ended", "peer", peer, "err", err)
	return err
}

type callerTube struct {
	plimsollv1.PairService_TalkClient
}

// Send implements Tube.
func (t callerTube) Send(payload []byte) error {
	return t.PairService_TalkClient.Send(&plimsollv1.TalkRequest{Payload: payload})
}

// Recv implements Tube.
func (t callerTube) Recv() ([]byte, error) {
	m, err := t.PairService_TalkClient.Recv()
	return m.GetPayload(), err
}

type calledTube struct {
	plimsollv1.PairService_TalkServer
}

// Send implements Tube.
func (t calledTube) Send(payload []byte) error {
	return t.PairService_TalkServer.Send(&plimsollv1.TalkResponse{Payload: payload})
}

// Recv implements Tube.
func (t calledTube) Recv() ([]byte, error) {
	m, err := t.PairService_TalkServer.Recv()
	return m.GetPayload(), err
}

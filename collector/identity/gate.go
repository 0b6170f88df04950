package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	// handshakeLimit is for TLS and HTTP/2 together.
	handshakeLimit = 10 * time.Second
	// strangerLimit is how long a connection may live that proves nothing. To
	// enrol takes a fraction of a second.
	strangerLimit = 30 * time.Second
	// cutGrace is how long a stream that was told to end may take for it, before
	// its connection is closed under it.
	cutGrace = time.Second
)

// ServerOptions make a gRPC server speak TLS, with a gate in front of every
// service.
func (a *Authority) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(a.Credentials()),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.ChainUnaryInterceptor(a.unary),
		grpc.ChainStreamInterceptor(a.guard),
	}
}

// Credentials are how the server proves itself and hears who calls.
func (a *Authority) Credentials() credentials.TransportCredentials {
	return &door{authority: a, TransportCredentials: credentials.NewTLS(&tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         a.certificate,
		ClientAuth:             tls.RequestClientCert, // that its key is there is proven; check judges the rest
		SessionTicketsDisabled: true,
	})}
}

// door keeps hold of the connections that come through it.
type door struct {
	credentials.TransportCredentials
	authority *Authority
}

// passed is what is known of a connection.
type passed struct {
	credentials.TLSInfo
	conn     net.Conn
	stranger *stranger // nil if it is none
}

// ServerHandshake implements TransportCredentials. Whoever begins one is a stranger
// until it has ended well.
func (d *door) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	a := d.authority
	gone, err := a.strangers.enter(raw)
	if err != nil {
		a.metrics.crowded.Inc()
		return nil, nil, err
	}
	conn, info, err := d.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		gone()
		a.metrics.handshakes.Inc()
		return nil, nil, err
	}
	p := passed{TLSInfo: info.(credentials.TLSInfo), conn: conn}
	if !a.unproven(p.certificate()) {
		gone()
		return conn, p, nil
	}
	p.stranger = newStranger(conn, gone)
	return p.stranger, p, nil
}

// Clone implements TransportCredentials.
func (d *door) Clone() credentials.TransportCredentials {
	return &door{d.TransportCredentials.Clone(), d.authority}
}

func (p passed) certificate() *x509.Certificate {
	if certs := p.State.PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}

// presented is the certificate that a call comes with, nil if none, and its
// connection.
func presented(ctx context.Context) (*x509.Certificate, net.Conn) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, nil
	}
	auth, ok := p.AuthInfo.(passed)
	if !ok {
		return nil, nil
	}
	return auth.certificate(), auth.conn
}

// unproven tells whether a certificate, nil if there is none, counts for nothing.
func (a *Authority) unproven(cert *x509.Certificate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, r := a.check(cert, time.Now(), false)
	return r != nil
}

// stream is one that passed the gate.
type stream struct {
	node string
	cert *x509.Certificate
	conn net.Conn
	end  context.CancelCauseFunc
}

// cut ends the stream, and its connection if it clings to it.
func (s *stream) cut(why *refusal) {
	s.end(why)
	time.AfterFunc(cutGrace, func() { _ = s.conn.Close() })
}

// guarded is a stream whose context ends, and knows the node.
type guarded struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (g *guarded) Context() context.Context { return g.ctx }

type nodeKey struct{}

// Identify returns the node that a call comes from: "" if the server takes calls
// in plain text, from anybody. It fails if the call has not passed the gate.
func Identify(ctx context.Context) (string, error) {
	if node, ok := ctx.Value(nodeKey{}).(string); ok {
		return node, nil
	}
	if p, ok := peer.FromContext(ctx); ok && p.AuthInfo != nil && p.AuthInfo.AuthType() == "tls" {
		return "", status.Error(codes.Unauthenticated, "the call has not been looked at")
	}
	return "", nil
}

// guard is the gate for streams. The other collector of a pair, which has no
// certificate of this authority, proves itself to the service.
func (a *Authority) guard(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if info.FullMethod == plimsollv1.PairService_Talk_FullMethodName {
		return handler(srv, ss)
	}
	ctx, end := context.WithCancelCause(ss.Context())
	defer end(nil)
	s := &stream{end: end}
	s.cert, s.conn = presented(ctx)
	if err := a.enter(ctx, s); err != nil {
		return err
	}
	defer a.leave(s)
	timeUp := time.AfterFunc(time.Until(s.cert.NotAfter), func() {
		a.metrics.ended.WithLabelValues(expired).Inc()
		s.cut(&refusal{expired, codes.Aborted, "the certificate of this stream has expired; connect again with the next"})
	})
	defer timeUp.Stop()
	err := handler(srv, &guarded{ss, context.WithValue(ctx, nodeKey{}, s.node)})
	var why *refusal
	if errors.As(context.Cause(ctx), &why) {
		return status.Error(why.code, why.text)
	}
	return err
}

// unary is the gate for single calls. Those that give out certificates look for
// themselves.
func (a *Authority) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	switch info.FullMethod {
	case plimsollv1.EnrollService_Enroll_FullMethodName, plimsollv1.EnrollService_Renew_FullMethodName:
		return handler(ctx, req)
	}
	s := &stream{end: func(error) {}}
	s.cert, s.conn = presented(ctx)
	if err := a.enter(ctx, s); err != nil {
		return nil, err
	}
	defer a.leave(s)
	return handler(context.WithValue(ctx, nodeKey{}, s.node), req)
}

// enter lets a stream pass, from then on to be cut if it is revoked.
func (a *Authority) enter(ctx context.Context, s *stream) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	node, r := a.check(s.cert, time.Now(), false)
	if r != nil {
		return a.refuse("stream", node, remote(ctx), r)
	}
	s.node = node
	a.streams[s] = struct{}{}
	return nil
}

func (a *Authority) leave(s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.streams, s)
}

// cut ends the streams whose certificates no longer count. a.mu is held.
func (a *Authority) cut() {
	now := time.Now()
	for s := range a.streams {
		// Its time is up to the stream's own timer.
		if _, r := a.check(s.cert, now, true); r != nil && r.reason != expired && r.reason != future {
			a.metrics.ended.WithLabelValues(r.reason).Inc()
			a.log.Info("stream cut", "node", s.node, "reason", r.reason)
			s.cut(r)
		}
	}
}

package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// maxRequest is far above what a request for a certificate of one name has.
const maxRequest = 8 << 10

// Register puts the service that nodes get their certificates from on a gRPC
// server, which must have been made with ServerOptions.
func (a *Authority) Register(r grpc.ServiceRegistrar) {
	plimsollv1.RegisterEnrollServiceServer(r, a)
}

// Enroll implements the EnrollService.
func (a *Authority) Enroll(ctx context.Context, req *plimsollv1.EnrollRequest) (*plimsollv1.EnrollResponse, error) {
	from := remote(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !a.attempts.allowed(from, now) {
		return nil, a.refuse("enroll", "", from, &refusal{"throttled", codes.ResourceExhausted, "too many tokens were refused lately; try again in a minute"})
	}
	// A stranger does not get to have requests parsed.
	if r := a.state.known(req.GetToken(), now); r != nil {
		a.attempts.failed(from, now)
		return nil, a.refuse("enroll", "", from, r)
	}
	node, key, err := parseRequest(req.GetCertificateRequest())
	if err != nil {
		a.attempts.failed(from, now)
		return nil, a.refuse("enroll", "", from, &refusal{"malformed", codes.InvalidArgument, err.Error()})
	}
	var grant *plimsollv1.Grant
	err = a.change(now, func(s *state) error {
		if r := s.admit(req.GetToken(), node, hashOf(key.der), now); r != nil {
			return r
		}
		grant, err = a.grant(s, node, key, from, now)
		return err
	})
	if err != nil {
		if errors.As(err, new(*refusal)) { // and not the disk's fault
			a.attempts.failed(from, now)
		}
		return nil, a.refuse("enroll", node, from, err)
	}
	a.metrics.granted.WithLabelValues("enroll").Inc()
	a.log.Info("node enrolled", "node", node, "from", from)
	a.cut() // streams of an earlier bearer of the name
	return &plimsollv1.EnrollResponse{Grant: grant}, nil
}

// Renew implements the EnrollService.
func (a *Authority) Renew(ctx context.Context, req *plimsollv1.RenewRequest) (*plimsollv1.RenewResponse, error) {
	from := remote(ctx)
	cert, _ := presented(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	node, r := a.check(cert, now, true)
	if r != nil {
		return nil, a.refuse("renew", node, from, r)
	}
	asked, key, err := parseRequest(req.GetCertificateRequest())
	if err == nil && asked != node {
		return nil, a.refuse("renew", node, from, &refusal{"other_node", codes.PermissionDenied, "node " + node + " asks for a certificate of node " + asked})
	}
	if err != nil {
		return nil, a.refuse("renew", node, from, &refusal{"malformed", codes.InvalidArgument, err.Error()})
	}
	var grant *plimsollv1.Grant
	err = a.change(now, func(s *state) error {
		grant, err = a.grant(s, node, key, from, now)
		return err
	})
	if err != nil {
		return nil, a.refuse("renew", node, from, err)
	}
	a.metrics.granted.WithLabelValues("renew").Inc()
	a.log.Debug("node renewed its certificate", "node", node, "from", from)
	return &plimsollv1.RenewResponse{Grant: grant}, nil
}

// grant makes a certificate and notes it in s. a.mu is held.
func (a *Authority) grant(s *state, node string, key publicKey, from netip.Addr, now time.Time) (*plimsollv1.Grant, error) {
	n := s.Nodes[node]
	if n.live(now) >= maxLive {
		return nil, &refusal{"too_many", codes.ResourceExhausted, fmt.Sprintf("node %s has %d certificates that are good; wait until some have expired, or revoke them", node, maxLive)}
	}
	cert, err := a.ca.node(node, key.key, a.opts.Lifetime)
	if err != nil {
		return nil, fmt.Errorf("certificate of node %s: %w", node, err)
	}
	n.Certificates = append(n.Certificates, certState{
		Serial: serialText(cert.SerialNumber), Issued: now.UTC(), Expires: cert.NotAfter, From: from.String(),
	})
	s.Nodes[node] = n
	g := &plimsollv1.Grant{Certificate: cert.Raw, RenewInMs: uint64((a.opts.Lifetime * 2 / 3).Milliseconds())}
	for _, c := range a.ca.trusted(now) {
		g.Authorities = append(g.Authorities, c.Raw)
	}
	return g, nil
}

// refuse counts and logs why not, and turns it into an answer.
func (a *Authority) refuse(deed, node string, from netip.Addr, err error) error {
	r := &refusal{"internal", codes.Internal, "the collector could not: " + err.Error()}
	errors.As(err, &r)
	a.metrics.refused.WithLabelValues(deed, r.reason).Inc()
	if a.refusals.Allow() { // anybody can make these come without end
		a.log.Warn("node refused", "deed", deed, "node", node, "from", from, "reason", r.reason, "err", r.text)
	}
	return status.Error(r.code, r.text)
}

type publicKey struct {
	key any
	der []byte // as SubjectPublicKeyInfo
}

// parseRequest reads a request for a certificate, and makes sure that whoever
// made it has the key.
func parseRequest(der []byte) (node string, key publicKey, err error) {
	if len(der) > maxRequest {
		return "", key, fmt.Errorf("a certificate request of %d bytes, %d at most", len(der), maxRequest)
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return "", key, fmt.Errorf("certificate request: %w", err)
	}
	switch k := req.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", key, fmt.Errorf("certificate request: its key is on the curve %s, want P-256 or Ed25519", k.Params().Name)
		}
	default:
		return "", key, fmt.Errorf("certificate request: its key is a %T, want ECDSA on P-256 or Ed25519", k)
	}
	if err := req.CheckSignature(); err != nil {
		return "", key, fmt.Errorf("certificate request: %w", err)
	}
	node, err = join.NodeOf(req.URIs)
	if err != nil {
		return "", key, fmt.Errorf("certificate request: %w", err)
	}
	return node, publicKey{req.PublicKey, req.RawSubjectPublicKeyInfo}, nil
}

// remote is the address that a call comes from; the zero Addr if it has none.
func remote(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(p.Addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	callLimit = 10 * time.Second
	// Between attempts, which begin soon and become rarer.
	firstDelay = time.Second
	maxDelay   = time.Minute
	// leastDelay is before what is urgent, and calm before what was answered a
	// moment ago.
	leastDelay = 100 * time.Millisecond
	calm       = 10 * time.Second
	// maxRenewMs is more than any certificate lasts, and no overflow.
	maxRenewMs = 1000 * 24 * 60 * 60 * 1000
)

// Identity is who an agent is to one collector.
type Identity struct {
	opts       *Options
	address    string
	plain      bool             // plain text: nobody is anybody
	invitation *join.Invitation // nil if there is none, or it was used
	metrics    *metrics
	ready      chan struct{} // closed when there is a certificate, and no better one is hoped for
	admitted   sync.Once     // closes it
	doubted    chan struct{} // the collector did not take the certificate

	renew time.Time // when the next certificate is due; of run's goroutine, as is
	said  string    // the last trouble that was logged

	mu   sync.Mutex
	held *held // nil before the node has joined
}

func newIdentity(opts *Options, address string, m *metrics) *Identity {
	return &Identity{opts: opts, address: address, metrics: m, ready: make(chan struct{}), doubted: make(chan struct{}, 1)}
}

func (id *Identity) current() *held {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.held
}

// run joins, if there is an invitation, and renews until ctx ends.
func (id *Identity) run(ctx context.Context) error {
	if id.plain {
		<-ctx.Done()
		return nil
	}
	if id.invitation != nil {
		if err := id.join(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
	id.renew = id.current().due(time.Now())
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(id.renew)):
		case <-id.doubted:
			if time.Since(last) < calm {
				continue
			}
		}
		last = time.Now()
		if err := id.again(ctx); err != nil && ctx.Err() == nil {
			id.trouble("certificate cannot be renewed", err)
		}
		id.admit() // one that was due is as good as it gets
	}
}

// admit lets connections be made from now on.
func (id *Identity) admit() { id.admitted.Do(func() { close(id.ready) }) }

// due is when a certificate that was read from the disk is to be renewed. If that
// is further away than it can be, the clock was set: it is now.
func (h *held) due(now time.Time) time.Time {
	leaf := h.certificate.Leaf
	if h.Renew.Sub(now) > leaf.NotAfter.Sub(leaf.NotBefore) {
		return now
	}
	return h.Renew
}

// join trades the invitation for a certificate. It tries until it has an answer.
func (id *Identity) join(ctx context.Context) error {
	key, request, err := newKey(id.opts.Node)
	if err != nil {
		return err
	}
	for delay := firstDelay; ; delay = min(2*delay, maxDelay) {
		wrong, err := id.enroll(ctx, key, request)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if wrong || final(err) {
			return id.refused(err)
		}
		id.trouble("the collector cannot be reached to join it", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(jitter(delay)):
		}
	}
}

// refused is the end of an attempt to join, unless there is a certificate from an
// earlier one.
func (id *Identity) refused(err error) error {
	if h := id.held; h == nil || h.node != id.opts.Node || !h.trusts(id.invitation.Pin) {
		return fmt.Errorf("join collector %s: %s", id.address, reason(err))
	}
	id.opts.Log.Warn("the collector does not take the join string; going on with the certificate from before", "collector", id.address, "err", reason(err))
	id.admit()
	return nil
}

func (id *Identity) enroll(ctx context.Context, key *ecdsa.PrivateKey, request []byte) (wrong bool, err error) {
	c, mistaken := id.pinned()
	err = id.call(ctx, c, func(ctx context.Context, s plimsollv1.EnrollServiceClient) error {
		resp, err := s.Enroll(ctx, &plimsollv1.EnrollRequest{Token: id.invitation.Token[:], CertificateRequest: request})
		if err != nil {
			return err
		}
		return id.take(resp.GetGrant(), key, hashOf(*id.invitation))
	})
	if why := mistaken(); why != nil {
		return true, why
	}
	return false, err
}

// again renews the certificate, for a new key.
func (id *Identity) again(ctx context.Context) error {
	h := id.current()
	key, request, err := newKey(h.node)
	if err == nil {
		err = id.call(ctx, id.proven(), func(ctx context.Context, s plimsollv1.EnrollServiceClient) error {
			resp, err := s.Renew(ctx, &plimsollv1.RenewRequest{CertificateRequest: request})
			if err != nil {
				return err
			}
			return id.take(resp.GetGrant(), key, h.Joined)
		})
	}
	if err != nil {
		// Soon, the nearer its end is, and calmly once that has passed, or if
		// trying changes nothing.
		delay := maxDelay
		if left := time.Until(h.certificate.Leaf.NotAfter); left > 0 && !final(err) {
			delay = max(min(left/8, maxDelay), leastDelay)
		}
		id.renew = time.Now().Add(jitter(delay))
	}
	return err
}

// take makes a grant the identity of connections that are made from now on. If
// the disk does not take it, it is good until the next start.
func (id *Identity) take(g *plimsollv1.Grant, key *ecdsa.PrivateKey, joined string) error {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// A fleet that was joined at one time should not renew at one time.
	in := max(time.Duration(min(g.GetRenewInMs(), maxRenewMs))*time.Millisecond, leastDelay)
	in -= mathrand.N(in/10 + 1)
	h := &held{path: fileFor(id.opts.Dir, id.address), onDisk: onDisk{
		Collector: id.address, Joined: joined, Renew: time.Now().Add(in).UTC(),
		Key: secret, Certificate: g.GetCertificate(), Authorities: g.GetAuthorities(),
	}}
	if err := h.parse(); err != nil {
		return fmt.Errorf("the collector's answer: %w", err)
	}
	if h.node != id.opts.Node {
		return fmt.Errorf("the collector's answer: a certificate of node %s, not %s", h.node, id.opts.Node)
	}
	before := id.current()
	if before != nil {
		h.path = before.path
	}
	if err := h.save(); err != nil {
		id.opts.Log.Error("the new certificate cannot be written; after a restart the one before is used, see to the disk", "err", err)
	}
	id.renew, id.said = time.Now().Add(in), ""
	id.mu.Lock()
	id.held = h
	id.mu.Unlock()
	id.metrics.renewals.WithLabelValues(id.address, "ok").Inc()
	id.metrics.expires.WithLabelValues(id.address).Set(float64(h.certificate.Leaf.NotAfter.Unix()))
	if before != nil && before.Joined == joined {
		id.opts.Log.Debug("certificate renewed", "collector", id.address, "expires", h.certificate.Leaf.NotAfter)
	} else {
		id.opts.Log.Info("joined the collector", "collector", id.address, "node", h.node, "expires", h.certificate.Leaf.NotAfter)
	}
	id.admit()
	return nil
}

// call makes one call to the collector.
func (id *Identity) call(ctx context.Context, c grpc.DialOption, f func(context.Context, plimsollv1.EnrollServiceClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	conn, err := grpc.NewClient(id.address, append([]grpc.DialOption{c}, id.opts.DialOptions...)...)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(ctx, plimsollv1.NewEnrollServiceClient(conn))
}

// trouble says once what goes wrong and will be tried again.
func (id *Identity) trouble(what string, err error) {
	id.metrics.renewals.WithLabelValues(id.address, "failed").Inc()
	why := reason(err)
	if id.said != why {
		id.said = why
		id.opts.Log.Warn(what+", trying again", "collector", id.address, "err", why)
	}
}

// newKey makes a key and a request for a certificate of it.
func newKey(node string) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{join.NodeURI(node)}}, key)
	return key, der, err
}

// final tells whether a collector's answer stays the same until a person does
// something.
func final(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented:
		return true
	}
	return false
}

// reason is what an error says, without gRPC's words around it.
func reason(err error) string {
	if st, ok := status.FromError(err); ok && st != nil && st.Code() != codes.Unknown {
		return st.Message()
	}
	return err.Error()
}

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + mathrand.N(d/2+1) }

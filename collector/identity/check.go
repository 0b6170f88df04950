package identity

import (
	"crypto/x509"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/plimsoll-io/plimsoll/internal/join"
)

// refusal is why somebody is not let in: in a word for the metric, and to the
// one who asks.
type refusal struct {
	reason string
	code   codes.Code
	text   string
}

func (r *refusal) Error() string { return r.text }

// GRPCStatus makes the refusal what the caller of gRPC sees.
func (r *refusal) GRPCStatus() *status.Status { return status.New(r.code, r.text) }

// remedy is what to do without a certificate that counts.
func remedy(node string) string {
	if node == "" {
		node = "NAME"
	}
	return "on the collector, plimsoll token create --node=" + node + " makes a join string; start the agent with it as --join"
}

func unauthenticated(reason, text, node string) *refusal {
	return &refusal{reason, codes.Unauthenticated, text + "; " + remedy(node)}
}

// Reasons that are about time, and nobody's fault.
const (
	expired = "expired"
	future  = "future"
)

// check finds the node that a certificate stands for, if it counts now. To be
// renewed it need not, if it is one of the last of its node: it may have expired,
// or be of a time that this clock has gone back from. a.mu is held.
func (a *Authority) check(cert *x509.Certificate, now time.Time, renews bool) (string, *refusal) {
	if cert == nil {
		return "", unauthenticated("none", "a certificate is needed, and there is none", "")
	}
	roots := x509.NewCertPool()
	for _, c := range a.ca.trusted(now) {
		roots.AddCert(c)
	}
	at := now // the authority is asked for its word alone; the time is judged below
	if at.After(cert.NotAfter) {
		at = cert.NotAfter
	} else if at.Before(cert.NotBefore) {
		at = cert.NotBefore
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return "", unauthenticated("stranger", "the certificate is not of this collector's authority", "")
	}
	node, err := join.NodeOf(cert.URIs)
	if err != nil {
		return "", unauthenticated("stranger", "the certificate is not of a node: "+err.Error(), "")
	}
	n := a.state.Nodes[node]
	c, last, known := n.find(serialText(cert.SerialNumber))
	if !n.Revoked.IsZero() || !c.Revoked.IsZero() {
		return node, unauthenticated("revoked", "the certificate of node "+node+" was revoked", node)
	}
	var wrong, why string
	switch {
	case now.After(cert.NotAfter):
		wrong, why = expired, "has expired"
	case now.Before(cert.NotBefore):
		wrong, why = future, "is not good yet, because the collector's clock was set back"
	default:
		return node, nil
	}
	why = "the certificate of node " + node + " " + why
	switch {
	case !renews:
		return node, &refusal{wrong, codes.Unauthenticated, why + ", and must be renewed first"}
	case !known || !last || now.After(cert.NotAfter.Add(lateRenewal)):
		return node, unauthenticated(wrong, why+", and there is a newer one, or it is too old to be renewed", node)
	}
	return node, nil
}

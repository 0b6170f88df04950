package enroll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/plimsoll-io/plimsoll/internal/join"
)

// patient are credentials that wait for the node to have joined.
type patient struct {
	credentials.TransportCredentials
	id *Identity
}

// ClientHandshake implements TransportCredentials.
func (p *patient) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	select {
	case <-p.id.ready:
	case <-ctx.Done():
		return nil, nil, errors.New("this node has not joined the collector yet")
	}
	return p.TransportCredentials.ClientHandshake(ctx, authority, raw)
}

// Clone implements TransportCredentials.
func (p *patient) Clone() credentials.TransportCredentials {
	return &patient{p.TransportCredentials.Clone(), p.id}
}

// credentials are those of streams: with whatever certificate is the latest when
// a connection is made.
func (id *Identity) credentials() credentials.TransportCredentials {
	return &patient{id.tls(), id}
}

// proven are the credentials of renewals, which do not wait.
func (id *Identity) proven() grpc.DialOption { return grpc.WithTransportCredentials(id.tls()) }

func (id *Identity) tls() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		// The name that is dialled does not matter, and whom to trust changes:
		// VerifyConnection does all of it.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return id.verify(cs, id.current().authorities)
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &id.current().certificate, nil
		},
	})
}

// pinned are the credentials of the first call, when nothing is known but the
// pin. What they return tells afterwards whether the collector was the wrong one.
func (id *Identity) pinned() (c grpc.DialOption, mistaken func() error) {
	var wrong atomic.Pointer[error]
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // as above
		VerifyConnection: func(cs tls.ConnectionState) error {
			var roots []*x509.Certificate
			for _, c := range cs.PeerCertificates {
				if c.IsCA && join.PinOf(c) == id.invitation.Pin {
					roots = append(roots, c)
				}
			}
			if len(roots) > 0 {
				return id.verify(cs, roots)
			}
			err := fmt.Errorf("what answers at %s is not the collector that the join string is of; check the address, and whether somebody stands in between", id.address)
			wrong.Store(&err)
			return err
		},
	}
	return grpc.WithTransportCredentials(credentials.NewTLS(config)), func() error {
		if err := wrong.Load(); err != nil {
			return *err
		}
		return nil
	}
}

// verify makes sure that a connection leads to a collector of one of the
// authorities.
func (id *Identity) verify(cs tls.ConnectionState, authorities []*x509.Certificate) error {
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: join.ServerName,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, CurrentTime: time.Now(),
	}
	for _, c := range authorities {
		opts.Roots.AddCert(c)
	}
	for _, c := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(opts)
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the collector's certificate was good until %s, and this node's clock says %s; set the one that is wrong, this or the collector's",
			cs.PeerCertificates[0].NotAfter.UTC().Format(time.RFC3339), opts.CurrentTime.UTC().Format(time.RFC3339))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("what answers at %s is not the collector that this node has joined: its authority is another; if the collector was set up anew, join again", id.address)
	}
	return err
}

// watch sees streams that the collector refuses, to renew a certificate that it
// takes for expired. Its clock decides, not this one.
func (id *Identity) watch(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &watched{s, id}, nil
}

type watched struct {
	grpc.ClientStream
	id *Identity
}

// RecvMsg implements grpc.ClientStream.
func (w *watched) RecvMsg(m any) error {
	err := w.ClientStream.RecvMsg(m)
	if status.Code(err) == codes.Unauthenticated {
		select {
		case w.id.doubted <- struct{}{}:
		default:
		}
	}
	return err
}

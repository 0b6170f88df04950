package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a service behind the gate: it acknowledges each frame as it comes.
type echo struct {
	plimsollv1.UnimplementedIngestServiceServer
	nodes chan string   // of the streams that began
	deaf  chan struct{} // if set, streams wait for this and nothing else
}

func (e *echo) Push(s grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse]) error {
	node, err := Identify(s.Context())
	if err != nil {
		return err
	}
	e.nodes <- node
	if e.deaf != nil {
		<-e.deaf
		return nil
	}
	frames := make(chan *plimsollv1.PushRequest)
	go func() {
		defer close(frames)
		for {
			f, err := s.Recv()
			if err != nil {
				return
			}
			select {
			case frames <- f:
			case <-s.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case <-s.Context().Done():
			return s.Context().Err()
		case f, ok := <-frames:
			if !ok {
				return nil
			}
			ack := &plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: &plimsollv1.Ack{Seq: f.GetFrame().GetSeq()}}}
			if err := s.Send(ack); err != nil {
				return err
			}
		}
	}
}

// site is a collector with an authority, and no store.
type site struct {
	t         *testing.T
	dir       string
	opts      Options
	authority *Authority
	echo      *echo
	server    *grpc.Server
	served    chan struct{}
	dialer    func(context.Context, string) (net.Conn, error)
}

// newSite serves over a connection in memory, so that it can be used where time
// is virtual, with a directory that is short enough for a socket.
func newSite(t *testing.T, lifetime time.Duration) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "identity")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, echo: &echo{nodes: make(chan string, 100)}}
	s.opts = Options{Dir: filepath.Join(dir, "authority"), Names: []string{"localhost", "127.0.0.1"}, Advertise: "collector:9901", Lifetime: lifetime}
	s.open()
	t.Cleanup(func() {
		s.close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) open() {
	s.t.Helper()
	a, err := Open(s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	l := bufconn.Listen(1 << 20)
	s.dialer = func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }
	s.authority, s.server, s.served = a, grpc.NewServer(a.ServerOptions()...), make(chan struct{})
	a.Register(s.server)
	plimsollv1.RegisterIngestServiceServer(s.server, s.echo)
	go func() {
		defer close(s.served)
		_ = s.server.Serve(l)
	}()
}

func (s *site) close() {
	s.server.Stop()
	<-s.served
	if err := s.authority.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *site) reopen() {
	s.t.Helper()
	s.close()
	s.open()
}

// member is a node with what it needs to speak to the site.
type member struct {
	site *site
	node string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	conn *grpc.ClientConn
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// request asks for a certificate with the URIs.
func request(t *testing.T, key crypto.Signer, uris ...*url.URL) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: uris}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// dial makes a connection with a certificate, or without one.
func (s *site) dial(cert *tls.Certificate) *grpc.ClientConn {
	s.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true} // what clients check is their own test
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	conn, err := grpc.NewClient("passthrough:///collector", grpc.WithContextDialer(s.dialer), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func (s *site) token(opts TokenOptions) join.Token {
	s.t.Helper()
	i, _, err := s.authority.CreateToken(s.t.Context(), opts)
	if err != nil {
		s.t.Fatal(err)
	}
	return i.Token
}

// try enrols a key with a token.
func (s *site) try(token join.Token, key *ecdsa.PrivateKey, node string) (*member, error) {
	s.t.Helper()
	conn := s.dial(nil)
	defer conn.Close()
	resp, err := plimsollv1.NewEnrollServiceClient(conn).Enroll(s.t.Context(), &plimsollv1.EnrollRequest{
		Token: token[:], CertificateRequest: request(s.t, key, join.NodeURI(node)),
	})
	if err != nil {
		return nil, err
	}
	m := &member{site: s, node: node}
	m.take(key, resp.GetGrant())
	return m, nil
}

// enroll lets a node in.
func (s *site) enroll(node string) *member {
	s.t.Helper()
	m, err := s.try(s.token(TokenOptions{Node: node}), newKey(s.t), node)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (m *member) take(key *ecdsa.PrivateKey, g *plimsollv1.Grant) {
	m.site.t.Helper()
	var err error
	m.key = key
	if m.cert, err = x509.ParseCertificate(g.GetCertificate()); err != nil {
		m.site.t.Fatal(err)
	}
	m.connect()
}

// connect makes a new connection with the latest certificate.
func (m *member) connect() {
	m.site.t.Helper()
	if m.conn != nil {
		m.conn.Close()
	}
	m.conn = m.site.dial(&tls.Certificate{Certificate: [][]byte{m.cert.Raw}, PrivateKey: m.key})
	m.site.t.Cleanup(func() { m.conn.Close() })
}

// renew asks for a certificate for a node, and takes it.
func (m *member) renew(node string) error {
	m.site.t.Helper()
	key := newKey(m.site.t)
	resp, err := plimsollv1.NewEnrollServiceClient(m.conn).Renew(m.site.t.Context(), &plimsollv1.RenewRequest{
		CertificateRequest: request(m.site.t, key, join.NodeURI(node)),
	})
	if err == nil {
		m.take(key, resp.GetGrant())
	}
	return err
}

type push = grpc.BidiStreamingClient[plimsollv1.PushRequest, plimsollv1.PushResponse]

// push opens a stream and sees that it works. The error is the gate's.
func (m *member) push(ctx context.Context) (push, error) {
	s, err := plimsollv1.NewIngestServiceClient(m.conn).Push(ctx)
	if err != nil {
		return nil, err
	}
	return s, m.say(s, 1)
}

func (m *member) say(s push, seq uint64) error {
	if err := s.Send(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Frame{Frame: &plimsollv1.Frame{Seq: seq}}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	resp, err := s.Recv()
	if err == nil && resp.GetAck().GetSeq() != seq {
		err = errors.New("another frame was acknowledged")
	}
	return err
}

// pushes opens a stream that must be let in.
func (m *member) pushes() push {
	m.site.t.Helper()
	s, err := m.push(m.site.t.Context())
	if err != nil {
		m.site.t.Fatalf("node %s was not let in: %v", m.node, err)
	}
	if got := <-m.site.echo.nodes; got != m.node {
		m.site.t.Fatalf("the stream of %q was taken for that of %q", m.node, got)
	}
	return s
}

// wants complains unless err has a code and a text.
func wants(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !contains(status.Convert(err).Message(), text) {
		t.Errorf("error %v, want %v with %q", err, code, text)
	}
}

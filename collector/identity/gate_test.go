package identity

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestWithoutACertificateOfTheAuthorityNobodyStreams(t *testing.T) {
	s, other := newSite(t, 0), newSite(t, 0)
	stranger := other.enroll("a")
	key := newKey(t)
	t1 := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{join.NodeURI("a")}}
	selfMade, err := x509.CreateCertificate(rand.Reader, t1, t1, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	// One that the authority has signed, but not for a node.
	server, err := s.authority.certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cert *tls.Certificate
		text string
	}{
		"none":                   {nil, "a certificate is needed, and there is none; on the collector, plimsoll token create"},
		"of another authority":   {&tls.Certificate{Certificate: [][]byte{stranger.cert.Raw}, PrivateKey: stranger.key}, "not of this collector's authority"},
		"its own":                {&tls.Certificate{Certificate: [][]byte{selfMade}, PrivateKey: key}, "not of this collector's authority"},
		"that of the collector":  {server, "not of this collector's authority"},
		"with the authority's":   {&tls.Certificate{Certificate: [][]byte{stranger.cert.Raw, s.authority.ca.cert.Raw}, PrivateKey: stranger.key}, "not of this collector's authority"},
		"behind a false witness": {&tls.Certificate{Certificate: [][]byte{selfMade, s.authority.ca.cert.Raw}, PrivateKey: key}, "not of this collector's authority"},
	} {
		m := &member{site: s, node: "a", conn: s.dial(tt.cert)}
		_, err := m.push(t.Context())
		t.Log(name)
		wants(t, err, codes.Unauthenticated, tt.text)
		m.conn.Close()
	}
}

// Whoever has a certificate but not its key does not get through TLS.
func TestACertificateAloneIsNotEnough(t *testing.T) {
	s := newSite(t, 0)
	m := s.enroll("a")
	m.conn.Close()
	m.conn = s.dial(&tls.Certificate{Certificate: [][]byte{m.cert.Raw}, PrivateKey: newKey(t)})
	_, err := m.push(t.Context())
	wants(t, err, codes.Unavailable, "")
}

func TestOnlyTLS13IsSpoken(t *testing.T) {
	s := newSite(t, 0)
	raw, err := s.dialer(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	err = tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12}).HandshakeContext(t.Context())
	if err == nil || !contains(err.Error(), "protocol version") {
		t.Errorf("error %v of TLS 1.2", err)
	}
}

func TestAStreamEndsWithItsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 90*time.Second)
		m := s.enroll("a")
		stream := m.pushes()
		begun := time.Now()
		_, err := stream.Recv()
		wants(t, err, codes.Aborted, "expired; connect again")
		if lived := time.Since(begun); lived < 88*time.Second || lived > 92*time.Second {
			t.Errorf("the stream lived for %v, its certificate for 90 s", lived)
		}
		<-time.After(time.Second)
		m.connect()
		_, err = m.push(t.Context())
		wants(t, err, codes.Unauthenticated, "has expired, and must be renewed first")
	})
}

func TestACollectorThatWasAwayForDaysTakesItsNodesBack(t *testing.T) {
	for name, tt := range map[string]struct {
		away time.Duration
		code codes.Code
	}{
		"a weekend":       {72 * time.Hour, codes.OK},
		"a month, nearly": {30 * 24 * time.Hour, codes.OK},
		"longer":          {32 * 24 * time.Hour, codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, 0)
				m := s.enroll("a")
				<-time.After(tt.away)
				s.reopen()
				m.connect()
				_, err := m.push(t.Context())
				wants(t, err, codes.Unauthenticated, "has expired")
				err = m.renew("a")
				wants(t, err, tt.code, "")
				if err == nil {
					m.pushes()
				}
			})
		})
	}
}

// A copy of a disk has an old certificate, which is no use once the node has
// renewed its own twice.
func TestAnOldCertificateIsNotRenewedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		m := s.enroll("a")
		thief := *m
		for range 2 {
			<-time.After(16 * time.Hour)
			if err := m.renew("a"); err != nil {
				t.Fatal(err)
			}
		}
		thief.conn = nil
		thief.connect()
		wants(t, thief.renew("a"), codes.Unauthenticated, "too old to be renewed")
		m.pushes()
	})
}

func TestRevocationCutsAtOnceAndStays(t *testing.T) {
	s := newSite(t, 0)
	token, key := s.token(TokenOptions{Node: "a"}), newKey(t)
	m, err := s.try(token, key, "a")
	if err != nil {
		t.Fatal(err)
	}
	other := s.enroll("b")
	stream, kept := m.pushes(), other.pushes()

	begun := time.Now()
	node, n, err := s.authority.Revoke(t.Context(), "a")
	if node != "a" || n != 1 || err != nil {
		t.Fatalf("revoked %d of %s, error %v", n, node, err)
	}
	_, err = stream.Recv()
	wants(t, err, codes.Unauthenticated, "the certificate of node a was revoked; on the collector, plimsoll token create --node=a")
	t.Logf("cut after %v", time.Since(begun))
	if err := other.say(kept, 2); err != nil {
		t.Errorf("another node's stream has ended: %v", err)
	}

	for range 2 { // also after a restart
		m.connect()
		_, err = m.push(t.Context())
		wants(t, err, codes.Unauthenticated, "was revoked")
		wants(t, m.renew("a"), codes.Unauthenticated, "was revoked")
		_, err = s.try(token, key, "a")
		wants(t, err, codes.Unauthenticated, "used")
		s.reopen()
	}
	s.enroll("a").pushes()
	m.connect()
	_, err = m.push(t.Context())
	wants(t, err, codes.Unauthenticated, "was revoked")
}

func TestOneCertificateCanBeRevoked(t *testing.T) {
	s := newSite(t, 0)
	first := s.enroll("a")
	second := *first
	second.conn = nil
	second.connect()
	if err := second.renew("a"); err != nil {
		t.Fatal(err)
	}
	serial := serialText(first.cert.SerialNumber)
	if node, n, err := s.authority.Revoke(t.Context(), serial); node != "a" || n != 1 || err != nil {
		t.Fatalf("revoked %d of %s, error %v", n, node, err)
	}
	_, err := first.push(t.Context())
	wants(t, err, codes.Unauthenticated, "was revoked")
	second.pushes()
	for _, nobody := range []string{"", "c", "ffff"} {
		if _, _, err := s.authority.Revoke(t.Context(), nobody); err == nil || !contains(err.Error(), "plimsoll node certificates") {
			t.Errorf("%q: error %v", nobody, err)
		}
	}
}

// The connection is closed under a handler that does not look at its context.
func TestAStreamThatClingsIsCut(t *testing.T) {
	s := newSite(t, 0)
	s.echo.deaf = make(chan struct{})
	m := s.enroll("a")
	stream, err := plimsollv1.NewIngestServiceClient(m.conn).Push(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-s.echo.nodes
	if _, _, err := s.authority.Revoke(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	_, err = stream.Recv()
	wants(t, err, codes.Unavailable, "")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("cut after %v", took)
	}
	close(s.echo.deaf)
}

func TestAConnectionThatProvesNothingIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		raw, err := s.dialer(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for err == nil {
			_, err = conn.Read(make([]byte, 1024))
		}
		if lived := time.Since(begun); lived > strangerLimit+time.Second || lived < strangerLimit-time.Second {
			t.Errorf("it lived for %v", lived)
		}
		_ = conn.Close()
	})
}

func TestANodeThatIsRevokedWhileItConnectsIsCutToo(t *testing.T) {
	s := newSite(t, 0)
	m := s.enroll("a")
	var streams sync.WaitGroup
	for range 20 {
		streams.Go(func() {
			stream, err := m.push(t.Context())
			if err == nil {
				_, err = stream.Recv()
			}
			if err == nil {
				t.Error("a stream lives on")
			}
		})
	}
	if _, _, err := s.authority.Revoke(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	streams.Wait()
}

func TestIdentifyTakesNobodysWord(t *testing.T) {
	if node, err := Identify(t.Context()); node != "" || err != nil {
		t.Errorf("in plain text: %q, error %v", node, err)
	}
	ctx := peer.NewContext(context.Background(), &peer.Peer{AuthInfo: passed{}})
	if node, err := Identify(ctx); err == nil {
		t.Errorf("past the gate: %q", node)
	}
}

// Nobody is at fault, so nobody has to do anything.
func TestAClockThatWasSetBackCostsARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		m := s.enroll("a")
		older := *m
		check := func(m *member, by time.Duration, renews bool) string {
			s.authority.mu.Lock()
			defer s.authority.mu.Unlock()
			if _, r := s.authority.check(m.cert, time.Now().Add(by), renews); r != nil {
				return r.text
			}
			return ""
		}
		const back = -24 * time.Hour
		if got := check(m, -time.Minute, false); got != "" {
			t.Errorf("after a minute: %s", got)
		}
		if got := check(m, back, false); !contains(got, "clock was set back, and must be renewed first") {
			t.Errorf("after a day: %q", got)
		}
		if got := check(m, back, true); got != "" {
			t.Errorf("the renewal: %s", got)
		}
		for range 2 {
			if err := m.renew("a"); err != nil {
				t.Fatal(err)
			}
		}
		if got := check(&older, back, true); !contains(got, "there is a newer one") {
			t.Errorf("an older certificate: %q", got)
		}
	})
}

// What a stranger's connection takes in memory is free when it ends, not when its
// time would have been up: until then its timer holds it. What the runtime still
// keeps of a stopped timer is its own affair, so the timer is asked.
func TestAStrangerThatHasGoneIsForgotten(t *testing.T) {
	s := newSite(t, 0)
	near, far := net.Pipe()
	defer near.Close()
	shaken := make(chan error, 1)
	go func() {
		shaken <- tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}).Handshake()
		_, _ = io.Copy(io.Discard, near) // takes the goodbye
	}()
	conn, _, err := s.authority.Credentials().ServerHandshake(far)
	if err = errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if conn.(*stranger).timeUp.Stop() {
		t.Error("its time was still running")
	}
	if n := s.authority.strangers.count(); n != 0 {
		t.Errorf("%d strangers are counted, want none", n)
	}
}

// from is a connection in memory that is said to be from an address.
type from struct {
	net.Conn
	address string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(f.address), 1))
}

// Who only connects must not take all memory, nor keep those out that are here.
func TestMoreThanSoManyStrangersAreTurnedAway(t *testing.T) {
	s := newSite(t, 0)
	m := s.enroll("a")
	stream := m.pushes()
	await := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); s.authority.strangers.count() != n; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d strangers are counted, want %d", s.authority.strangers.count(), n)
			}
		}
	}
	await(0) // without the connection by which the node was let in
	door := s.authority.Credentials()
	var mute sync.WaitGroup
	var ends []net.Conn
	shake := func(address string) {
		near, far := net.Pipe()
		ends = append(ends, near)
		mute.Go(func() {
			if _, _, err := door.ServerHandshake(from{far, address}); err == nil {
				t.Error("a handshake without a word ended well")
			}
		})
	}
	refused := func(address string) {
		t.Helper()
		if _, _, err := door.ServerHandshake(from{address: address}); !errors.Is(err, errCrowded) {
			t.Errorf("error %v, want one that says that there are too many", err)
		}
	}
	for range mostOfOne {
		shake("2001:db8::1")
	}
	await(mostOfOne)
	refused("2001:db8::ffff") // of the same network
	for i := range mostStrangers - mostOfOne {
		shake(fmt.Sprintf("192.0.2.%d", i%100))
	}
	await(mostStrangers)
	refused("198.51.100.1")
	late := &member{site: s, node: "a", cert: m.cert, key: m.key}
	late.connect()
	_, err := late.push(t.Context())
	wants(t, err, codes.Unavailable, "")
	if err := m.say(stream, 2); err != nil {
		t.Errorf("who is here is cut off: %v", err)
	}
	for _, near := range ends {
		_ = near.Close()
	}
	mute.Wait()
	late.connect()
	late.pushes()
	await(0)
	if left := len(s.authority.strangers.of); left != 0 {
		t.Errorf("%d addresses are kept", left)
	}
}

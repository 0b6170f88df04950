package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func TestATokenLetsANodeInOnce(t *testing.T) {
	s := newSite(t, 0)
	token, key := s.token(TokenOptions{Node: "a"}), newKey(t)
	first, err := s.try(token, key, "a")
	if err != nil {
		t.Fatal(err)
	}
	first.pushes()
	_, err = s.try(token, newKey(t), "a")
	wants(t, err, codes.Unauthenticated, "used already; on the collector, plimsoll token create --node=a")

	// The answer may have got lost: the same key may ask again, also after a
	// restart of the collector.
	s.reopen()
	again, err := s.try(token, key, "a")
	if err != nil {
		t.Fatalf("the same key was refused: %v", err)
	}
	again.pushes()
	if life := time.Until(again.cert.NotAfter); life < 23*time.Hour || life > 24*time.Hour+time.Second {
		t.Errorf("the certificate is good for %v, want a day", life)
	}
}

func TestATokenForManyLetsThatManyIn(t *testing.T) {
	s := newSite(t, 0)
	token := s.token(TokenOptions{Uses: 2})
	for _, node := range []string{"a", "b"} {
		m, err := s.try(token, newKey(t), node)
		if err != nil {
			t.Fatal(err)
		}
		m.pushes()
	}
	_, err := s.try(token, newKey(t), "c")
	wants(t, err, codes.Unauthenticated, "used already")
}

func TestATokenThatIsNotGoodForThisIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		s.enroll("taken")
		s.enroll("revoked")
		before := s.token(TokenOptions{Node: "revoked"})
		if _, _, err := s.authority.Revoke(t.Context(), "revoked"); err != nil {
			t.Fatal(err)
		}
		late := s.token(TokenOptions{TTL: time.Minute})
		<-time.After(time.Minute + time.Second)
		key := newKey(t)
		used := s.token(TokenOptions{Uses: 2})
		if _, err := s.try(used, key, "first"); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			token join.Token
			key   *ecdsa.PrivateKey
			node  string
			code  codes.Code
			text  string
		}{
			"forged":                          {join.NewToken(), nil, "a", codes.Unauthenticated, "knows no such token"},
			"expired":                         {late, nil, "a", codes.Unauthenticated, "the token expired at"},
			"for another node":                {s.token(TokenOptions{Node: "b"}), nil, "a", codes.PermissionDenied, "the token is for node b, and this one is a"},
			"for new ones, and there is one":  {s.token(TokenOptions{}), nil, "taken", codes.PermissionDenied, "there is a node taken already"},
			"of a node that was revoked":      {before, nil, "revoked", codes.PermissionDenied, "node revoked was revoked"},
			"for new ones, and it is revoked": {s.token(TokenOptions{}), nil, "revoked", codes.PermissionDenied, "was revoked"},
			"by the same key as another node": {used, key, "second", codes.Unauthenticated, "used already"},
		} {
			if tt.key == nil {
				tt.key = newKey(t)
			}
			if m, err := s.try(tt.token, tt.key, tt.node); err == nil {
				t.Errorf("%s: a certificate for %s", name, m.node)
			} else {
				t.Log(name)
				wants(t, err, tt.code, tt.text)
			}
		}
		// None of that has used up what is good.
		<-time.After(2 * time.Minute) // until the throttle is open again
		if _, err := s.try(used, newKey(t), "second"); err != nil {
			t.Error(err)
		}
	})
}

func TestANamedTokenReplacesTheNode(t *testing.T) {
	s := newSite(t, 0)
	old := s.enroll("a")
	stream := old.pushes()
	s.enroll("a").pushes()
	_, err := stream.Recv()
	wants(t, err, codes.Unauthenticated, "was revoked")
	old.connect() // that of the stream will be closed
	wants(t, old.renew("a"), codes.Unauthenticated, "was revoked")
}

func TestARequestThatIsNoneUsesNoToken(t *testing.T) {
	s := newSite(t, 0)
	token := s.token(TokenOptions{})
	conn := s.dial(nil)
	defer conn.Close()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, a, b := newKey(t), join.NodeURI("a"), join.NodeURI("b")
	broken := request(t, key, a)
	broken[len(broken)-1] ^= 1
	for name, tt := range map[string]struct {
		der  []byte
		text string
	}{
		"nothing":           {nil, "certificate request"},
		"too much":          {make([]byte, maxRequest+1), "8193 bytes"},
		"another curve":     {request(t, p384, a), "P-384, want P-256"},
		"RSA":               {request(t, rsaKey, a), "rsa.PublicKey, want ECDSA"},
		"no node":           {request(t, key), "0 URIs"},
		"two nodes":         {request(t, key, a, b), "2 URIs"},
		"not a node":        {request(t, key, &url.URL{Scheme: "https", Host: "node", Path: "/a"}), "not of the form"},
		"another's":         {broken, "certificate request"},
		"a name with space": {request(t, key, join.NodeURI("a b")), "space"},
	} {
		_, err := plimsollv1.NewEnrollServiceClient(conn).Enroll(t.Context(), &plimsollv1.EnrollRequest{Token: token[:], CertificateRequest: tt.der})
		t.Log(name)
		wants(t, err, codes.InvalidArgument, tt.text)
	}
	// The tenth refusal would close the door for a while.
	if _, err := s.try(token, key, "a"); err != nil {
		t.Error(err)
	}
}

func TestGuessingIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		good := s.token(TokenOptions{})
		for range failuresAtOnce {
			_, err := s.try(join.NewToken(), newKey(t), "a")
			wants(t, err, codes.Unauthenticated, "no such token")
		}
		_, err := s.try(good, newKey(t), "a")
		wants(t, err, codes.ResourceExhausted, "try again in a minute")
		<-time.After(time.Minute)
		if _, err := s.try(good, newKey(t), "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestOneAddressDoesNotThrottleAnother(t *testing.T) {
	var a attempts
	now := time.Now()
	bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range failuresAtOnce {
		a.failed(bad, now)
	}
	if a.allowed(bad, now) || !a.allowed(good, now) {
		t.Errorf("allowed: %v %v, want the second alone", a.allowed(bad, now), a.allowed(good, now))
	}
	// One who has a network of them has one share.
	for n := range failuresAtOnce {
		b := netip.MustParseAddr("2001:db8::").As16()
		b[15] = byte(n)
		a.failed(netip.AddrFrom16(b), now)
	}
	if a.allowed(netip.MustParseAddr("2001:db8::ffff"), now) || !a.allowed(netip.MustParseAddr("2001:db8:1::1"), now) {
		t.Error("a network of IPv6 is not one source")
	}
}

func TestTheMemoryOfFailuresIsBounded(t *testing.T) {
	var a attempts
	now := time.Now()
	from := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
	for n := range 3 * maxSources {
		for range failuresAtOnce {
			a.failed(from(n), now)
		}
	}
	if len(a.sources) > maxSources {
		t.Errorf("%d sources are remembered", len(a.sources))
	}
	if a.allowed(from(4*maxSources), now) {
		t.Error("those for whom there is no room are not bounded together")
	}
	later := now.Add(time.Hour)
	a.failed(from(4*maxSources), later)
	if len(a.sources) > 1 {
		t.Errorf("%d sources are remembered an hour later", len(a.sources))
	}
}

func TestOnlyItselfIsRenewed(t *testing.T) {
	s := newSite(t, 0)
	m := s.enroll("a")
	before := m.cert.SerialNumber
	wants(t, m.renew("b"), codes.PermissionDenied, "node a asks for a certificate of node b")
	if err := m.renew("a"); err != nil {
		t.Fatal(err)
	}
	if m.cert.SerialNumber.Cmp(before) == 0 {
		t.Error("the same serial number")
	}
	m.pushes()
	conn := s.dial(nil)
	defer conn.Close()
	_, err := plimsollv1.NewEnrollServiceClient(conn).Renew(t.Context(), &plimsollv1.RenewRequest{CertificateRequest: request(t, newKey(t), join.NodeURI("a"))})
	wants(t, err, codes.Unauthenticated, "a certificate is needed")
}

func TestWhatRenewsWithoutEndIsStopped(t *testing.T) {
	s := newSite(t, 0)
	m := s.enroll("a")
	var err error
	n := 1
	for ; err == nil && n < 100; n++ {
		err = m.renew("a")
	}
	wants(t, err, codes.ResourceExhausted, "16 certificates that are good")
	if n != maxLive+1 {
		t.Errorf("refused after %d certificates, want %d", n-1, maxLive)
	}
	m.pushes() // what it has is good all the same
}

func TestASeasonOfRenewalsIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		m := s.enroll("a")
		for range 90 * 24 / 16 {
			<-time.After(16 * time.Hour)
			if err := m.renew("a"); err != nil {
				t.Fatal(err)
			}
		}
		m.pushes()
		if n := len(s.authority.List()); n > 3 {
			t.Errorf("%d certificates are remembered", n)
		}
		data, err := os.ReadFile(filepath.Join(s.opts.Dir, stateFile))
		if err != nil || len(data) > 2000 {
			t.Errorf("the file has %d bytes, error %v", len(data), err)
		}
	})
}

func TestWhatTheDiskDoesNotTakeDidNotHappen(t *testing.T) {
	s := newSite(t, 0)
	token := s.token(TokenOptions{})
	away := s.opts.Dir + ".away"
	if err := os.Rename(s.opts.Dir, away); err != nil {
		t.Fatal(err)
	}
	_, err := s.try(token, newKey(t), "a")
	wants(t, err, codes.Internal, "write what the authority remembers")
	if _, _, err := s.authority.CreateToken(t.Context(), TokenOptions{}); err == nil {
		t.Error("a token that is not on the disk")
	}
	if err := os.Rename(away, s.opts.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.try(token, newKey(t), "a"); err != nil {
		t.Errorf("the token was used up: %v", err)
	}
}

func TestATokenIsBounded(t *testing.T) {
	s := newSite(t, 0)
	for name, tt := range map[string]struct {
		opts TokenOptions
		text string
	}{
		"a day":             {TokenOptions{TTL: 24 * time.Hour}, "want 1s to 1h"},
		"no time":           {TokenOptions{TTL: time.Millisecond}, "want 1s to 1h"},
		"a million":         {TokenOptions{Uses: 1_000_000}, "want 1 to 1000"},
		"less than none":    {TokenOptions{Uses: -1}, "want 1 to 1000"},
		"a node, twice":     {TokenOptions{Node: "a", Uses: 2}, "1 use"},
		"a bad name":        {TokenOptions{Node: "a b"}, "space"},
		"a bad address":     {TokenOptions{Address: "collector"}, "host:port"},
		"a path as address": {TokenOptions{Address: "https://collector:9901"}, "host"},
	} {
		if _, _, err := s.authority.CreateToken(t.Context(), tt.opts); err == nil || !contains(err.Error(), tt.text) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.text)
		}
	}
	data, err := os.ReadFile(filepath.Join(s.opts.Dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	i, _, err := s.authority.CreateToken(t.Context(), TokenOptions{Address: "10.0.0.5:1"})
	if err != nil || i.Address != "10.0.0.5:1" {
		t.Fatalf("%v, error %v", i, err)
	}
	after, err := os.ReadFile(filepath.Join(s.opts.Dir, stateFile))
	if err != nil || len(after) <= len(data) {
		t.Fatalf("%d bytes after %d, error %v", len(after), len(data), err)
	}
	secret := strings.Split(i.Text(), ".")[1]
	if contains(string(after), secret) {
		t.Error("the secret is on the disk")
	}
}

func TestTokensThatAreOverMakeRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		for n := range maxTokens { // as if by command, without as many files
			s.authority.state.Tokens[strconv.Itoa(n)] = tokenState{Expires: time.Now().Add(time.Minute), Uses: 1}
		}
		if _, _, err := s.authority.CreateToken(t.Context(), TokenOptions{}); err == nil || !contains(err.Error(), "wait until some have expired") {
			t.Errorf("one too many: error %v", err)
		}
		<-time.After(time.Minute + time.Second)
		s.token(TokenOptions{})
	})
}

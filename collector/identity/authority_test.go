package identity

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"

	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestItsFilesAreForItsOwnerAlone(t *testing.T) {
	s := newSite(t, 0)
	s.enroll("a")
	seen := 0
	err := filepath.WalkDir(s.opts.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		seen++
		return nil
	})
	if err != nil || seen != 5 { // the directory, both files, the lock, the socket
		t.Errorf("%d files, error %v", seen, err)
	}
}

func TestWhatItCannotTrustItDoesNotStartWith(t *testing.T) {
	for name, tt := range map[string]struct {
		harm func(dir string) error
		want string
	}{
		"a key that others can read":  {func(dir string) error { return os.Chmod(filepath.Join(dir, caFile), 0o644) }, "others may read it"},
		"a key that is not whole":     {func(dir string) error { return os.Truncate(filepath.Join(dir, caFile), 100) }, caFile},
		"a key of another":            {func(dir string) error { return swapKey(filepath.Join(dir, caFile)) }, "does not go with its certificate"},
		"no memory of revocations":    {func(dir string) error { return os.Remove(filepath.Join(dir, stateFile)) }, "what was revoked"},
		"memory that is not whole":    {func(dir string) error { return os.Truncate(filepath.Join(dir, stateFile), 5) }, stateFile},
		"an address that is nowhere":  {nil, "--grpc.advertise-address"},
		"certificates for a lifetime": {nil, "last for 1s to 24h"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 0)
			opts := s.opts
			switch name {
			case "an address that is nowhere":
				opts.Advertise = ":9901"
			case "certificates for a lifetime":
				opts.Lifetime = 1000 * time.Hour
			}
			s.close()
			if tt.harm != nil {
				if err := tt.harm(s.opts.Dir); err != nil {
					t.Fatal(err)
				}
			}
			a, err := Open(opts)
			if err == nil {
				a.Close()
			}
			if err == nil || !contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			s.opts.Dir += "2" // to be closed by the cleanup
			s.open()
		})
	}
}

func swapKey(path string) error {
	other, err := newCA()
	if err != nil {
		return err
	}
	c, err := openCA(filepath.Dir(path))
	if err != nil {
		return err
	}
	c.key = other.key
	return c.save(filepath.Dir(path))
}

// A crash may have left a key in half a file, which a rotation would not remove.
func TestNoKeyIsLeftBesideTheAuthority(t *testing.T) {
	s := newSite(t, 0)
	for _, name := range []string{caFile, stateFile} {
		if err := os.WriteFile(filepath.Join(s.opts.Dir, name+".new-1"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.reopen()
	if left, err := filepath.Glob(filepath.Join(s.opts.Dir, "*.new-*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, error %v", left, err)
	}
}

func TestADirectoryHasOneAuthority(t *testing.T) {
	s := newSite(t, 0)
	if a, err := Open(s.opts); err == nil || !contains(err.Error(), "in use by another collector") {
		t.Errorf("%v, error %v", a, err)
	}
}

// leads makes sure that the chain that the server presents is trusted by who has
// an authority's certificate and nothing else.
func leads(t *testing.T, s *site, root *x509.Certificate) {
	t.Helper()
	c, err := s.authority.certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: join.ServerName}
	opts.Roots.AddCert(root)
	presented := false
	for i, der := range c.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		presented = presented || cert.Equal(root)
		if i > 0 {
			opts.Intermediates.AddCert(cert)
		}
	}
	// A clock without a battery begins at 1970.
	for _, at := range []time.Time{time.Now(), time.Unix(60, 0)} {
		opts.CurrentTime = at
		if _, err := c.Leaf.Verify(opts); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
	if !presented {
		t.Error("who has the pin only does not find the authority in the chain")
	}
}

func TestTheCollectorsCertificateRenewsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		root := s.authority.ca.cert
		seen := map[string]bool{}
		for range 28 {
			leads(t, s, root)
			c, err := s.authority.certificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(c.Leaf.NotAfter); left < serverLife/3-time.Minute {
				t.Errorf("%v left of its life", left)
			}
			for _, name := range []string{"localhost", "127.0.0.1"} {
				if err := c.Leaf.VerifyHostname(name); err != nil {
					t.Error(err)
				}
			}
			seen[serialText(c.Leaf.SerialNumber)] = true
			<-time.After(12 * time.Hour)
		}
		if len(seen) < 3 || len(seen) > 4 {
			t.Errorf("%d certificates in two weeks, want one for each five days", len(seen))
		}
	})
}

func TestARotationLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 0)
		old := s.authority.ca.cert
		m, asleep := s.enroll("a"), s.enroll("asleep")
		invited := s.token(TokenOptions{})
		stream := m.pushes()

		until, err := s.authority.Rotate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		next := s.authority.ca.cert
		if join.PinOf(next) == join.PinOf(old) {
			t.Fatal("the key is the same")
		}
		for range 2 { // also after a restart
			leads(t, s, old)
			leads(t, s, next)
			if _, err := s.authority.Rotate(t.Context()); err == nil || !contains(err.Error(), "still trusted") {
				t.Errorf("a second rotation: %v", err)
			}
			if err := m.say(stream, 2); err != nil {
				t.Fatal(err)
			}
			s.reopen()
			m.connect()
			stream = m.pushes()
		}
		if _, err := s.try(invited, newKey(t), "b"); err != nil {
			t.Errorf("a token from before: %v", err)
		}
		key := newKey(t)
		resp, err := plimsollv1.NewEnrollServiceClient(m.conn).Renew(t.Context(), &plimsollv1.RenewRequest{CertificateRequest: request(t, key, join.NodeURI("a"))})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.GetGrant().GetAuthorities(); len(got) != 2 || !slices.Equal(got[0], next.Raw) || !slices.Equal(got[1], old.Raw) {
			t.Errorf("%d authorities with a renewal, want the new one and the one before", len(got))
		}
		m.take(key, resp.GetGrant())

		// One that slept through it is let in to the end.
		<-time.After(time.Until(until) - 25*time.Hour)
		asleep.connect()
		if err := asleep.renew("asleep"); err != nil {
			t.Fatalf("late: %v", err)
		}
		asleep.pushes()
		if asleep.cert.CheckSignatureFrom(next) != nil {
			t.Error("the old authority still signs")
		}
		<-time.After(26 * time.Hour)
		if n := len(s.authority.ca.trusted(time.Now())); n != 1 {
			t.Errorf("%d authorities are trusted", n)
		}
		if _, err := s.authority.Rotate(t.Context()); err != nil {
			t.Errorf("the next rotation: %v", err)
		}
		leads(t, s, next)
	})
}

// A copy of the directory that was put back knows less than there is.
func TestAnOldCopyOfItsMemoryLocksNobodyOut(t *testing.T) {
	s := newSite(t, 0)
	m, unknown := s.enroll("a"), *s.enroll("b")
	copied, err := os.ReadFile(filepath.Join(s.opts.Dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*member{m, &unknown} {
		if err := m.renew(m.node); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	if err := os.WriteFile(filepath.Join(s.opts.Dir, stateFile), copied, 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	m.connect()
	m.pushes()
	if err := m.renew("a"); err != nil {
		t.Fatal(err)
	}
	unknown.connect()
	for _, m := range []*member{m, &unknown} {
		if _, _, err := s.authority.Revoke(t.Context(), m.node); err != nil {
			t.Error(err)
		}
		_, err = m.push(t.Context())
		wants(t, err, codes.Unauthenticated, "was revoked")
	}
}

func TestWhereACollectorIsReached(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		listen, advertise, external string
		address                     string
		names                       []string // besides those of every machine
	}{
		{"0.0.0.0:9901", "", "", machine + ":9901", nil},
		{"[::]:9901", "", "", machine + ":9901", nil},
		{":9901", "", "", machine + ":9901", nil},
		{"10.0.0.5:9901", "", "", "10.0.0.5:9901", []string{"10.0.0.5"}},
		{":9901", "", "https://plimsoll.example/console", "plimsoll.example:9901", []string{"plimsoll.example"}},
		{":9901", "collector.example", "https://plimsoll.example", "collector.example:9901", []string{"collector.example"}},
		{":9901", "203.0.113.7:443", "", "203.0.113.7:443", []string{"203.0.113.7"}},
		{"[fe80::1%eth0]:9901", "", "", "[fe80::1%eth0]:9901", nil},
	} {
		var external *url.URL
		if tt.external != "" {
			if external, err = url.Parse(tt.external); err != nil {
				t.Fatal(err)
			}
		}
		address, names := Reach(tt.listen, tt.advertise, external)
		want := append(slices.Clone(tt.names), machine, "localhost", "127.0.0.1", "::1")
		slices.Sort(names)
		slices.Sort(want)
		if address != tt.address || !slices.Equal(names, slices.Compact(want)) {
			t.Errorf("%+v: %s, names %v", tt, address, names)
		}
		c, err := newCA()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.server(names); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestWhatHappensIsCounted(t *testing.T) {
	s := newSite(t, 0)
	registry := prometheus.NewPedanticRegistry()
	s.opts.Registerer = registry
	s.reopen()
	m := s.enroll("a")
	if err := m.renew("a"); err != nil {
		t.Fatal(err)
	}
	stream := m.pushes()
	_, _ = s.try(join.NewToken(), newKey(t), "b")
	if _, _, err := s.authority.Revoke(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Recv()
	m.connect() // that of the stream will be closed
	_, _ = m.push(t.Context())
	s.enroll("c")
	expires := s.authority.ca.cert.NotAfter.Unix()
	want := fmt.Sprintf(`
		# HELP plimsoll_collector_identity_authority_expires_timestamp_seconds When the authority's certificate expires, unless plimsoll ca rotate makes a new one.
		# TYPE plimsoll_collector_identity_authority_expires_timestamp_seconds gauge
		plimsoll_collector_identity_authority_expires_timestamp_seconds %g
		# HELP plimsoll_collector_identity_granted_total Certificates given to nodes, by what they came with: a token (enroll) or a certificate (renew).
		# TYPE plimsoll_collector_identity_granted_total counter
		plimsoll_collector_identity_granted_total{deed="enroll"} 2
		plimsoll_collector_identity_granted_total{deed="renew"} 1
		# HELP plimsoll_collector_identity_nodes Nodes that have a certificate that is good.
		# TYPE plimsoll_collector_identity_nodes gauge
		plimsoll_collector_identity_nodes 1
		# HELP plimsoll_collector_identity_refused_total Calls that were refused, by what was asked for and why.
		# TYPE plimsoll_collector_identity_refused_total counter
		plimsoll_collector_identity_refused_total{deed="enroll",reason="forged"} 1
		plimsoll_collector_identity_refused_total{deed="stream",reason="revoked"} 1
		# HELP plimsoll_collector_identity_revocations_total Times that certificates were revoked by command.
		# TYPE plimsoll_collector_identity_revocations_total counter
		plimsoll_collector_identity_revocations_total 1
		# HELP plimsoll_collector_identity_streams_ended_total Streams that were ended because their certificate no longer counted.
		# TYPE plimsoll_collector_identity_streams_ended_total counter
		plimsoll_collector_identity_streams_ended_total{reason="revoked"} 1
		# HELP plimsoll_collector_identity_tokens_created_total Tokens made to let nodes in.
		# TYPE plimsoll_collector_identity_tokens_created_total counter
		plimsoll_collector_identity_tokens_created_total 2
	`, float64(expires))
	var names []string
	for line := range strings.Lines(want) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" {
			names = append(names, f[2])
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

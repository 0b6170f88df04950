package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/internal/join"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const far = "10.0.0.5:9901"

// authority makes a key that signs.
func authority(t *testing.T) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return key, c
}

// hold puts into a directory what a node holds of a collector.
func hold(t *testing.T, dir, node, collector string, used join.Invitation) *held {
	t.Helper()
	ca, root := authority(t)
	key, _, err := newKey(node)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{join.NodeURI(node)}}
	der, err1 := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), ca)
	secret, err2 := x509.MarshalPKCS8PrivateKey(key)
	h := &held{path: fileFor(dir, collector), onDisk: onDisk{
		Collector: collector, Joined: hashOf(used), Renew: time.Now().Add(40 * time.Minute), Key: secret, Certificate: der, Authorities: [][]byte{root.Raw},
	}}
	if err := errors.Join(err1, err2, h.parse(), h.save()); err != nil {
		t.Fatal(err)
	}
	return h
}

func invitation(address string) join.Invitation {
	return join.Invitation{Address: address, Token: join.NewToken()}
}

func TestWhoIsSpokenToAndHow(t *testing.T) {
	const near, tunnel, other = "127.0.0.1:9901", "127.0.0.1:7777", "10.0.0.6:9901"
	used, fresh := invitation(far), invitation(far)
	for name, tt := range map[string]struct {
		held  []string // collectors
		opts  Options
		want  []string // addresses
		plain bool     // the first of them
		joins bool     // by invitation
		err   string
	}{
		"nothing is said":                       {want: []string{near}, plain: true},
		"localhost by name":                     {opts: Options{Addresses: []string{"localhost:1"}}, want: []string{"localhost:1"}, plain: true},
		"a socket":                              {opts: Options{Addresses: []string{"unix:///run/p.sock"}}, want: []string{"unix:///run/p.sock"}, plain: true},
		"a resolver, and loopback":              {opts: Options{Addresses: []string{"dns:///127.0.0.1:1"}}, want: []string{"dns:///127.0.0.1:1"}, plain: true},
		"another machine":                       {opts: Options{Addresses: []string{far}}, err: "plimsoll token create --node=a — and here: plimsoll agent --join="},
		"another machine, by a resolver":        {opts: Options{Addresses: []string{"dns:///collector:1"}}, err: "on another machine"},
		"a name that means loopback somewhere":  {opts: Options{Addresses: []string{"localhost.example:1"}}, err: "on another machine"},
		"an invitation":                         {opts: Options{Joins: []string{fresh.Text()}}, want: []string{far}, joins: true},
		"an invitation, and another way there":  {opts: Options{Joins: []string{fresh.Text()}, Addresses: []string{tunnel}}, want: []string{tunnel}, joins: true},
		"two invitations":                       {opts: Options{Joins: []string{fresh.Text(), invitation(other).Text()}}, want: []string{far, other}, joins: true},
		"two invitations of one":                {opts: Options{Joins: []string{fresh.Text(), used.Text()}}, err: "give the newer one alone"},
		"invitations to more than are meant":    {opts: Options{Joins: []string{fresh.Text(), invitation(other).Text()}, Addresses: []string{far, near}}, want: []string{far, near}, joins: true},
		"no invitation to the one that is":      {opts: Options{Joins: []string{fresh.Text(), invitation(other).Text()}, Addresses: []string{"10.0.0.7:1"}}, err: "10.0.0.7:1 is on another machine"},
		"no invitation at all":                  {opts: Options{Joins: []string{"token"}}, err: "--join: join string"},
		"joined":                                {held: []string{far}, want: []string{far}},
		"joined, and the string is still there": {held: []string{far}, opts: Options{Joins: []string{used.Text()}}, want: []string{far}},
		"joined, and a new string":              {held: []string{far}, opts: Options{Joins: []string{fresh.Text()}}, want: []string{far}, joins: true},
		"joined, and it has moved":              {held: []string{far}, opts: Options{Addresses: []string{other}}, want: []string{other}},
		"joined, but this one is meant":         {held: []string{far}, opts: Options{Addresses: []string{near}}, want: []string{near}, plain: true},
		"joined two":                            {held: []string{far, other}, want: []string{far, other}},
		"joined two, and a third":               {held: []string{far, other}, opts: Options{Addresses: []string{"10.0.0.7:1"}}, err: "10.0.0.7:1 is on another machine"},
		"joined by another name":                {held: []string{far}, opts: Options{Node: "b"}, err: "is of node a, and this node is b; give --node.name=a"},
		"a bad name":                            {opts: Options{Node: "a b"}, err: "space"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, collector := range tt.held {
				hold(t, dir, "a", collector, used)
			}
			tt.opts.Dir, tt.opts.Default = dir, near
			if tt.opts.Node == "" {
				tt.opts.Node = "a"
			}
			ids, err := Open(tt.opts)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := ids.Addresses(); !slices.Equal(got, tt.want) {
				t.Fatalf("%v, want %v", got, tt.want)
			}
			if ids[0].plain != tt.plain || (ids[0].invitation != nil) != tt.joins {
				t.Errorf("plain text %v, by invitation %v; want %v, %v", ids[0].plain, ids[0].invitation != nil, tt.plain, tt.joins)
			}
		})
	}
}

func TestWhatOthersCouldReadIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	path := hold(t, dir, "a", far, invitation(far)).path
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Node: "a"}); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "join again") {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNotWholeIsNotUsed(t *testing.T) {
	for name, harm := range map[string]func(h *held){
		"no key":                       func(h *held) { h.Key = nil },
		"another key":                  func(h *held) { h.Key = hold(t, t.TempDir(), "a", far, invitation(far)).Key },
		"no certificate":               func(h *held) { h.Certificate = nil },
		"no authority":                 func(h *held) { h.Authorities = nil },
		"half an authority":            func(h *held) { h.Authorities[0] = h.Authorities[0][:100] },
		"an authority's certificate":   func(h *held) { h.Certificate = h.Authorities[0] },
		"a certificate that is cut up": func(h *held) { h.Certificate = h.Certificate[:100] },
	} {
		dir := t.TempDir()
		h := hold(t, dir, "a", far, invitation(far))
		harm(h)
		if err := h.save(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir, Node: "a"}); err == nil || !strings.Contains(err.Error(), "remove it and join again") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWithoutADirectoryNothingIsHeld(t *testing.T) {
	t.Chdir(t.TempDir())
	hold(t, ".", "a", far, invitation(far))
	ids, err := Open(Options{Node: "a", Default: "127.0.0.1:9901"})
	if err != nil || len(ids) != 1 || !ids[0].plain {
		t.Errorf("%v, error %v", ids, err)
	}
	if _, err := Open(Options{Node: "a", Joins: []string{invitation(far).Text()}}); err == nil || !strings.Contains(err.Error(), "needs a directory") {
		t.Errorf("error %v", err)
	}
}

// After a restart only the file says when. A clock that was set must not keep a
// certificate from being renewed.
func TestWhenARenewalIsDueSurvivesAClockThatWasSet(t *testing.T) {
	h := hold(t, t.TempDir(), "a", far, invitation(far))
	now := time.Now()
	for name, tt := range map[string]struct{ now, want time.Time }{
		"in time":                {now, h.Renew},
		"after it":               {now.Add(2 * time.Hour), h.Renew},
		"a clock that went back": {now.Add(-24 * time.Hour), now.Add(-24 * time.Hour)},
	} {
		if got := h.due(tt.now); !got.Equal(tt.want) {
			t.Errorf("%s: due at %v, want %v", name, got, tt.want)
		}
	}
}

func TestWhoEndsBeforeItHasJoinedJustEnds(t *testing.T) {
	for range 50 {
		ids, err := Open(Options{Dir: t.TempDir(), Node: "a", Joins: []string{invitation("127.0.0.1:1").Text()}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ids.Run(ctx); err != nil {
			t.Error(err)
		}
	}
}

func TestADirectoryMayHaveAnyName(t *testing.T) {
	dir := t.TempDir() + "/[a]*"
	hold(t, dir, "a", far, invitation(far))
	if ids, err := Open(Options{Dir: dir, Node: "a"}); err != nil || ids[0].held == nil {
		t.Errorf("what is held is not found: %v", err)
	}
}

func TestACollectorThatNamesAnAbsurdTimeIsSurvived(t *testing.T) {
	dir := t.TempDir()
	h := hold(t, dir, "a", far, invitation(far))
	for _, in := range []uint64{0, 1 << 42, 1 << 63, 1<<64 - 1, 1<<64 - 1000} {
		ids, err := Open(Options{Dir: dir, Node: "a"})
		if err != nil {
			t.Fatal(err)
		}
		g := &plimsollv1.Grant{Certificate: h.Certificate, Authorities: h.Authorities, RenewInMs: in}
		if err := ids[0].take(g, h.certificate.PrivateKey.(*ecdsa.PrivateKey), "x"); err != nil {
			t.Error(err)
		}
		if left := time.Until(ids[0].renew); in > 0 && left < 0 {
			t.Errorf("%d ms: renewed %v ago", in, -left)
		}
	}
}

// A crash may have left a key in half a file.
func TestNoKeyIsLeftBesideTheFiles(t *testing.T) {
	dir := t.TempDir()
	path := hold(t, dir, "a", far, invitation(far)).path
	for _, torn := range []string{path + ".new-1", fileFor(dir, "10.0.0.7:9901") + ".new-2"} {
		if err := os.WriteFile(torn, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(Options{Dir: dir, Node: "a", Addresses: []string{far, "10.0.0.7:9901"}, Joins: []string{invitation("10.0.0.7:9901").Text()}}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(left, []string{path}) {
		t.Errorf("left are %v, error %v", left, err)
	}
}
